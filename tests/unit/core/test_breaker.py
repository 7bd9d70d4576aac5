"""The circuit breaker: closed, open, half-open."""

from penstock.core.health.breaker import CLOSED, HALF_OPEN, OPEN, Breaker


def opened() -> Breaker:
    breaker = Breaker(failures=1, open_s=5.0, max_open_s=12.0)
    breaker.failed(breaker.epoch, 0.0)
    return breaker


def test_failures_in_a_row_open_it_with_a_reason() -> None:
    breaker = Breaker(failures=3, open_s=5.0)
    assert breaker.failed(breaker.epoch, 0.0) is None
    assert breaker.failed(breaker.epoch, 0.0) is None
    assert breaker.succeeded(breaker.epoch, 0.0) is None
    assert breaker.failed(breaker.epoch, 1.0) is None
    assert breaker.failed(breaker.epoch, 1.0) is None
    change = breaker.failed(breaker.epoch, 2.0)
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
    change = breaker.succeeded(breaker.epoch, 6.0)
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
        breaker.failed(breaker.epoch, now)
        waits.append(breaker.retry_after_s(now))
        now += waits[-1]
    assert waits == [10.0, 12.0, 12.0]


def test_several_trials_must_all_succeed() -> None:
    breaker = Breaker(failures=1, open_s=5.0, trials=2)
    breaker.failed(breaker.epoch, 0.0)
    assert breaker.allows(5.0)
    assert breaker.allows(5.0)
    assert not breaker.allows(5.0)
    assert breaker.succeeded(breaker.epoch, 6.0) is None
    assert not breaker.allows(6.0)
    assert breaker.succeeded(breaker.epoch, 6.0) is not None


def test_a_trial_that_told_nothing_is_given_back() -> None:
    breaker = opened()
    assert breaker.allows(5.0)
    breaker.abandoned(breaker.epoch)
    assert breaker.allows(5.0)


def test_results_of_requests_from_before_change_nothing_while_it_is_open() -> None:
    breaker = opened()
    before = breaker.epoch - 1
    assert breaker.succeeded(before, 1.0) is None
    assert breaker.failed(before, 1.0) is None
    assert breaker.retry_after_s(1.0) == 4.0


def test_a_success_from_before_it_opened_does_not_close_it_half_open() -> None:
    breaker = Breaker(failures=1, open_s=5.0)
    before = breaker.epoch
    breaker.failed(before, 0.0)
    assert breaker.allows(5.0)
    assert breaker.succeeded(before, 6.0) is None
    assert breaker.state == HALF_OPEN
    assert not breaker.allows(6.0)  # the trial is still under way


def test_a_failure_from_before_it_opened_is_no_failed_trial() -> None:
    breaker = Breaker(failures=1, open_s=5.0, max_open_s=60.0)
    before = breaker.epoch
    breaker.failed(before, 0.0)
    assert breaker.allows(5.0)
    assert breaker.failed(before, 6.0) is None
    assert breaker.state == HALF_OPEN
    change = breaker.failed(breaker.epoch, 7.0)
    assert change is not None
    assert breaker.retry_after_s(7.0) == 10.0  # doubled once, by the trial


def test_one_from_before_it_opened_that_told_nothing_gives_no_trial_back() -> None:
    breaker = Breaker(failures=1, open_s=5.0)
    before = breaker.epoch
    breaker.failed(before, 0.0)
    assert breaker.allows(5.0)
    breaker.abandoned(before)
    assert not breaker.allows(6.0)


def test_a_failure_from_before_it_opened_does_not_count_once_it_is_closed_again() -> None:
    breaker = Breaker(failures=1, open_s=5.0)
    before = breaker.epoch
    breaker.failed(before, 0.0)
    breaker.allows(5.0)
    breaker.succeeded(breaker.epoch, 5.0)
    assert breaker.failed(before, 6.0) is None
    assert breaker.state == CLOSED


def test_closing_resets_the_growth() -> None:
    breaker = opened()
    breaker.allows(5.0)
    breaker.failed(breaker.epoch, 5.0)
    breaker.allows(15.0)
    breaker.succeeded(breaker.epoch, 15.0)
    breaker.failed(breaker.epoch, 16.0)
    assert breaker.retry_after_s(16.0) == 5.0
