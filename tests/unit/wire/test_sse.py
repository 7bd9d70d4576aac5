"""A stream is metered the same however it is cut, and whatever is in it."""

import json
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.sse import SseMeter


def metered(*pieces: bytes) -> SseMeter:
    meter = SseMeter()
    for piece in pieces:
        meter.feed(piece)
    meter.end()
    return meter


def facts(meter: SseMeter) -> tuple[object, ...]:
    return (
        meter.events,
        meter.done,
        meter.finish_reason,
        meter.prompt_tokens,
        meter.cached_tokens,
        meter.output_tokens,
    )


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def text(content: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return event({"choices": [choice], "usage": None, **more})


USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 16},
}
CHAT = (
    text("a")
    + text('"usage": {"completion_tokens": 99}')
    + text("usage", finish_reason=None)
    + event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    + event({"choices": [], "usage": USAGE})
    + b"data: [DONE]\n\n"
)
ANTHROPIC = (
    b"event: message_start\n"
    + event(
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
    )
    + b": a comment\n\nevent: content_block_delta\n"
    + event({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}})
    + b"event: message_delta\n"
    + event({"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}})
)
RESPONSES = event({"type": "response.output_text.delta", "delta": "a"}) + event(
    {"response": {"status": "completed", "usage": {"input_tokens": 4, "output_tokens": 2}}}
)


def test_a_chat() -> None:
    assert facts(metered(CHAT)) == (5, True, "stop", 30, 16, 3)


def test_anthropic_messages() -> None:
    assert facts(metered(ANTHROPIC)) == (3, False, "end_turn", 5, -1, 7)


def test_a_response() -> None:
    assert facts(metered(RESPONSES)) == (2, False, "", 4, -1, 2)


def test_a_response_is_known_by_name_before_its_first_token() -> None:
    created = event({"type": "response.created", "response": {"id": "resp_1", "usage": None}})
    meter = metered(created)
    assert (meter.response_id, meter.begun) == ("resp_1", False)
    assert facts(metered(created, RESPONSES)) == (3, False, "", 4, -1, 2)


def test_a_whole_response_is_known_by_name_and_other_answers_are_not() -> None:
    meter = SseMeter()
    meter.read(json.dumps({"object": "chat.completion", "id": "chatcmpl-1"}).encode())
    meter.read(json.dumps({"object": "response", "id": 7}).encode())
    assert meter.response_id == ""
    meter.read(json.dumps({"object": "response", "id": "resp_1", "usage": None}).encode())
    assert meter.response_id == "resp_1"
    assert metered(CHAT).response_id == metered(ANTHROPIC).response_id == ""


def test_cached_tokens_of_anthropic_count_as_prompt() -> None:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 100}
    meter = metered(event({"message": {"usage": usage}}))
    assert (meter.prompt_tokens, meter.cached_tokens) == (105, 100)
    taken_in = usage | {"cache_creation_input_tokens": 30}
    assert metered(event({"message": {"usage": taken_in}})).prompt_tokens == 135


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": None},
        {"choices": [{"finish_reason": {"type": "stop"}}]},
        {"status": 200, "type": 7},
        {"message": "all is well"},
        {"delta": 5},
    ],
)
def test_usage_counts_whatever_stands_beside_it(odd: dict[str, Any]) -> None:
    meter = metered(event({**odd, "usage": USAGE}))
    assert (meter.prompt_tokens, meter.cached_tokens, meter.output_tokens) == (30, 16, 3)


