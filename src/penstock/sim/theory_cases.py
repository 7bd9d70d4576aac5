"""Every value of queueing theory that a simulation can show: the cases of docs/theory.md."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from penstock import theory
from penstock.sim.kernel.weighed_sums import Weights
from penstock.sim.marginal_weights import bounded_queue, many_servers, one_server_tail
from penstock.sim.outcome import Outcome, histogram_of
from penstock.sim.scenario_file import scenario_of
from penstock.sim.validation import PILOT, Case, Quantity

_SHORTEST: Final = 20_000  # customers of a replication
_WARM_UP: Final = 0.35
_SEED: Final = 1  # fixed before the first run, whatever came of it


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
        quantities.append(Quantity("p99", value, read, 2, one_server_tail(load, value)))
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
            _waits(offered, servers),
            _wait(theory.mmc(offered, 1.0, servers).wait),
        )
    for servers in (106, 111, 115, 119, 125):
        yield _case(
            "staffing",
            f"R=100, c={servers}",
            {"servers": [{"slots": servers}], "arrivals": {"rate": 100.0}},
            200_000,
            _waits(100.0, servers),
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
            replace(_wait(approximate.wait), enough=3.0),
            exact=False,
        )


def _bounded() -> Iterator[Case]:
    for rate, servers, capacity in ((0.8, 1, 5), (1.2, 1, 10), (3.2, 4, 10), (9.0, 10, 20)):
        yield _case(
            "M/M/c/K",
            f"λ={rate:g}, c={servers}, K={capacity}",
            {
                "servers": [{"slots": servers, "room": capacity}],
                "arrivals": {"rate": rate},
            },
            _SHORTEST,
            *_of_bounded(rate, servers, capacity),
        )


def _of_bounded(rate: float, servers: int, capacity: int) -> Iterator[Quantity]:
    steady = theory.mmck(rate, 1.0, servers, capacity)

    def blocked(present: int) -> float:
        return float(present == capacity)

    def response(present: int) -> float:
        return 0.0 if blocked(present) else 1.0 + max(0, present - servers + 1) / servers

    def more_wait(present: int) -> float:  # than the mean: the mean is of those admitted
        return 0.0 if blocked(present) else response(present) - 1.0 - steady.wait

    def weights(cost: Callable[[int], float]) -> Weights:
        return bounded_queue(rate, servers, capacity, cost)

    yield Quantity("P(block)", steady.blocked, lambda o: o.metrics["errors"], 2, weights(blocked))
    yield Quantity("L", steady.present, _Present(rate), 2, weights(response))
    yield Quantity("Wq", steady.wait, lambda o: o.metrics["wait"], 2, weights(more_wait))


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


def _waits(offered: float, servers: int) -> Quantity:
    weights = many_servers(offered, servers, lambda present: float(present >= servers))
    return Quantity("P(wait)", theory.erlang_c(offered, servers), lambda o: o.waited, 2, weights)


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
