"""The time to first token that no router can be below: reached by engines left in peace, and by
nobody beaten."""

from itertools import pairwise

import msgspec
import pytest

from benchmarks.routing import floor
from benchmarks.routing.fleets import ALIKE, PROFILE, SPEEDS
from benchmarks.routing.live import counted_from_s
from benchmarks.routing.simulated import EVERY_POLICY, scenario, simulate
from benchmarks.routing.workloads import kinds
from penstock.fleet.engine.generation import Generation
from penstock.fleet.engine.intake import Intake
from penstock.fleet.engine.protocol import ChatRequest
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.replay.client import StreamClient
from penstock.fleet.replay.generate import Shape, generate
from penstock.fleet.replay.run import departures, prompt_of
from penstock.fleet.replay.session import Workload
from penstock.sim.engine_timing import PROFILES
from penstock.sim.experiment import compare
from penstock.sim.inference import InferenceEngine
from penstock.sim.scenario_file import scenario_of

[SHARED] = [kind for kind in kinds(None) if kind.name == "shared prompts"]
# Conversations of three turns; three system prompts. Open: turns bring the answers before them.
TALKS = Shape("multi-turn", 30, 0.01, 3, 500, 3, 150, 50, 10.0)


def in_peace(workload: Workload) -> list[float]:
    """The times to first token at one emulated engine that gets each request when it is idle."""
    spec = EngineSpec("one", profile=PROFILE)
    intake = Intake(spec)
    timing, limits = PROFILES[PROFILE].timing, spec.limits(256)
    engine: InferenceEngine[Generation] = InferenceEngine(timing, limits)
    client = StreamClient("", spec.model, "chat", headers={}, timeout_s=0.0, keep_answers=False)
    now = 0.0
    found = []
    for _, session, number in departures(workload.sessions):
        body = client.body(prompt_of(session, number), session.turns[number].output_tokens)
        generation = intake.generation(msgspec.json.decode(body, type=ChatRequest))
        engine.submit(generation, now)
        while (due := engine.due) is not None:
            engine.step(due)
            now = due
        found.append(generation.first_token_at - generation.arrived_at)
    return found


def test_one_emulated_engine_that_gets_requests_far_apart_is_at_the_floor() -> None:
    workload = generate(TALKS)
    found = [first_s for _, first_s in floor.first_tokens(workload)]
    assert found == pytest.approx(in_peace(workload))
    assert min(found) < 0.8 * found[0]  # prefixes were found


def test_one_simulated_engine_that_gets_requests_far_apart_is_at_the_floor() -> None:
    tenant = {"name": "talks", "groups": 3, "system_tokens": 500, "turns": 3}
    alone = scenario_of(
        {
            "arrivals": {"rate": 1e-4},
            "prompts": {"tenants": [tenant]},
            "servers": [{"model": "engine", "engine": {"profile": PROFILE}}],
            "run": {"customers": 60, "replications": 2},
        }
    )
    [result] = compare(alone, processes=0).results
    mean, tail = floor.simulated(alone)
    assert mean.mean == pytest.approx(result.interval("ttft").mean)
    assert tail.mean == pytest.approx(result.interval("ttft p99").mean)


@pytest.mark.large
@pytest.mark.parametrize("fleet", SPEEDS)
def test_no_policy_is_below_the_floor(fleet: str) -> None:
    comparison = simulate(SHARED, fleet, 200, 2, EVERY_POLICY)
    mean, tail = floor.simulated(scenario_of(scenario(SHARED, fleet, 200, 2)))
    assert mean.mean > 0.0
    for result in comparison.results:
        assert mean.mean <= result.interval("ttft").mean
        assert tail.mean <= result.interval("ttft p99").mean


def test_engines_of_half_the_speed_have_twice_the_floor() -> None:
    workload = generate(TALKS)
    quick = [first_s for _, first_s in floor.first_tokens(workload, 1.0)]
    assert [first_s for _, first_s in floor.first_tokens(workload, 0.5)] == pytest.approx(
        [2.0 * first_s for first_s in quick]
    )


def test_a_turn_that_waits_for_an_answer_comes_after_it_and_finds_it() -> None:
    """Only what was added is computed: a tool's output, the tokens around it, part of a block."""
    shape = Shape("agentic", 3, 1.0, 1, 4000, 3, 800, 100, 1.0, timed=False, seed=5)
    [session] = [s for s in generate(shape).sessions if len(s.turns) > 1][:1]
    timing = PROFILES[PROFILE].timing
    served = list(floor.first_tokens(Workload("one", (session,))))
    assert len(served) == len(session.turns)
    for (before, turn), (earlier, later) in zip(
        pairwise(session.turns), pairwise(served), strict=True
    ):
        answer_s = (before.output_tokens - 1) * timing.decode_base / 1000
        assert later[0] > earlier[0] + earlier[1] + answer_s + turn.wait_s
        assert later[1] < timing.prefill_ms(turn.added[0].text.tokens + 64, 8000) / 1000


def test_the_floor_of_a_live_run_counts_what_the_run_counts() -> None:
    found = floor.live(SHARED, ALIKE, 12.0, 1)
    sent = departures(SHARED.live(12.0, 1, ALIKE).sessions)
    assert found.requests == sum(at_s >= counted_from_s(SHARED, 12.0) for at_s, _, _ in sent)
    assert 0.0 < found.ttft_mean_s < found.ttft_p99_s
