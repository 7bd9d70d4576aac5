"""Active health: rise, fall, the first verdict, and when to look again."""

from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.health.health import DOWN, STARTING, UP, Health
from penstock.core.snapshot import HealthCheck

CHECK = HealthCheck(interval_s=5.0, fast_interval_s=1.0, rise=2, fall=3, jitter=0.0)


def test_the_first_result_decides_either_way() -> None:
    health = Health(CHECK)
    assert health.state == STARTING
    change = health.succeeded("200", 1.0)
    assert change is not None
    assert (change.was, change.state, change.at) == (STARTING, UP, 1.0)
    assert "200" in change.reason

    health = Health(CHECK)
    change = health.failed("connection refused", 1.0)
    assert change is not None
    assert change.state == DOWN
    assert "connection refused" in change.reason


def test_an_endpoint_may_begin_down_until_a_check_passes() -> None:
    health = Health(HealthCheck(initial="down"))
    assert health.state == DOWN
    assert health.failed("503", 1.0) is None
    health = Health(HealthCheck(initial="down"))
    change = health.succeeded("200", 1.0)
    assert change is not None
    assert change.state == UP


def test_it_takes_fall_failures_in_a_row_to_go_down() -> None:
    health = Health(CHECK)
    health.succeeded("200", 0.0)
    assert health.failed("503", 1.0) is None
    assert health.failed("503", 2.0) is None
    assert health.succeeded("200", 3.0) is None
    assert health.failed("503", 4.0) is None
    assert health.failed("503", 5.0) is None
    change = health.failed("timed out after 2 s", 6.0)
    assert change is not None
    assert health.state == DOWN
    assert change.reason == "3 checks in a row failed, last: timed out after 2 s"


def test_it_takes_rise_successes_in_a_row_to_come_up() -> None:
    health = Health(CHECK)
    health.failed("503", 0.0)
    assert health.succeeded("200", 1.0) is None
    assert health.failed("503", 2.0) is None
    assert health.succeeded("200", 3.0) is None
    change = health.succeeded("200", 4.0)
    assert change is not None
    assert (change.was, change.state) == (DOWN, UP)


def test_checks_come_fast_while_the_verdict_is_in_doubt() -> None:
    env = Env(Random(1), 100.0)
    health = Health(CHECK)
    assert health.next_check_at(env) == 101.0
    health.succeeded("200", 100.0)
    assert health.next_check_at(env) == 105.0
    health.failed("503", 100.0)
    assert health.next_check_at(env) == 101.0
    health.failed("503", 100.0)
    health.failed("503", 100.0)
    assert health.state == DOWN
    assert health.next_check_at(env) == 105.0


def test_jitter_stays_within_its_share_of_the_interval() -> None:
    env = Env(Random(1), 100.0)
    health = Health(HealthCheck(interval_s=10.0, jitter=0.2))
    health.succeeded("200", 100.0)
    times = [health.next_check_at(env) for _ in range(200)]
    assert 108.0 <= min(times) < 109.0
    assert 111.0 < max(times) <= 112.0


def test_first_checks_are_spread_over_a_fast_interval() -> None:
    env = Env(Random(1), 100.0)
    times = [Health(CHECK).first_check_at(env) for _ in range(200)]
    assert min(times) >= 100.0
    assert max(times) <= 101.0
    assert max(times) - min(times) > 0.9


@pytest.mark.parametrize("rise", [1, 4])
def test_any_rise_and_fall_can_be_asked_for(rise: int) -> None:
    health = Health(HealthCheck(rise=rise, fall=1))
    health.succeeded("ok", 0.0)
    assert health.failed("bad", 1.0) is not None
    for _ in range(rise - 1):
        assert health.succeeded("ok", 2.0) is None
    assert health.succeeded("ok", 3.0) is not None
