"""A trace in the simulator: by its times, or as conversations that wait for their answers."""

from pathlib import Path
from random import Random

import pytest

from penstock.config.load.errors import ConfigError
from penstock.sim.kernel.events import Event
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Deterministic
from penstock.sim.kernel.source import Workload
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of
from penstock.sim.trace_conversations import NOMINAL_TOKEN_S
from penstock.sim.world import build_world

# The third continues the first, a minute later; answers are of one token.
TRACE = """\
{"timestamp": 0, "input_length": 1030, "output_length": 1, "hash_ids": [0, 1, 2]}
{"timestamp": 500, "input_length": 600, "output_length": 1, "hash_ids": [0, 3]}
{"timestamp": 60000, "input_length": 1600, "output_length": 1, "hash_ids": [0, 1, 4, 5]}
"""
PAUSE_S = 60.0 - NOMINAL_TOKEN_S


class Watched(Workload):
    """Another workload, and the jobs that it made."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(Deterministic(0.0), Random(0))
        self.workload = workload
        self.jobs: list[Job] = []

    def next_job(self, number: int, now: float) -> Job:
        self.jobs.append(self.workload.next_job(number, now))
        return self.jobs[-1]

    def next_turn(self, number: int, now: float, client: Event) -> Job:
        self.jobs.append(self.workload.next_turn(number, now, client))
        return self.jobs[-1]

    def on_end(self, job: Job) -> None:
        self.workload.on_end(job)


def scenario(trace: Path, speed: float = 1.0, **prompts: object) -> Scenario:
    trace.write_text(TRACE)
    return scenario_of(
        {
            "arrivals": {"kind": "recorded"},
            "prompts": {"trace": str(trace), **prompts},
            "servers": [{"model": "engine", "engine": {"block_tokens": 512}, "speed": speed}],
        }
    )


def jobs(played: Scenario) -> list[Job]:
    """In the order in which they were sent."""
    world = build_world(played, played.policies[0], 1)
    watched = Watched(world.source.workload)
    world.source.workload = watched
    world.run()
    return watched.jobs


@pytest.mark.parametrize("speed", [1.0, 0.01])
def test_by_its_times_a_trace_waits_for_nobody(tmp_path: Path, speed: float) -> None:
    assert [job.born for job in jobs(scenario(tmp_path / "t", speed))] == [0.0, 0.5, 60.0]


@pytest.mark.parametrize("speed", [1.0, 0.01])
def test_a_turn_comes_its_pause_after_the_answer_however_long_that_took(
    tmp_path: Path, speed: float
) -> None:
    """Whole answers are one token, so they end with their first byte."""
    first, alone, second = jobs(scenario(tmp_path / "t", speed, think=True))
    assert (first.born, alone.born) == (0.0, 0.5)
    assert second.born == pytest.approx(first.first_byte_at + PAUSE_S)
    assert [job.request.prompt_tokens for job in (first, alone, second)] == [1030, 600, 1600]


def test_the_rate_is_that_of_beginnings_not_of_thinking(tmp_path: Path) -> None:
    first, alone, second = jobs(scenario(tmp_path / "t", think=True, rate_scale=0.5))
    assert alone.born == 1.0
    assert second.born == pytest.approx(first.first_byte_at + PAUSE_S)


def test_only_a_trace_is_thought_about() -> None:
    with pytest.raises(ConfigError, match="`think` is of a trace"):
        scenario_of(
            {
                "arrivals": {"rate": 1.0},
                "prompts": {"tenants": [{"name": "a"}], "think": True},
                "servers": [{"model": "engine", "engine": {}}],
            }
        )
