"""The simulator against theory: every value that is known, within its own 95% interval.

Replications are long against the time in which a queue forgets its past, and as many as two
stages find to be needed for the wanted precision (Stein 1945): a pilot tells the variance, then
the rest is run. What came in by chance is taken out by control variates whose expectations are
known (``kernel.controls``).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from penstock import theory
from penstock.sim.outcome import Outcome, histogram_of, run_once
from penstock.sim.scenario import Scenario, scenario_of
from penstock.sim.statistics import Interval, controlled_interval, student_t

PILOT: Final = 24  # replications; nine controls leave 14 degrees of freedom
_SHORTEST: Final = 20_000  # customers of a replication
_WARM_UP: Final = 0.35
# A pilot of 12 knows the width to a fifth (1/√22): the rest is sized for one that much wider.
_SAFETY: Final = 1.3
_SEED: Final = 1  # fixed before the first run, whatever came of it


@dataclass(frozen=True)
class Quantity:
    """A value that theory knows, and how an outcome estimates it.

    With ``asks_for_runs`` false it is measured as precisely as the others of its case happen to
    ask for: a p99 near saturation would take thousands of times the runs of the mean.
    """

    name: str
    expected: float
    read: Callable[[Outcome], float]
    asks_for_runs: bool = True
    controls: int = 99


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

    The case's pilot is always run.
    """
    pilot = case.pilot
    outcomes = _replications(case, range(pilot), executor)
    wanted = pilot
    for quantity in case.quantities:
        if not quantity.asks_for_runs:
            continue
        measured = _measure(case, quantity, outcomes, confidence)
        allowed = precision * abs(quantity.expected)
        wanted = max(wanted, ceil(pilot * (_SAFETY * measured.half_width / allowed) ** 2))
    outcomes += _replications(
        case, range(pilot, min(wanted, most // case.scenario.customers)), executor
    )
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


def cases() -> Iterator[Case]:
    """Every value that is pinned for the formulas and that a simulation can show."""
    for load in (0.5, 0.8, 0.9, 0.95, 0.99):
        yield _one_server(load, "M/M/1", {}, p99=True)
    for load in (0.5, 0.8, 0.9):
        expected = theory.random_split(load, servers=10).response
        yield _case(
            "random split",
            f"N=10, ρ={load:g}",
            {"servers": [{"count": 10}], "policies": ["random"], "arrivals": {"load": load}},
            _forgetting(load) * 2,
            _mean(expected),
        )
    for load in (0.8, 0.9):
        for cv2 in (0.0, 0.5, 4.0, 10.0, 20.0):
            yield _one_server(load, "M/G/1", _law(cv2), cv2)
    for load in (0.5, 0.8, 0.9):
        expected = theory.md1(load, 1.0).wait
        changes = {"service": {"law": "deterministic"}, "arrivals": {"load": load}}
        yield _case("M/D/1", f"ρ={load:g}", changes, _forgetting(load), _wait(expected))
    yield from _sharing()
    yield from _many_servers()
    yield from _bounded()
    yield from _shortest_queues()


def _one_server(
    load: float, model: str, service: dict[str, Any], cv2: float = 1.0, *, p99: bool = False
) -> Case:
    expected = theory.mg1(load, 1.0, cv2).response
    quantities = [_mean(expected)]
    if p99:
        value = theory.mm1_response_quantile(load, 1.0, 0.99)
        read = _Quantile(value, 0.01, expected)
        tail = Quantity("p99", value, read, asks_for_runs=load <= 0.9, controls=2)
        quantities.append(tail)
    setting = f"ρ={load:g}" + (f", cv²={cv2:g}" if service else "")
    changes = {"service": service, "arrivals": {"load": load}}
    return _case(model, setting, changes, _forgetting(load, cv2), *quantities)


def _sharing() -> Iterator[Case]:
    laws = {"deterministic": 0.0, "exponential": 1.0, "hyper-exponential, cv²=10": 10.0}
    for load in (0.5, 0.8, 0.9):
        for name, cv2 in laws.items():
            expected = theory.processor_sharing(load, 1.0).response
            yield _case(
                "M/G/1 sharing",
                f"ρ={load:g}, {name}",
                {
                    "servers": [{"model": "sharing"}],
                    "service": _law(cv2),
                    "arrivals": {"load": load},
                },
                _forgetting(load, cv2),
                _mean(expected),
                Quantity("E[T(x)/x]", expected, lambda outcome: outcome.slowdown),
            )


def _many_servers() -> Iterator[Case]:
    sizes = [(2, 0.5), (2, 0.8), (4, 0.8), (10, 0.8), (10, 0.9), (10, 0.95), (50, 0.9), (100, 0.95)]
    for servers, load in sizes:
        offered = servers * load
        yield _case(
            "M/M/c",
            f"c={servers}, ρ={load:g}",
            {"servers": [{"slots": servers}], "arrivals": {"load": load}},
            servers * 200 + _forgetting(load),
            Quantity("P(wait)", theory.erlang_c(offered, servers), lambda o: o.waited, controls=6),
            _wait(theory.mmc(offered, 1.0, servers).wait),
        )
    for servers in (106, 111, 115, 119, 125):
        yield _case(
            "staffing",
            f"R=100, c={servers}",
            {"servers": [{"slots": servers}], "arrivals": {"rate": 100.0}},
            50_000,
            Quantity("P(wait)", theory.erlang_c(100.0, servers), lambda o: o.waited, controls=6),
        )
    for servers, load, cv2 in ((10, 0.9, 4.0), (100, 0.95, 10.0)):
        approximate = theory.allen_cunneen(
            servers * load, 1.0, servers, arrival_cv2=1.0, service_cv2=cv2
        )
        yield _case(
            "Allen–Cunneen",
            f"c={servers}, ρ={load:g}, cs²={cv2:g}",
            {"servers": [{"slots": servers}], "service": _law(cv2), "arrivals": {"load": load}},
            servers * 200 + _forgetting(load, cv2),
            _wait(approximate.wait),
            exact=False,
        )


def _bounded() -> Iterator[Case]:
    for rate, servers, capacity in ((0.8, 1, 5), (1.2, 1, 10), (3.2, 4, 10), (9.0, 10, 20)):
        steady = theory.mmck(rate, 1.0, servers, capacity)
        yield _case(
            "M/M/c/K",
            f"λ={rate:g}, c={servers}, K={capacity}",
            {
                "servers": [{"slots": servers, "room": capacity}],
                "arrivals": {"rate": rate},
            },
            _SHORTEST,
            Quantity("P(block)", steady.blocked, lambda o: o.metrics["errors"], controls=6),
            Quantity("L", steady.present, _Present(rate), controls=6),
            Quantity("Wq", steady.wait, lambda o: o.metrics["wait"], controls=6),
        )


def _shortest_queues() -> Iterator[Case]:
    for load in (0.5, 0.8, 0.9):
        yield _case(
            "shorter of two",
            f"ρ={load:g}",
            {
                "servers": [{"count": 2}],
                "policies": ["least-request"],
                "arrivals": {"load": load},
            },
            _forgetting(load),
            _mean(theory.jsq_two(load)),
        )
    # They forget their past in about 1/(1-λ) services: twelve of these, of which six warm up. What
    # is left after the correction for finitely many is about 600/N² of a service at .99, and less
    # than a hundredth of that up to .9.
    for load, servers in ((0.5, 500), (0.8, 200), (0.9, 100), (0.95, 200), (0.99, 250)):
        for choices in (2, 3, 5):
            limit = theory.jsq_mean_field(load, choices)
            added = theory.jsq_finite(load, choices, servers) - limit
            yield _case(
                "JSQ(d), N → ∞",
                f"λ={load:g}, d={choices}, N={servers}, finite: +{added:.4f}",
                {
                    "servers": [{"count": servers}],
                    "policies": [{"name": "power-of-two", "choices": choices}],
                    "arrivals": {"load": load},
                    "run": {"warm_up": 0.5},
                },
                max(_SHORTEST, int(servers * load * 12 / (1.0 - load))),
                Quantity("W", limit, _WithoutFinite(added)),
                pilot=12,  # of hundreds of servers each
            )


class _WithoutFinite:
    """The mean response, less what theory says that finitely many servers add to the limit."""

    def __init__(self, added: float) -> None:
        self._added: float = added

    def __call__(self, outcome: Outcome) -> float:
        return outcome.metrics["mean"] - self._added


class _Quantile:
    """A quantile by one step from where theory has it, where the density is ``above / mean``.

    The quantile of a run is biased near saturation, since runs are short against the time that
    the queue remembers; the share above a given value is not.
    """

    def __init__(self, value: float, above: float, mean: float) -> None:
        self._value: float = value
        self._above: float = above
        self._mean: float = mean

    def __call__(self, outcome: Outcome) -> float:
        above = histogram_of(outcome.responses).share_above(self._value)
        return self._value + self._mean * (above / self._above - 1.0)


class _Present:
    """The mean number in the system, by Little's law with the rate that is admitted."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def __call__(self, outcome: Outcome) -> float:
        metrics = outcome.metrics
        return self._rate * (1.0 - metrics["errors"]) * metrics["mean"]


def _case(
    model: str,
    setting: str,
    changes: dict[str, Any],
    customers: int,
    *quantities: Quantity,
    exact: bool = True,
    pilot: int = PILOT,
) -> Case:
    run = {
        "customers": customers,
        "replications": pilot,
        "seed": _SEED,
        "warm_up": _WARM_UP,
    } | changes.get("run", {})
    scenario = scenario_of({"servers": [{}], "policies": ["round-robin"]} | changes | {"run": run})
    return Case(model, setting, scenario, quantities, exact, pilot)


def _mean(expected: float) -> Quantity:
    return Quantity("W", expected, lambda outcome: outcome.metrics["mean"])


def _wait(expected: float) -> Quantity:
    return Quantity("Wq", expected, lambda outcome: outcome.metrics["wait"])


def _law(cv2: float) -> dict[str, Any]:
    if cv2 == 0.0:
        return {"law": "deterministic"}
    if cv2 == 1.0:
        return {"law": "exponential"}
    return {"law": "gamma" if cv2 < 1.0 else "hyper-exponential", "cv2": cv2}


def _forgetting(load: float, cv2: float = 1.0) -> int:
    """Customers of one replication: so many times those in which the queue forgets its past.

    That is about 2(1+cv²)/(1-ρ)² of them (the relaxation time of reflected Brownian motion); the
    warm-up takes five of the fifteen.
    """
    return max(_SHORTEST, int(30 * (1.0 + cv2) / (1.0 - load) ** 2))


def _measure(
    case: Case, quantity: Quantity, outcomes: list[Outcome], confidence: float
) -> Interval:
    controls = [outcome.controls for outcome in outcomes]
    used = min(quantity.controls, len(controls[0]), (len(outcomes) - 1) // 2)
    return controlled_interval(
        [quantity.read(outcome) for outcome in outcomes],
        [row[:used] for row in controls],
        [0.0] * used,
        confidence,
    )


def _replications(case: Case, numbers: range, executor: Executor | None) -> list[Outcome]:
    scenario, policy = case.scenario, case.scenario.policies[0]
    if executor is None:
        return [run_once(scenario, policy, number, controls=True) for number in numbers]
    running = [
        executor.submit(run_once, scenario, policy, number, controls=True) for number in numbers
    ]
    return [future.result() for future in running]
