"""Workloads: traces are read exactly, generated ones are reproducible, equal seeds equal text."""

import gzip
from itertools import pairwise
from pathlib import Path

import pytest

from penstock.fleet.replay.generate import DEFAULTS, Kind, Shape, generate
from penstock.fleet.replay.session import Message, Session, Text, Turn
from penstock.fleet.replay.text import BLOCK_TOKENS, synthesise
from penstock.fleet.replay.traces import TraceError, load_trace
from penstock.fleet.vocabulary import CHARS_PER_TOKEN
from penstock.sim.trace_conversations import NOMINAL_TOKEN_S

MOONCAKE = """\
{"timestamp": 3000, "input_length": 1030, "output_length": 500, "hash_ids": [0, 1, 2]}
{"timestamp": 3500, "input_length": 600, "output_length": 5, "hash_ids": [0, 3]}
{"timestamp": 63000, "input_length": 1600, "output_length": 7, "hash_ids": [0, 1, 4, 5]}
"""
AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,1396,109
"""


def trace(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace"
    path.write_text(text)
    return path


def only_message(turn: Turn) -> Message:
    [message] = turn.added
    return message


def test_equal_blocks_are_equal_text_and_others_differ_in_every_block() -> None:
    one = synthesise(Text((7, 8), 600))
    other = synthesise(Text((7, 9), 1024))
    block = BLOCK_TOKENS * CHARS_PER_TOKEN
    assert len(one) == 600 * CHARS_PER_TOKEN
    assert one[:block] == other[:block]
    assert one[block : block + 64] != other[block : block + 64]


def test_text_that_lacks_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="1 more blocks"):
        synthesise(Text((7,), 600))


def test_mooncake_times_count_from_the_first_request(tmp_path: Path) -> None:
    workload = load_trace(trace(tmp_path, MOONCAKE))
    assert [session.start_s for session in workload.sessions] == [0.0, 0.5, 60.0]
    first = workload.sessions[0].turns[0]
    assert only_message(first).text == Text((0, 1, 2), 1030)
    assert first.output_tokens == 500


def test_the_rate_is_scaled_and_the_trace_cut(tmp_path: Path) -> None:
    workload = load_trace(trace(tmp_path, MOONCAKE), limit=2, rate_scale=2.0)
    assert [session.start_s for session in workload.sessions] == [0.0, 0.25]


def test_a_request_that_continues_an_earlier_prompt_thinks_after_its_answer(
    tmp_path: Path,
) -> None:
    workload = load_trace(trace(tmp_path, MOONCAKE), think=True)
    conversation, alone = workload.sessions
    assert conversation.closed
    assert conversation.whole_prompts
    assert [only_message(turn).text.seeds for turn in conversation.turns] == [
        (0, 1, 2),
        (0, 1, 4, 5),
    ]
    assert conversation.turns[1].wait_s == pytest.approx(60.0 - 500 * NOMINAL_TOKEN_S)
    assert len(alone.turns) == 1


def test_azure_prompts_share_nothing(tmp_path: Path) -> None:
    workload = load_trace(trace(tmp_path, AZURE))
    first, second = workload.sessions
    assert second.start_s == pytest.approx(4.314579, abs=1e-5)
    texts = [only_message(session.turns[0]).text for session in (first, second)]
    assert [text.tokens for text in texts] == [374, 1396]
    assert [len(text.seeds) for text in texts] == [1, 3]
    assert not set(texts[0].seeds) & set(texts[1].seeds)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b,c\n1,2,3\n", "line 1 is neither"),
        (MOONCAKE + "{}\n", "line 4"),
        (MOONCAKE.replace("[0, 3]", "[0]"), "line 2: 1 hash_ids are too few"),
        (AZURE + "yesterday,1,2\n", "line 4"),
        (AZURE + "2023-11-16 18:15:46,-1,2\n", "line 4: a number of tokens is negative"),
        (MOONCAKE.replace("500", "-500"), "line 1: a number of tokens is negative"),
        (AZURE + '"' + "1" * 200_000, "line 4: field larger"),
        ("", "no request in it"),
        (AZURE.partition("\n")[0] + "\n", "no request in it"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(TraceError, match=complaint):
        load_trace(trace(tmp_path, text))


@pytest.mark.parametrize("text", [AZURE, MOONCAKE])
def test_a_trace_that_a_spreadsheet_saved_is_the_same(tmp_path: Path, text: str) -> None:
    plain = load_trace(trace(tmp_path, text))
    saved = tmp_path / "trace"
    saved.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert load_trace(saved).sessions == plain.sessions


def test_a_compressed_trace_is_refused_as_such(tmp_path: Path) -> None:
    packed = tmp_path / "trace.csv.gz"
    packed.write_bytes(gzip.compress(AZURE.encode()))
    with pytest.raises(TraceError, match="is no text; if it is compressed, unpack it"):
        load_trace(packed)


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize("timed", [True, False])
def test_generated_workloads_have_the_requests_asked_for_and_repeat(
    kind: Kind, timed: bool
) -> None:
    shape = Shape(**{**vars(DEFAULTS[kind]), "timed": timed, "requests": 97})
    workload = generate(shape)
    assert workload.requests == 97
    assert workload == generate(shape)
    starts = [session.start_s for session in workload.sessions]
    assert starts == sorted(starts)


def test_generated_sessions_arrive_at_the_rate() -> None:
    shape = Shape(**{**vars(DEFAULTS["no-prefix"]), "requests": 4000, "rate_per_s": 8.0})
    # 4,000 exponential gaps: their sum is within 8% of its mean but once in a million.
    assert generate(shape).sessions[-1].start_s == pytest.approx(500.0, rel=0.08)


def test_other_seeds_share_no_text() -> None:
    def seeds(seed: int) -> set[int]:
        workload = generate(Shape(**{**vars(DEFAULTS["multi-turn"]), "seed": seed}))
        return {
            block
            for session in workload.sessions
            for turn in session.turns
            for message in turn.added
            for block in message.text.seeds
        }

    assert not seeds(1) & seeds(2)


def test_turns_of_a_timed_session_are_spaced_and_bring_the_answers_themselves() -> None:
    workload = generate(DEFAULTS["multi-turn"])
    session = max(workload.sessions, key=lambda session: len(session.turns))
    assert not session.closed
    roles = [[message.role for message in turn.added] for turn in session.turns]
    assert roles[0] == ["system", "user"]
    assert all(later == ["assistant", "user"] for later in roles[1:])
    for earlier, later in pairwise(session.turns):
        assert later.wait_s > earlier.wait_s
        assert later.added[0].text.tokens == earlier.output_tokens


def test_turns_of_a_thinking_session_leave_the_answers_to_the_server() -> None:
    shape = Shape(**{**vars(DEFAULTS["agentic"]), "timed": False})
    session: Session = max(generate(shape).sessions, key=lambda session: len(session.turns))
    assert session.closed
    assert session.answers_kept
    assert [message.role for turn in session.turns[1:] for message in turn.added] == ["user"] * (
        len(session.turns) - 1
    )


@pytest.mark.parametrize("bad", [{"requests": 0}, {"rate_per_s": 0.0}, {"turns": 0}])
def test_a_workload_without_requests_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least one request"):
        generate(Shape(**{**vars(DEFAULTS["multi-turn"]), **bad}))
