"""How slowly the body of a request may come."""

from penstock.dataplane.client.body_pace import BodyPace

PATIENCE_S = 30.0
RATE = 500


def seconds_until_cut(interval_s: float, size: int, *, at_most_s: float = 600.0) -> float:
    """When a client is cut off that sends so many bytes so often."""
    pace = BodyPace(PATIENCE_S, RATE)
    now = 1000.0
    while now - 1000.0 < at_most_s:
        deadline = pace.wait(now)
        if now + interval_s > deadline:
            return deadline - 1000.0
        now += interval_s
        pace.came(size, now)
    return at_most_s


def test_a_byte_a_second_is_cut_off_soon() -> None:
    assert PATIENCE_S <= seconds_until_cut(1.0, 1) < PATIENCE_S + 1.0


def test_the_least_rate_is_borne_for_ever() -> None:
    assert seconds_until_cut(1.0, RATE) == 600.0
    assert seconds_until_cut(20.0, 20 * RATE) == 600.0


def test_a_little_less_is_borne_for_a_while() -> None:
    assert PATIENCE_S < seconds_until_cut(1.0, RATE - 50) < 600.0


def test_a_quick_beginning_does_not_pay_for_a_slow_rest() -> None:
    pace = BodyPace(PATIENCE_S, RATE)
    pace.wait(1.0)
    pace.came(100_000_000, 2.0)
    assert pace.wait(2.0) == 2.0 + PATIENCE_S


def test_time_while_it_is_the_endpoints_turn_is_not_the_clients() -> None:
    pace = BodyPace(PATIENCE_S, RATE)
    pace.wait(1.0)
    pace.stop(11.0)
    assert pace.wait(500.0) == 500.0 + PATIENCE_S - 10.0


def test_each_body_begins_with_all_the_patience() -> None:
    pace = BodyPace(PATIENCE_S, RATE)
    pace.wait(1.0)
    pace.stop(30.0)
    pace.begin()
    assert pace.wait(31.0) == 31.0 + PATIENCE_S
