"""Runs the cases of a scenario in turn, round after round, and holds what was measured."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.balancers import Balancer
from benchmarks.failure import MeasurementError
from benchmarks.scenarios.scenario import Bench, Sample, Scenario, Target


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of a value over rounds."""

    median: float
    least: float
    greatest: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass
class Result:
    """Samples by row, one for each round."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    baselines: dict[str, dict[str, str]] = field(default_factory=dict)  # rows to divide by
    failures: dict[str, str] = field(default_factory=dict)  # why a row is not there

    def value(self, label: str) -> Spread:
        return spread([sample.value for sample in self.samples[label]])

    def seen(self, label: str, column: str) -> float | None:
        """The median of what else was seen, where it was."""
        values = [s.seen[column] for s in self.samples[label] if column in s.seen]
        return statistics.median(values) if values else None

    def columns(self) -> list[str]:
        """Titles of everything else that was seen, in order."""
        titles: dict[str, None] = {}
        for samples in self.samples.values():
            for sample in samples:
                titles.update(dict.fromkeys(sample.seen))
        return list(titles)

    def ratio(self, label: str, *to: str) -> Spread | None:
        """Of values measured in the same round, to the least of ``to``; None where one lacks.

        Without ``to``: the value itself.
        """
        if label not in self.samples or not all([name in self.samples for name in to]):
            return None
        return spread(
            [
                sample.value / min([self.samples[name][n].value for name in to], default=1.0)
                for n, sample in enumerate(self.samples[label])
            ]
        )

    def is_met(self, target: Target) -> bool | None:
        """By the median; None where it was not measured."""
        ratio = self.ratio(target.label, *target.to)
        if ratio is None:
            return None
        return ratio.median >= target.bound if target.at_least else ratio.median <= target.bound


def run_rounds(
    scenario: Scenario,
    balancers: Sequence[Balancer],
    bench: Bench,
    tell: Callable[[str], None],
) -> Result:
    """A B C D, A B C D, …: what slows the machine for a while slows all of a round.

    A row that fails once is left out, with the reason in its place.
    """
    result = Result()
    cases = scenario.cases(balancers)
    result.baselines = {case.label: scenario.baselines(case) for case in cases}
    for number in range(bench.rounds):
        for case in cases:
            if case.label in result.failures:
                continue
            try:
                sample = scenario.measure(case, bench)
            except MeasurementError as error:
                result.failures[case.label] = str(error)
                result.samples.pop(case.label, None)
                tell(f"{scenario.name} {number + 1}/{bench.rounds} {case.label}: failed: {error}")
                continue
            result.samples.setdefault(case.label, []).append(sample)
            tell(
                f"{scenario.name} {number + 1}/{bench.rounds} {case.label}: "
                f"{sample.value:.4g} {scenario.unit}"
            )
    return result
