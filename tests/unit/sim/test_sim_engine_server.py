"""A simulated server that is an inference engine: what is measured of the requests there."""

import pytest

from penstock.core.request import Request
from penstock.sim.engine_timing import EngineTiming
from penstock.sim.inference import EngineLimits, InferenceEngine
from penstock.sim.kernel.engine_server import EngineServer, JobSequence, PromptJob
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.faults import Failure
from penstock.sim.kernel.server import Server
from tests.unit.sim.worlds import GivenWork, SmallWorld

# A prompt of 100 tokens takes 110 ms, each further token of its answer 6 ms.
TIMING = EngineTiming(prefill_base=10.0, prefill_token=1.0, decode_base=5.0, decode_sequence=1.0)


class Prompts(GivenWork):
    """Prompts of 100 tokens, each with an answer of two."""

    def next_job(self, number: int, now: float) -> PromptJob:
        request = Request(prompt_tokens=100, blocks=[], block_tokens=16)
        job = PromptJob(number, request, now, 2, [])
        self.jobs.append(job)
        return job


def waits_ms(arrivals_s: list[float], *, speed: float = 1.0, sequences: int = 1) -> list[float]:
    """How long each prompt waited for an engine of so many sequences at once."""
    clock = Clock()
    limits = EngineLimits(4096, max_sequences=sequences)
    engine: InferenceEngine[JobSequence] = InferenceEngine(TIMING, limits)
    world = SmallWorld(clock, [EngineServer("e", clock, engine, speed=speed)])
    world.play(arrivals_s, [], Prompts([]))
    return [round((job.began - job.born) * 1000, 6) for job in world.jobs]


def test_prompts_wait_until_the_engine_begins_with_them() -> None:
    assert waits_ms([0.0, 0.0, 1.0]) == [0.0, 116.0, 0.0]


def test_a_prompt_that_comes_within_a_step_waits_for_its_end() -> None:
    assert waits_ms([0.0, 0.1], sequences=2) == [0.0, 10.0]


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_waiting_is_measured_in_the_time_of_the_world_not_of_the_engine(speed: float) -> None:
    assert waits_ms([0.0, 0.0], speed=speed) == [0.0, 116.0 / speed]


@pytest.mark.parametrize(("fails_at_s", "ended"), [(0.05, "200"), (0.112, "reset")])
def test_what_a_dying_engine_had_begun_to_answer_is_not_repeated(
    fails_at_s: float, ended: str
) -> None:
    clock = Clock()
    engines: list[Server] = []
    for name in ("e", "f"):
        engine: InferenceEngine[JobSequence] = InferenceEngine(TIMING, EngineLimits(4096))
        engines.append(EngineServer(name, clock, engine))
    world = SmallWorld(clock, engines, attempts=2)
    clock.at(Failure(0, [world.balancer], 100.0), fails_at_s)
    [(_, how)] = world.play([0.0], [], Prompts([]))
    assert how == ended


def test_a_prompt_that_engines_refuse_is_tried_once_at_each() -> None:
    clock = Clock()
    engines: list[Server] = []
    for name in ("e", "f"):
        engine: InferenceEngine[JobSequence] = InferenceEngine(TIMING, EngineLimits(4096))
        engines.append(EngineServer(name, clock, engine, room=1))
    world = SmallWorld(clock, engines, attempts=5)
    ends = world.play([0.0, 0.0, 0.0], [], Prompts([]))
    assert sorted(how for _, how in ends) == ["200", "200", "503"]
    assert [job.attempt_number for job in world.jobs] == [1, 1, 2]