@pytest.mark.parametrize("nonsense", [-1, -(10**20), 2**31, 2**63, 10**30])
def test_counts_that_no_answer_can_have_are_not_known(nonsense: int) -> None:
    details = {"cached_tokens": nonsense}
    openai = {"prompt_tokens": nonsense, "completion_tokens": 3, "prompt_tokens_details": details}
    meter = metered(event({"choices": [], "usage": openai}))
    assert (meter.prompt_tokens, meter.cached_tokens, meter.output_tokens) == (-1, -1, 3)
    anthropic = {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": nonsense}
    taken_in = anthropic | {"cache_creation_input_tokens": nonsense}
    meter = metered(event({"message": {"usage": taken_in}}))
    assert (meter.prompt_tokens, meter.cached_tokens, meter.output_tokens) == (7, 2, -1)


def test_lines_may_end_in_crlf_and_events_have_several() -> None:
    assert facts(metered(CHAT.replace(b"\n", b"\r\n"))) == facts(metered(CHAT))
    pieces = b'data: {"choices":[],\ndata: "usage":{"completion_tokens":4}}\n\n'
    meter = metered(pieces)
    assert (meter.events, meter.output_tokens) == (1, 4)


def test_an_event_that_is_no_json_is_counted() -> None:
    assert metered(b'data: {"usage":{\n\ndata:\n\n').events == 2


def test_a_line_beyond_measure_is_counted_and_passed_over() -> None:
    long = b"data: " + b"x" * 3_000_000 + b"\n\n"
    assert facts(metered(long + CHAT)) == (6, True, "stop", 30, 16, 3)
    pieces = [long[at : at + 65536] for at in range(0, len(long), 65536)]
    assert facts(metered(*pieces, CHAT)) == (6, True, "stop", 30, 16, 3)


@given(cuts=st.lists(st.integers(0, len(CHAT + ANTHROPIC)), max_size=20), crlf=st.booleans())
def test_any_cut_gives_the_same(cuts: list[int], crlf: bool) -> None:
    stream = CHAT + ANTHROPIC
    if crlf:
        stream = stream.replace(b"\n", b"\r\n")
    ends = [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(ends)]
    assert facts(metered(*pieces)) == facts(metered(stream))


@given(pieces=st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_is_metered_the_same_whole_and_in_pieces(pieces: list[bytes]) -> None:
    assert facts(metered(*pieces)) == facts(metered(b"".join(pieces)))


@given(
    lines=st.lists(
        st.sampled_from([b"data:", b"data: {}", b"\n", b"\r", b"\r\n", b"da", b"ta: [DONE]", b" "]),
        max_size=30,
    )
)
def test_odd_lines_are_metered_the_same_whole_and_in_pieces(lines: list[bytes]) -> None:
    assert facts(metered(*lines)) == facts(metered(b"".join(lines)))


def test_the_first_token_is_told_from_what_only_announces_it() -> None:
    """Anthropic's and OpenAI's newer streams open with events that bring no token."""
    for announcing in (
        b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n',
        b'data: {"type":"content_block_start","index":0}\n\n',
        b'data: {"type":"response.created","response":{}}\n\n',
    ):
        meter = SseMeter()
        meter.feed(announcing)
        assert not meter.begun
        meter.feed(b'data: {"type":"content_block_delta","delta":{"text":"a"}}\n\n')
        assert meter.begun


def test_text_that_quotes_an_announcing_event_is_a_token() -> None:
    meter = SseMeter()
    meter.feed(b'data: {"choices":[{"delta":{"content":"\\"type\\": \\"ping\\""}}]}\n\n')
    assert meter.begun


@pytest.mark.parametrize(
    "told",
    [
        {"error": {"message": "out of memory", "type": "InternalServerError", "code": 500}},
        {"object": "error", "message": "out of memory", "code": 500},  # older vLLM
        {"error": "out of memory", "error_type": "generation"},  # TGI
        {"type": "error", "error": {"type": "overloaded_error", "message": "out of memory"}},
    ],
)
def test_an_error_in_the_place_of_an_answer_is_told_and_brings_no_token(
    told: dict[str, Any],
) -> None:
    meter = metered(event(told) + b"data: [DONE]\n\n")
    assert (meter.finish_reason, meter.failure) == ("error", "out of memory")
    assert meter.done
    assert not meter.begun
    whole = SseMeter()
    whole.read(json.dumps(told).encode())
    assert (whole.finish_reason, whole.failure) == ("error", "out of memory")


@pytest.mark.parametrize(
    "told",
    [
        {"object": "response", "error": None, "usage": USAGE},
        {"error": None, "choices": [], "usage": USAGE},
        {"delta": {"content": "error"}, "usage": USAGE},
        {"delta": {"content": '"error": "no"'}, "usage": USAGE},
    ],
)
def test_what_only_speaks_of_errors_is_none(told: dict[str, Any]) -> None:
    meter = metered(event(told))
    assert (meter.failure, meter.finish_reason, meter.output_tokens) == ("", "", 3)


def test_progress_through_a_prompt_is_no_token() -> None:
    """llama.cpp tells it where a client asks (``return_progress``)."""
    delta = {"role": "assistant", "content": None}
    meter = SseMeter()
    meter.feed(event({"choices": [{"delta": delta}], "prompt_progress": {"processed": 512}}))
    assert not meter.begun
    meter.feed(event({"choices": [{"delta": {"content": "a"}}]}))
    assert meter.begun


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 40, "completion_tokens": 7}])
def test_llamacpp_tells_what_it_found_cached_with_its_times(usage: dict[str, int] | None) -> None:
    """And all else too, to a client that asked for no usage."""
    timings = {"cache_n": 36, "prompt_n": 4, "prompt_ms": 13.5, "predicted_n": 7}
    told = {"choices": [{"finish_reason": "stop", "delta": {}}], "timings": timings, "usage": usage}
    meter = metered(event(told))
    assert (meter.prompt_tokens, meter.cached_tokens, meter.output_tokens) == (40, 36, 7)


