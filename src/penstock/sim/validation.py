"""The simulator against theory: every known value must lie within its own 95% interval.

Replications are long compared with the time in which a queue forgets its past. Their number is
found in stages for the precision that is wanted (Stein 1945): a pilot estimates the variance, the
rest is run, and more where that was not enough. Chance in the arrivals is removed by control
variates whose expectations are known (``kernel.controls``, ``kernel.weighed_sums``).
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Final

from penstock.sim.kernel.weighed_sums import Weights
from penstock.sim.outcome import Outcome, run_once
from penstock.sim.scenario import Scenario
from penstock.sim.statistics import Interval, controlled_interval, student_t

PILOT: Final = 24  # replications; nine controls leave 14 degrees of freedom
# A pilot of 12 knows the width to a fifth (1/√22): the rest is sized for one that much wider.
_SAFETY: Final = 1.3


@dataclass(frozen=True)
class Quantity:
    """A value that theory knows, and how an outcome estimates it.

    ``controls`` bounds how many of the general ones are used; those of ``weights`` come besides.
    ``enough`` times the wanted precision will do.
    """

    name: str
    expected: float
    read: Callable[[Outcome], float]
    controls: int = 99
    weights: Weights | None = None
    enough: float = 1.0


@dataclass(frozen=True)
class Case:
    """A system, and what is known of it. ``exact`` is false where theory approximates."""

    model: str
    setting: str
    scenario: Scenario
    quantities: tuple[Quantity, ...]
    exact: bool = True
    pilot: int = PILOT  # replications at least


@dataclass(frozen=True)
class Finding:
    """What was measured of one quantity."""

    case: Case
    quantity: Quantity
    measured: Interval
    customers: int

    @property
    def covered(self) -> bool:
        return self.measured.covers(self.quantity.expected)

    @property
    def off(self) -> float:
        """Distance from the expected value, in half-widths of the interval."""
        return abs(self.measured.mean - self.quantity.expected) / self.measured.half_width


def examine(
    case: Case,
    *,
    precision: float = 0.01,
    most: int = 10**9,
    confidence: float = 0.95,
    executor: Executor | None = None,
) -> list[Finding]:
    """Run ``case`` until every quantity is known to ``precision``, or for ``most`` customers.

    The case's pilot is always run. To stop by the width, and not by the mean, leaves coverage
    nearly as it was: of normal values the two are independent.
    """
    outcomes = _replications(case, range(case.pilot), executor)
    allowed = most // case.scenario.customers
    while (done := len(outcomes)) < allowed:
        wider = _excess(case, outcomes, precision, confidence)
        if wider <= 1.0:
            break
        wanted = min(ceil(done * (_SAFETY * wider) ** 2), allowed)
        outcomes += _replications(case, range(done, wanted), executor)
    customers = case.scenario.customers * len(outcomes)
    return [
        Finding(case, quantity, _measure(case, quantity, outcomes, confidence), customers)
        for quantity in case.quantities
    ]


def simultaneous_factor(findings: int, replications: int) -> float:
    """By how much wider intervals must be for all of ``findings`` to cover with 95% (Šidák)."""
    each = 0.95 ** (1.0 / findings)
    freedom = max(1, replications - 3)
    return student_t(each, freedom) / student_t(0.95, freedom)


def _excess(case: Case, outcomes: list[Outcome], precision: float, confidence: float) -> float:
    """How many times wider than it may be an interval is, at most."""
    return max(
        _measure(case, quantity, outcomes, confidence).half_width
        / (precision * quantity.enough * abs(quantity.expected))
        for quantity in case.quantities
    )


def _measure(
    case: Case, quantity: Quantity, outcomes: list[Outcome], confidence: float
) -> Interval:
    controls = [_controls(case, quantity, outcome) for outcome in outcomes]
    used = min(len(controls[0]), (len(outcomes) - 1) // 2)
    return controlled_interval(
        [quantity.read(outcome) for outcome in outcomes],
        [row[:used] for row in controls],
        [0.0] * used,
        confidence,
    )


def _controls(case: Case, quantity: Quantity, outcome: Outcome) -> list[float]:
    """The most telling first."""
    general = outcome.controls[: quantity.controls]
    if quantity.weights is None:
        return general
    weighed = [each.name for each in case.quantities if each.weights is not None]
    return outcome.weighed[weighed.index(quantity.name)] + general


def _replications(case: Case, numbers: range, executor: Executor | None) -> list[Outcome]:
    scenario, policy = case.scenario, case.scenario.policies[0]
    weights = [each.weights for each in case.quantities if each.weights is not None]
    run = partial(run_once, scenario, policy, controls=True, weights=weights)
    if executor is None:
        return [run(number) for number in numbers]
    return list(executor.map(run, numbers))
