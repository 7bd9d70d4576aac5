"""Policies that learn, where what is best changes: their regret against policies that do not.

Nothing of this is published; it is here to see whether learning pays, and what it costs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from benchmarks.reproductions.reproduction import Effort, Reproduction, table
from penstock.core.snapshot import PolicyChoice
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Deterministic
from penstock.sim.kernel.source import Workload
from penstock.sim.outcome import policy_label
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of
from penstock.sim.statistics import interval
from penstock.sim.world import build_world

_REPLICATIONS: Final = 5
_PHASE_S: Final = 300.0
_PHASES: Final = 3

# Ten servers. Equal ones, whose answers vary much, are best chosen by their queues; when half of
# them work at a third of their speed, in the second phase, by their latency.
_SWITCHING: Final[dict[str, Any]] = {
    "arrivals": {"load": 0.35},
    "service": {"law": "log-normal", "mean": "100ms", "cv2": 4},
    "servers": [{"count": 10}],
}
_SWITCHES: Final = tuple(dict.fromkeys(range(5), speed) for speed in (1.0, 0.3, 1.0))
_CANDIDATES: Final = ("least-request", "least-response-time", "peak-ewma")
_ADAPTIVE: Final[tuple[dict[str, Any], ...]] = (
    {"name": "adaptive", "policies": ", ".join(_CANDIDATES)},
    {"name": "adaptive", "policies": ", ".join(_CANDIDATES), "decay_s": 60.0},
)

# Four servers that are far from full: only their speeds tell them apart, and these change places.
_ARMS: Final[dict[str, Any]] = {
    "arrivals": {"rate": 50},
    "service": {"law": "gamma", "mean": "100ms", "cv2": 0.25},
    "servers": [{"count": 4, "slots": 64}],
}
_SPEEDS: Final = (
    {0: 2.0, 1: 1.0, 2: 1.0, 3: 0.5},
    {0: 0.5, 1: 1.0, 2: 1.0, 3: 2.0},
    {0: 1.0, 1: 2.0, 2: 1.0, 3: 0.5},
)
_FIXED: Final = ("random", "round-robin", "least-request", "least-response-time", "peak-ewma")
_LEARNING: Final[tuple[dict[str, Any], ...]] = (
    {"name": "thompson"},
    {"name": "thompson", "decay_s": 10.0},
)


class _Phases(Workload):
    """Passes on what ``inner`` makes, and sums the responses of what came in each phase."""

    def __init__(self, inner: Workload, clock: Clock, phase_s: float) -> None:
        super().__init__(Deterministic(1.0), Random(0))
        self._passed_on = inner
        self._clock = clock
        self._phase_s = phase_s
        self._sums = [0.0] * _PHASES
        self._counts = [0] * _PHASES

    def next_job(self, number: int, now: float) -> Job:
        return self._passed_on.next_job(number, now)

    def on_end(self, job: Job) -> None:
        phase = min(int(job.born / self._phase_s), _PHASES - 1)
        self._sums[phase] += self._clock.now - job.born
        self._counts[phase] += 1
        self._passed_on.on_end(job)

    def means(self) -> list[float]:
        """Of each phase, and of all."""
        each = [total / count for total, count in zip(self._sums, self._counts, strict=True)]
        return [*each, sum(self._sums) / sum(self._counts)]


@dataclass(frozen=True)
class _Found:
    """Mean responses of each phase and of all, by replication; and what the policy believed."""

    label: str
    means: list[list[float]]
    believed: str

    def phase(self, number: int) -> list[float]:
        return [row[number] for row in self.means]


def switch(effort: Effort) -> list[str]:
    """``adaptive`` between three policies, whose order changes."""
    fixed = [{"name": name} for name in _CANDIDATES]
    return _compared(_SWITCHING, _SWITCHES, fixed, _ADAPTIVE, effort)


def arms(effort: Effort) -> list[str]:
    """``thompson`` over servers whose speeds change places."""
    fixed = [{"name": name} for name in _FIXED]
    return _compared(_ARMS, _SPEEDS, fixed, _LEARNING, effort)


def _compared(
    world: Mapping[str, Any],
    speeds: Sequence[Mapping[int, float]],
    fixed: Sequence[dict[str, Any]],
    learning: Sequence[dict[str, Any]],
    effort: Effort,
) -> list[str]:
    phase_s = max(20.0, _PHASE_S * effort.scale)
    scenario = _scenario(world, speeds, [*fixed, *learning], phase_s)
    found = [_measured(scenario, policy, phase_s) for policy in scenario.policies]
    best = min(found[: len(fixed)], key=lambda each: sum(each.phase(_PHASES)))
    return [
        *table(
            [
                "policy",
                *(f"phase {number + 1}" for number in range(_PHASES)),
                "all",
                "regret, of the best fixed",
                "what it came to believe",
            ],
            [_row(each, best) for each in found],
        ),
        "",
        f"The best fixed policy of the whole run is {best.label}.",
    ]


def _row(found: _Found, best: _Found) -> list[str]:
    regrets = [
        (own - its) / its
        for own, its in zip(found.phase(_PHASES), best.phase(_PHASES), strict=True)
    ]
    regret = interval(regrets)
    return [
        found.label,
        *(f"{interval(found.phase(n)).mean * 1000:.1f} ms" for n in range(_PHASES + 1)),
        "–" if found is best else f"{regret.mean:+.1%} ± {regret.half_width:.1%}",
        found.believed,
    ]


def _scenario(
    world: Mapping[str, Any],
    speeds: Sequence[Mapping[int, float]],
    policies: Sequence[dict[str, Any]],
    phase_s: float,
) -> Scenario:
    incidents = [
        {"at": f"{phase * phase_s:g}s", "servers": [server], "speed": speed}
        for phase, of_phase in enumerate(speeds)
        for server, speed in of_phase.items()
    ]
    run = {"duration": f"{_PHASES * phase_s:g}s", "warm_up": 0.0}
    return scenario_of({**world, "incidents": incidents, "policies": policies, "run": run})


def _measured(scenario: Scenario, policy: PolicyChoice, phase_s: float) -> _Found:
    means, believed = [], ""
    for replication in range(1, _REPLICATIONS + 1):
        world = build_world(scenario, policy, replication)
        phases = _Phases(world.source.workload, world.clock, phase_s)
        world.source.workload = phases
        world.run()
        means.append(phases.means())
        beliefs = world.balancers[0].pool.policy.beliefs()
        believed = believed or ", ".join(
            f"{name} {told['share_of_slots']:.0%} of slots"
            for name, told in beliefs.items()
            if "share_of_slots" in told
        )
    return _Found(policy_label(policy), means, believed)


SWITCH: Final = Reproduction("adaptive", "Adaptive: policies whose order changes", switch)
ARMS: Final = Reproduction("thompson", "Thompson: servers whose speeds change places", arms)
