"""Weighed controls: of expectation 0 under any policy, telling under the one they were made for."""

from collections.abc import Sequence
from dataclasses import replace
from math import log

import pytest

from penstock import theory
from penstock.sim import validation
from penstock.sim.marginal_weights import bounded_queue, many_servers, one_server_tail
from penstock.sim.outcome import run_once
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of
from penstock.sim.statistics import Interval, controlled_interval, interval
from penstock.sim.theory_cases import cases
from penstock.sim.validation import Case, Quantity, examine


def waits(servers: int, load: float, *, weighed: bool, expected: float) -> Quantity:
    weights = many_servers(servers * load, servers, lambda present: float(present >= servers))
    return Quantity(
        "weighed" if weighed else "plain",
        expected,
        lambda outcome: outcome.waited,
        controls=0,
        weights=weights if weighed else None,
    )


def scenario(
    policy: str, *servers: dict[str, object], load: float, customers: int = 1500
) -> Scenario:
    return scenario_of(
        {
            "arrivals": {"load": load},
            "servers": list(servers),
            "policies": [policy],
            "run": {"customers": customers, "warm_up": 0.3},
        }
    )


@pytest.mark.parametrize("policy", ["random", "least-request", "round-robin"])
def test_they_have_a_mean_of_zero_whatever_the_policy_and_the_weights(policy: str) -> None:
    """Held to four standard errors; seeds never change."""
    weights = [
        many_servers(2.4, 3, lambda present: float(present >= 3)),
        one_server_tail(0.8, 10.0),
        bounded_queue(2.4, 3, 8, lambda present: float(present == 8)),
    ]
    world = scenario(policy, {"count": 3}, load=0.8)
    runs = [
        run_once(world, world.policies[0], number, controls=True, weights=weights).weighed
        for number in range(40)
    ]
    for each in range(len(weights)):
        for column in zip(*(run[each] for run in runs), strict=True):
            found = interval(column)
            assert found.half_width > 0.0
            assert abs(found.mean) < 2.0 * found.half_width


def test_of_refused_requests_too() -> None:
    weights = bounded_queue(4.0, 2, 6, lambda present: float(present == 6))
    world = scenario("round-robin", {"slots": 2, "room": 6}, load=2.0)
    runs = [
        run_once(world, world.policies[0], number, controls=True, weights=[weights]).weighed[0]
        for number in range(40)
    ]
    arrivals, work = (interval(column) for column in list(zip(*runs, strict=True))[3:])
    assert abs(arrivals.mean) < 2.0 * arrivals.half_width
    assert abs(work.mean) < 2.0 * work.half_width


def test_they_narrow_the_tail_of_one_queue() -> None:
    case = next(case for case in cases() if case.setting == "ρ=0.8" and case.model == "M/M/1")
    tail = case.quantities[1]
    world = scenario("round-robin", {}, load=0.8, customers=6000)
    plain = Quantity("plain", tail.expected, tail.read, controls=0)
    found = examine(Case("", "", world, (plain, replace(tail, controls=0))), precision=10.0)
    assert found[1].measured.half_width < found[0].measured.half_width / 2.0
    assert found[1].off < 2.0


def test_they_narrow_the_share_that_waits_for_many_servers() -> None:
    expected = theory.erlang_c(8.0, 10)
    quantities = tuple(
        waits(10, 0.8, weighed=weighed, expected=expected) for weighed in (False, True)
    )
    world = scenario("round-robin", {"slots": 10}, load=0.8)
    plain, weighed = examine(Case("", "", world, quantities), precision=10.0)
    assert weighed.measured.half_width < plain.measured.half_width / 2.0
    assert weighed.off < 2.0


def test_a_system_that_is_not_the_models_comes_no_nearer_to_theory() -> None:
    """Two lines at random are not M/M/2, where .711 wait: .8 do, whatever the weights."""
    quantity = waits(2, 0.8, weighed=True, expected=theory.erlang_c(1.6, 2))
    world = scenario("random", {"count": 2}, load=0.8)
    found = examine(Case("", "", world, (quantity,), pilot=40), precision=10.0)[0]
    assert found.measured.covers(0.8)
    assert not found.covered


def test_controls_are_fewer_than_half_the_replications(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def spy(
        values: Sequence[float],
        controls: Sequence[Sequence[float]],
        expected: Sequence[float],
        confidence: float,
    ) -> Interval:
        seen.append((len(expected), len(values)))
        return controlled_interval(values, controls, expected, confidence)

    monkeypatch.setattr(validation, "controlled_interval", spy)
    world = scenario("round-robin", {"slots": 2}, load=0.5, customers=300)
    quantity = Quantity(
        "", 1.0, lambda o: o.waited, 99, waits(2, 0.5, weighed=True, expected=1.0).weights
    )
    for pilot in (4, 12, 40):
        examine(Case("", "", world, (quantity,), pilot=pilot), precision=10.0)
    assert all(controls < replications / 2 for controls, replications in seen)
    assert max(controls for controls, _ in seen) == 14  # all of them, where they are few


def test_weights_of_a_tail_grow_as_the_numbers_get_rare() -> None:
    value = theory.mm1_response_quantile(0.9, 1.0, 0.99)
    work = one_server_tail(0.9, value).work
    assert log(work[25] / work[15]) == pytest.approx(-10.0 * log(0.9), rel=0.2)
    assert work[80] == pytest.approx(work[70], rel=0.01)  # whoever comes waits longer anyway


def test_who_is_turned_away_brings_no_work() -> None:
    weights = bounded_queue(3.2, 4, 10, lambda present: float(present == 10))
    assert weights.work[10] == 0.0
    assert weights.arrivals[10] == 1.0
    assert len(weights.work) == 11
