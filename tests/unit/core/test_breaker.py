"""The circuit breaker: closed, open, half-open."""

from penstock.core.breaker import CLOSED, HALF_OPEN, OPEN, Breaker


def opened() -> Breaker:
    breaker = Breaker(failures=1, open_s=5.0, max_open_s=12.0)
    breaker.failed(0.0)
    return breaker


def test_failures_in_a_row_open_it_with_a_reason() -> None:
    breaker = Breaker(failures=3, open_s=5.0)
    assert breaker.failed(0.0) is None
    assert breaker.failed(0.0) is None
    assert breaker.succeeded(0.0) is None
    assert breaker.failed(1.0) is None
    assert breaker.failed(1.0) is None
    change = breaker.failed(2.0)
    assert change is not None
    assert change.state == OPEN
    assert change.reason == "3 failures in a row; closed to requests for 5 s"


def test_open_it_lets_nothing_through_and_says_for_how_long() -> None:
    breaker = opened()
    assert not breaker.allows(4.9)
    assert breaker.retry_after_s(2.0) == 3.0


def test_half_open_it_lets_one_trial_through_at_a_time() -> None:
    breaker = opened()
    assert breaker.allows(5.0)
    assert breaker.state == HALF_OPEN
    assert not breaker.allows(5.0)


def test_a_trial_that_succeeds_closes_it() -> None:
    breaker = opened()
    breaker.allows(5.0)
    change = breaker.succeeded(6.0)
    assert change is not None
    assert change.state == CLOSED
    assert breaker.allows(6.0)
    assert breaker.allows(6.0)


def test_a_trial_that_fails_opens_it_for_twice_as_long_up_to_the_cap() -> None:
    breaker = opened()
    now = 5.0
    waits = []
    for _ in range(3):
        assert breaker.allows(now)
        breaker.failed(now)
        waits.append(breaker.retry_after_s(now))
        now += waits[-1]
    assert waits == [10.0, 12.0, 12.0]


def test_several_trials_must_all_succeed() -> None:
    breaker = Breaker(failures=1, open_s=5.0, trials=2)
    breaker.failed(0.0)
    assert breaker.allows(5.0)
    assert breaker.allows(5.0)
    assert not breaker.allows(5.0)
    assert breaker.succeeded(6.0) is None
    assert not breaker.allows(6.0)
    assert breaker.succeeded(6.0) is not None


def test_a_trial_that_told_nothing_is_given_back() -> None:
    breaker = opened()
    assert breaker.allows(5.0)
    breaker.abandoned()
    assert breaker.allows(5.0)


def test_results_of_requests_from_before_change_nothing_while_it_is_open() -> None:
    breaker = opened()
    assert breaker.succeeded(1.0) is None
    assert breaker.failed(1.0) is None
    assert breaker.retry_after_s(1.0) == 4.0


def test_closing_resets_the_growth() -> None:
    breaker = opened()
    breaker.allows(5.0)
    breaker.failed(5.0)
    breaker.allows(15.0)
    breaker.succeeded(15.0)
    breaker.failed(16.0)
    assert breaker.retry_after_s(16.0) == 5.0
