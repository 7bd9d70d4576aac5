"""The engine model: timing by its formula, every token once, blocks of cache never lost."""

from collections.abc import Sequence as Seq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.sim.engine_timing import PROFILES, EngineTiming
from penstock.sim.inference import EngineLimits, InferenceEngine
from penstock.sim.kv_cache import BlockRemoved, BlockStored
from penstock.sim.sequence import Sequence

# Prefill costs 1 ms a token and 10 ms a step, decode 5 ms a step and 1 ms a sequence.
TIMING = EngineTiming(prefill_base=10.0, prefill_token=1.0, decode_base=5.0, decode_sequence=1.0)


def engine(
    kv_tokens: int = 4096, block_tokens: int = 16, budget: int = 512, recording: bool = False
) -> InferenceEngine[Sequence]:
    limits = EngineLimits(kv_tokens, block_tokens, max_batched_tokens=budget, max_sequences=8)
    return InferenceEngine(TIMING, limits, recording)


def chain(seed: int, count: int) -> list[int]:
    """Hashes of ``count`` blocks of a text of its own."""
    return [seed * 100_000 + position for position in range(count)]


def run(model: InferenceEngine[Sequence], steps: int = 100_000) -> list[tuple[float, Sequence]]:
    """Step until there is nothing to do; every emitted token with its time."""
    emitted: list[tuple[float, Sequence]] = []
    while (due := model.due) is not None and steps:
        emitted += [(due, sequence) for sequence in model.step(due)]
        steps -= 1
    return emitted


def times_ms(emitted: Seq[tuple[float, Sequence]], of: Sequence) -> list[float]:
    return [round(at * 1000, 6) for at, sequence in emitted if sequence is of]


def test_alone_the_first_token_takes_a_prefill_and_each_further_a_decode_step() -> None:
    model = engine()
    one = Sequence(100, 3)
    model.submit(one, now=1.0)
    assert times_ms(run(model), one) == [1110, 1116, 1122]
    assert one.first_token_at == pytest.approx(1.110)


def test_a_long_prompt_is_computed_in_chunks_beside_the_decoding_of_others() -> None:
    model = engine(budget=101)
    talker, reader = Sequence(100, 6), Sequence(300, 1)
    model.submit(talker, 0.0)
    model.submit(reader, 0.0)
    emitted = run(model)
    # The talker's prompt, alone; then 100 tokens of the reader's beside each token of the talker.
    mixed_ms = 10 + 100 + 1
    assert times_ms(emitted, talker)[:4] == [110 + mixed_ms * step for step in range(4)]
    assert times_ms(emitted, reader) == [110 + 3 * mixed_ms]


def test_a_prompt_seen_before_is_found_but_for_its_last_token() -> None:
    model = engine()
    blocks = chain(1, 8)
    first, again, longer = (
        Sequence(128, 1, blocks),
        Sequence(128, 1, blocks),
        Sequence(160, 1, blocks + chain(2, 2)),
    )
    for sequence in (first, again, longer):
        model.submit(sequence, 0.0)
        run(model)
    assert (first.cached_tokens, again.cached_tokens, longer.cached_tokens) == (0, 112, 128)
    load = model.load()
    assert load.prefix_queries_total == 128 + 128 + 160
    assert load.prefix_hits_total == 112 + 128


def test_an_answer_is_found_as_part_of_the_next_prompt() -> None:
    model = engine()
    blocks = chain(1, 8)
    asked = Sequence(64, 65, blocks)
    model.submit(asked, 0.0)
    run(model)
    next_turn = Sequence(150, 1, blocks + chain(2, 1))
    model.submit(next_turn, 10.0)
    run(model)
    assert next_turn.cached_tokens == 128


def test_the_prefix_used_longest_ago_is_evicted_first_and_its_end_before_its_beginning() -> None:
    model = engine(kv_tokens=160, recording=True)
    old, recent = chain(1, 4), chain(2, 4)
    for now, blocks in enumerate((old, recent)):
        model.submit(Sequence(64, 1, blocks), float(now))
        run(model)
    stored = [event for event in model.take_cache_events() if isinstance(event, BlockStored)]
    assert [event.block for event in stored] == old + recent
    assert [event.parent for event in stored[:3]] == [None, old[0], old[1]]
    model.submit(Sequence(64, 1, chain(3, 4)), 3.0)
    run(model)
    removed = [event for event in model.take_cache_events() if isinstance(event, BlockRemoved)]
    assert [event.block for event in removed] == [old[3], old[2]]


