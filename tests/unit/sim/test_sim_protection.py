"""Circuit breakers, outlier detection and slow start of simulated balancers: each of them acts."""

from typing import Any

import pytest

from penstock.config.load.errors import ConfigError
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of
from penstock.sim.world import World, build_world

_FAILS_AT_S = 20.0
_BACK_AT_S = 60.0


def scenario(**values: Any) -> Scenario:
    """Three servers, 20 requests a second; the first dies, which no health check sees."""
    return scenario_of(
        {
            "arrivals": {"kind": "deterministic", "rate": 20},
            "service": {"law": "deterministic", "mean": "20ms"},
            "servers": [{"count": 3}],
            "policies": ["round-robin"],
            "incidents": [
                {"at": f"{_FAILS_AT_S}s", "servers": [0], "fail": True, "noticed": "1h"},
                {"at": f"{_BACK_AT_S}s", "servers": [0], "recover": True, "noticed": "1h"},
            ],
            "run": {"duration": "100s", "warm_up": 0},
        }
        | values
    )


def played(**values: Any) -> World:
    made = scenario(**values)
    world = build_world(made, made.policies[0], 1)
    world.balancers[0].picks = []
    world.run()
    return world


def picks_of_first(world: World, since_s: float, until_s: float) -> int:
    """How often the first server was picked in that time."""
    balancer = world.balancers[0]
    assert balancer.picks is not None
    picked = zip(balancer.picks, balancer.picked_at, strict=True)
    return sum(order == 0 and since_s <= at < until_s for order, at in picked)


def test_without_protection_a_third_of_all_requests_fail_while_it_is_down() -> None:
    world = played()
    assert world.balancers[0].protection is None
    assert world.recorder.failed == pytest.approx(20 / 3 * (_BACK_AT_S - _FAILS_AT_S), abs=2)


def test_a_circuit_breaker_cuts_it_off_and_lets_trials_through_until_one_succeeds() -> None:
    world = played(circuit_breaker={"failures": 3, "open": "5s", "max_open": "10s"})
    # Three in a row, then a trial after 5 s, and one after every 10 s from there on.
    assert world.recorder.failed == 3 + 4
    assert picks_of_first(world, _FAILS_AT_S + 1, _FAILS_AT_S + 5) == 0
    protection = world.balancers[0].protection
    assert protection is not None
    assert protection.endpoints[0].breaker_opened == 5
    assert picks_of_first(world, _BACK_AT_S + 10, 100.0) == pytest.approx(20 / 3 * 30, abs=2)


def test_outlier_detection_ejects_it_until_it_can_be_connected_to() -> None:
    world = played(outlier="on")
    # Five in a row eject it, within a tenth of a second, for 30 s; then once more.
    assert 10 <= world.recorder.failed <= 14
    assert picks_of_first(world, _FAILS_AT_S + 2, _FAILS_AT_S + 29) == 0
    protection = world.balancers[0].protection
    assert protection is not None
    assert protection.detector is not None
    assert protection.detector.ejections["consecutive_failures"] == 2
    assert picks_of_first(world, _BACK_AT_S + 2, 100.0) == pytest.approx(20 / 3 * 38, abs=2)


def test_slow_start_gives_it_little_at_first() -> None:
    incidents = [
        {"at": "20s", "servers": [0], "fail": True},
        {"at": "60s", "servers": [0], "recover": True},
    ]
    at_once = played(incidents=incidents)
    slowly = played(incidents=incidents, slow_start="20s")
    fair = 20 / 3 * 5
    assert picks_of_first(at_once, 60.0, 65.0) == pytest.approx(fair, abs=2)
    shares = [picks_of_first(slowly, since, since + 5.0) / fair for since in (60.0, 75.0, 85.0)]
    assert shares[0] < 0.25
    assert 0.7 < shares[1] < 1.0
    assert shares[2] == pytest.approx(1.0, abs=0.06)


def test_an_ejected_endpoint_comes_back_slowly() -> None:
    world = played(outlier="on", slow_start="20s")
    assert 0 < picks_of_first(world, 61.0, 65.0) < 20 / 3 * 4 / 2


def test_a_weight_set_meanwhile_holds_beside_slow_start() -> None:
    incidents = [{"at": "10s", "servers": [0], "weight": 4}]
    world = played(incidents=incidents, slow_start="20s")
    assert picks_of_first(world, 12.0, 72.0) == pytest.approx(60 * 20 * 4 / 6, rel=0.02)


def test_settings_are_checked_as_in_a_configuration() -> None:
    with pytest.raises(ConfigError, match="`max_open` is shorter than `open`"):
        scenario(circuit_breaker={"open": "5s", "max_open": "1s"})
    with pytest.raises(ConfigError, match="needs `split_local_failures: true`"):
        scenario(outlier={"consecutive_local_failures": 3})