def test_events_parted_by_one_newline_are_read_line_by_line() -> None:
    token = b'data: {"choices": [{"delta": {"content": "a"}}]}\n'
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}\n'
    meter = SseMeter()
    meter.feed(token * 2)
    assert (meter.events, meter.begun) == (1, True)
    meter.feed(token + usage + b"data: [DONE]\n")
    assert (meter.events, meter.prompt_tokens, meter.done) == (4, 7, True)
    assert metered(token * 3).events == 3


def test_an_event_of_many_lines_is_kept_within_a_bound() -> None:
    meter = SseMeter()
    tracemalloc.start()
    for _ in range(3000):
        meter.feed(b"data: " + b"x" * 1000 + b"\n")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_500_000
    meter.feed(b"\n")
    assert meter.events == 1


@pytest.mark.parametrize(
    "nothing",
    [
        b"null",
        b"",
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": null}]}',
        b'{"choices": [{"delta": {"role": "assistant", "content": ""}}]}',
        b'{"choices": [{"delta": {"role": "assistant", "content": null, "tool_calls": []}}]}',
        b'{"choices": [{"text": "", "finish_reason": null}]}',
    ],
)
def test_what_brings_nothing_is_not_the_first_token(nothing: bytes) -> None:
    assert not metered(b"data: " + nothing + b"\n\n").begun


@pytest.mark.parametrize(
    "token",
    [
        b'{"choices": [{"delta": {"role": "assistant", "content": "a"}}]}',
        b'{"choices": [{"delta": {"reasoning_content": "a"}}]}',
        b'{"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}',
        b'{"choices": [{"delta": {}, "finish_reason": "stop"}]}',
        b'{"choices": [{"text": "a"}]}',
        b'{"choices": "of another kind"}',
    ],
)
def test_what_brings_any_of_the_answer_is(token: bytes) -> None:
    assert metered(b"data: " + token + b"\n\n").begun


def test_llamacpps_own_streams_tell_tokens_by_timings_alone() -> None:
    meter = SseMeter()
    meter.tells_timings = True
    meter.feed(b'data: {"index":0,"content":"a","stop":false}\n\n')
    meter.feed(
        b'data: {"content":"","stop":true,"timings":{"cache_n":9,"prompt_n":1,"predicted_n":3}}\n\n'
    )
    assert (meter.prompt_tokens, meter.cached_tokens, meter.output_tokens) == (10, 9, 3)