def test_without_blocks_left_the_last_admitted_is_preempted_and_still_answers_in_full() -> None:
    model = engine(kv_tokens=160)
    first, second = Sequence(64, 60), Sequence(64, 60)
    model.submit(first, 0.0)
    model.submit(second, 0.0)
    emitted = run(model)
    assert first.preemptions == 0
    assert second.preemptions >= 1
    assert len(times_ms(emitted, first)) == len(times_ms(emitted, second)) == 60
    assert model.load().preemptions_total == second.preemptions


def test_a_sequence_that_can_never_fit_is_refused() -> None:
    model = engine(kv_tokens=160)
    with pytest.raises(ValueError, match="do not fit"):
        model.submit(Sequence(150, 11), 0.0)
    assert model.due is None


def test_a_cancelled_sequence_frees_its_blocks_at_once_and_emits_no_more() -> None:
    model = engine()
    running, waiting = Sequence(600, 5), Sequence(600, 5)
    model.submit(running, 0.0)
    model.submit(waiting, 0.0)
    assert model.load().running == 1
    assert model.load().waiting == 1
    model.cancel(running)
    model.cancel(waiting)
    model.cancel(waiting)
    assert model.load().kv_used_tokens == 0
    assert run(model) == []
    assert model.due is None


def test_a_cold_start_forgets_work_cache_and_totals() -> None:
    model = engine()
    model.submit(Sequence(64, 5, chain(1, 4)), 0.0)
    run(model, steps=2)
    model.reset()
    assert model.due is None
    assert model.load() == engine().load()
    again = Sequence(64, 1, chain(1, 4))
    model.submit(again, 5.0)
    run(model)
    assert again.cached_tokens == 0


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_are_sane(name: str) -> None:
    profile = PROFILES[name]
    timing = profile.timing
    assert timing.prefill_ms(1, 0) < timing.prefill_ms(1000, 0) < timing.prefill_ms(1000, 8000)
    assert timing.decode_ms(1, 100, 0.0) < timing.decode_ms(64, 100_000, 0.5)
    # Cutting a prompt in two costs one more base, and nothing else but what context adds.
    halves = timing.prefill_ms(500, 0) + timing.prefill_ms(500, 500)
    whole = timing.prefill_ms(1000, 0)
    assert halves - whole == pytest.approx(
        timing.prefill_base + 500 * timing.prefill_context + 500 * 500 * timing.prefill_product
    )


ARRIVAL = st.tuples(
    st.integers(1, 300),  # prompt
    st.integers(1, 40),  # answer
    st.integers(0, 3),  # which text it begins with
    st.integers(0, 5),  # steps before the next arrival
    st.booleans(),  # cancelled before the next arrival
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ARRIVAL, max_size=25), st.sampled_from([352, 512, 4096]), st.integers(1, 64))
def test_every_sequence_gets_its_tokens_and_no_block_is_lost(
    arrivals: list[tuple[int, int, int, int, bool]], kv_tokens: int, budget: int
) -> None:
    model = engine(kv_tokens=kv_tokens, budget=budget)
    emitted: list[tuple[float, Sequence]] = []
    kept: list[Sequence] = []
    now = 0.0
    for prompt, answer, text, steps, cancelled in arrivals:
        sequence = Sequence(prompt, answer, chain(text, (prompt + answer) // 16))
        model.submit(sequence, now)
        emitted += run(model, steps)
        if cancelled:
            model.cancel(sequence)
        else:
            kept.append(sequence)
        now = max(now, emitted[-1][0] if emitted else 0.0)
        assert model.load().kv_used_tokens <= model.load().kv_tokens
    emitted += run(model)
    for sequence in kept:
        assert len(times_ms(emitted, sequence)) == sequence.output_tokens
        assert sequence.cached_tokens < sequence.prompt_tokens
    assert model.load().kv_used_tokens == 0
    assert model.load().running == model.load().waiting == 0
