"""A scenario over a range of loads: where each policy's curve bends, beside what theory says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from penstock.sim.expectation import expectation
from penstock.sim.experiment import Comparison, compare
from penstock.sim.scenario import Scenario

_POINTS: Final = 10
_MOST_POINTS: Final = 200
_KEYS: Final = ("load", "rate")
_CURVE_POINTS: Final = 40  # of theory, of which some takes tens of milliseconds each


@dataclass(frozen=True)
class Range:
    """What is varied, and its values in ascending order."""

    key: str
    values: tuple[float, ...]


def parse_range(text: str) -> Range:
    """``load=0.5..0.95``, ``load=0.5..0.95:20`` (so many points) or ``load=0.5,0.8,0.9``.

    Raises ValueError with what is expected.
    """
    key, equals, rest = text.partition("=")
    if not equals or key not in _KEYS:
        raise ValueError(f"{text!r}: write load=0.5..0.95, or rate=10..100")
    try:
        values = _values(rest)
    except ValueError as error:
        raise ValueError(
            f"{text!r}: {error}; write {key}=FROM..TO, FROM..TO:POINTS or A,B,C"
        ) from None
    if not values or min(values) <= 0.0:
        raise ValueError(f"{text!r}: values must be above 0")
    return Range(key, tuple(sorted(set(values))))


def _values(text: str) -> list[float]:
    first, dots, rest = text.partition("..")
    if not dots:
        return [float(value) for value in text.split(",")]
    last, colon, count = rest.partition(":")
    low, high = float(first), float(last)
    points = int(count) if colon else _POINTS
    if not 2 <= points <= _MOST_POINTS or not low < high:
        raise ValueError(f"needs FROM below TO, and from 2 to {_MOST_POINTS} points")
    return [round(low + (high - low) * step / (points - 1), 9) for step in range(points)]


@dataclass(frozen=True)
class Sweep:
    """One comparison for each value, in the order of the range."""

    range: Range
    comparisons: list[Comparison]

    @property
    def policies(self) -> list[str]:
        """Their labels, in order."""
        return [result.label for result in self.comparisons[0].results]

    def theory(self, policy: int, metric: str) -> list[tuple[float, float]]:
        """The closed form as a fine curve over the range; empty where none is known."""
        low, high = self.range.values[0], self.range.values[-1]
        steps = [low + (high - low) * step / _CURVE_POINTS for step in range(_CURVE_POINTS + 1)]
        found = [(value, self.theory_at(policy, metric, value)) for value in steps]
        return [(value, expected) for value, expected in found if expected is not None]

    def theory_at(self, policy: int, metric: str, value: float) -> float | None:
        """The closed form of a metric there."""
        return self.all_theory_at(policy, value).get(metric)

    def all_theory_at(self, policy: int, value: float) -> dict[str, float]:
        """Every metric whose closed form is known there."""
        scenario = self.comparisons[0].scenario
        arrivals = scenario.arrivals.model_copy(update=arrivals_at(self.range.key, value))
        there = scenario.model_copy(update={"arrivals": arrivals})
        expected = expectation(there, scenario.policies[policy])
        return {} if expected is None else expected.metrics


def arrivals_at(key: str, value: float) -> dict[str, Any]:
    """What a scenario's ``arrivals`` say at that value."""
    return {"load": None, "rate": None, key: value}


def sweep(
    make: Callable[[Mapping[str, Any]], Scenario],
    over: Range,
    *,
    processes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Connection | None = None,
) -> Sweep:
    """Compare at every value. ``make`` gives the scenario with these keys of ``arrivals`` changed.

    For the rest, and for what it raises, see ``compare``.
    """
    scenarios = [make(arrivals_at(over.key, value)) for value in over.values]
    runs = [len(each.policies) * each.run.replications for each in scenarios]
    comparisons = []
    for number, scenario in enumerate(scenarios):
        before = sum(runs[:number])
        comparisons.append(
            compare(
                scenario,
                processes=processes,
                on_progress=_shifted(on_progress, before, sum(runs)),
                stop=stop,
            )
        )
    return Sweep(over, comparisons)


def _shifted(
    on_progress: Callable[[int, int], None] | None, before: int, total: int
) -> Callable[[int, int], None] | None:
    if on_progress is None:
        return None
    return lambda done, _: on_progress(before + done, total)


def swept_metrics(comparisons: Sequence[Comparison]) -> list[str]:
    """What a sweep shows of all that was measured: the curves that people look at."""
    known = set(comparisons[0].metrics())
    shown = ("mean", "p99", "ttft", "ttft p99", "goodput", "hit rate", "errors")
    return [name for name in shown if name in known]
