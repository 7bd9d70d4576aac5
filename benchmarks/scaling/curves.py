"""Every rule at every setting of its target: broken minutes against endpoint-hours."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

from benchmarks.scaling.days import Load
from penstock.sim.scaling.course import Course, run_course
from penstock.sim.scaling.dynamo import DynamoArima, DynamoLastValue
from penstock.sim.scaling.hpa import HorizontalPodAutoscaler
from penstock.sim.scaling.kpa import KnativePodAutoscaler
from penstock.sim.scaling.oracle import Oracle
from penstock.sim.scaling.planned import WITHOUT, Planned
from penstock.sim.scaling.predictive import Predictive
from penstock.sim.scaling.rule import Fleet, ScalingRule
from penstock.sim.scaling.target_tracking import TargetTracking

FLEET: Final = Fleet(concurrency=4, service_s=0.2, start_s=180.0, fewest=2, most=400)
_BUSY: Final = (0.6, 0.65, 0.7, 0.75, 0.8)
_SPARE: Final = (0.0, 0.03, 0.06, 0.1)
_WIDEST_S: Final = 1.8 * FLEET.start_s  # of the starts that are drawn


@dataclass(frozen=True)
class Entry:
    """A rule, and the settings that its users would try."""

    name: str
    make: Callable[[float], ScalingRule]
    targets: tuple[float, ...] = _BUSY


ENTRIES: Final = (
    Entry("hpa", partial(HorizontalPodAutoscaler, FLEET)),
    Entry("kpa", partial(KnativePodAutoscaler, FLEET)),
    Entry("target-tracking", partial(TargetTracking, FLEET)),
    Entry("predictive", partial(Predictive, FLEET)),
    Entry("dynamo-last-value", partial(DynamoLastValue, FLEET)),
    Entry("dynamo-arima", partial(DynamoArima, FLEET)),
)


def ours(forecast: str, quantile: float = 0.75) -> Entry:
    """The planner with that forecast; its target is the share of capacity that is kept spare."""
    make = partial(Planned, FLEET, forecast=forecast, quantile=quantile)
    name = f"penstock ({forecast})" if forecast == WITHOUT else f"penstock ({forecast}, {quantile})"
    return Entry(name, make, _SPARE)


@dataclass(frozen=True)
class Task:
    """One course to run."""

    entry: Entry
    target: float
    load: Load
    seed: int
    begin_s: float
    length_s: float


@dataclass
class Point:
    """One rule at one setting, over all courses of a kind of days."""

    rule: str
    target: float
    broken_minutes: float = 0.0
    endpoint_hours: float = 0.0
    turns: int = 0
    hasty_turns: int = 0
    days: float = 0.0

    def add(self, course: Course) -> None:
        """One more."""
        self.broken_minutes += course.broken_minutes
        self.endpoint_hours += course.endpoint_hours
        self.turns += course.turns
        self.hasty_turns += course.hasty_turns
        self.days += course.measured_s / 86400.0


def points(
    loads: Sequence[Load],
    entries: Sequence[Entry],
    *,
    begin_s: float,
    length_s: float,
    processes: int,
) -> list[Point]:
    """All of them, the oracle's first."""
    oracle = Entry("oracle", partial(Oracle, FLEET), (1.0,))
    tasks = [
        Task(entry, target, load, seed, begin_s, length_s)
        for entry in (oracle, *entries)
        for target in entry.targets
        for seed, load in enumerate(loads)
    ]
    found: dict[tuple[str, float], Point] = {}
    with ProcessPoolExecutor(processes) as pool:
        for task, course in zip(tasks, pool.map(_run, tasks), strict=True):
            key = (task.entry.name, task.target)
            found.setdefault(key, Point(*key)).add(course)
    return list(found.values())


def _run(task: Task) -> Course:
    def make() -> ScalingRule:
        if task.entry.name == "oracle":
            return Oracle(FLEET, task.target, task.load.at, _WIDEST_S)
        rule = task.entry.make(task.target)
        rule.learn(task.load.minutes(task.begin_s), task.begin_s)
        return rule

    return run_course(
        make,
        FLEET,
        task.load.at,
        seed=task.seed,
        begin_s=task.begin_s,
        length_s=task.length_s,
    )


def broken_at(curve: Sequence[Point], endpoint_hours: float) -> float:
    """A rule's broken minutes at so many endpoint-hours, by the line between its settings.

    Infinite below the cheapest setting; beyond the dearest as many as there.
    """
    ordered = sorted(curve, key=lambda point: point.endpoint_hours)
    if endpoint_hours < ordered[0].endpoint_hours:
        return float("inf")
    best = ordered[0].broken_minutes
    for left, right in pairwise(ordered):
        if right.endpoint_hours > endpoint_hours:
            share = endpoint_hours - left.endpoint_hours
            share /= right.endpoint_hours - left.endpoint_hours
            line = left.broken_minutes + share * (right.broken_minutes - left.broken_minutes)
            return min(best, line)
        best = min(best, right.broken_minutes)
    return best
