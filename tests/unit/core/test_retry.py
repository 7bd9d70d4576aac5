"""Retries: the rules of safety, and the budget."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.retry import MOST_PASSED_OVER, RetryBudget, RetryRules
from penstock.core.snapshot import Retry
from penstock.core.ticket import (
    ABANDONED,
    CLIENT_GONE,
    CONNECT_FAILED,
    DONE,
    GARBAGE,
    RESET,
    TIMEOUT,
)


def may_retry(
    rules: RetryRules,
    outcome: int,
    *,
    method: bytes = b"GET",
    attempts: int = 1,
    status: int = 0,
    sent: bool = True,
    passed_on: bool = False,
    grpc_status: int = -1,
) -> bool:
    """``rules`` asked about the first failure of a GET that was sent, unless said otherwise."""
    return not rules.refusal(
        attempts=attempts,
        outcome=outcome,
        status=status,
        sent=sent,
        safe=rules.repeats_sent(method),
        passed_on=passed_on,
        grpc_status=grpc_status,
    )


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"])
def test_idempotent_requests_are_repeated_after_a_reset(method: bytes) -> None:
    assert may_retry(RetryRules(Retry()), RESET, method=method)


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"BREW", b"get"])
def test_other_requests_are_repeated_only_if_they_were_not_sent(method: bytes) -> None:
    rules = RetryRules(Retry())
    assert not may_retry(rules, RESET, method=method)
    assert may_retry(rules, RESET, method=method, sent=False)
    assert may_retry(rules, CONNECT_FAILED, method=method, sent=False)
    assert may_retry(RetryRules(Retry(non_idempotent=True)), RESET, method=method)


def test_nothing_is_repeated_once_a_byte_was_passed_on() -> None:
    rules = RetryRules(Retry(non_idempotent=True))
    assert not may_retry(rules, RESET, passed_on=True)
    assert not may_retry(rules, RESET, passed_on=True, sent=False)


def test_attempts_are_counted_with_the_first() -> None:
    rules = RetryRules(Retry(attempts=3))
    assert may_retry(rules, RESET, attempts=2)
    assert not may_retry(rules, RESET, attempts=3)
    assert not may_retry(RetryRules(Retry(attempts=1)), RESET, attempts=1)


def counts(
    rules: RetryRules,
    outcome: int = CONNECT_FAILED,
    *,
    timed_out: bool = False,
    again: bool = False,
    tried: int = 1,
    others: bool = True,
) -> bool:
    """``rules`` asked about a refused connection with other endpoints left, unless said else."""
    return rules.counts(outcome, timed_out=timed_out, again=again, tried=tried, others=others)


def test_a_refused_connection_is_no_attempt_while_others_are_left() -> None:
    rules = RetryRules(Retry())
    assert not counts(rules)
    assert counts(rules, timed_out=True)
    assert counts(rules, again=True)
    assert counts(rules, others=False)
    assert not counts(rules, tried=MOST_PASSED_OVER)
    assert counts(rules, tried=MOST_PASSED_OVER + 1)


@pytest.mark.parametrize("outcome", [RESET, GARBAGE, TIMEOUT, DONE])
def test_whatever_reached_an_endpoint_is_an_attempt(outcome: int) -> None:
    assert counts(RetryRules(Retry()), outcome)


def test_with_retries_off_everything_is_an_attempt_and_nothing_stands_in() -> None:
    off = RetryRules(Retry(attempts=1))
    assert counts(off)
    assert not off.used_up(1)
    assert RetryRules(Retry(attempts=2)).used_up(2)
    assert not RetryRules(Retry(attempts=2)).used_up(1)


@pytest.mark.parametrize(
    ("status", "expected"), [(502, True), (503, True), (500, False), (429, False)]
)
def test_chosen_statuses_are_repeated(status: int, expected: bool) -> None:
    assert may_retry(RetryRules(Retry()), DONE, status=status) is expected
    assert may_retry(RetryRules(Retry(on_statuses=(status,))), DONE, status=status)
    assert (status in RetryRules(Retry()).on_statuses) is expected


@pytest.mark.parametrize(
    ("outcome", "off"),
    [
        (CONNECT_FAILED, Retry(on_connect_failure=False)),
        (RESET, Retry(on_reset=False)),
        (GARBAGE, Retry(on_reset=False)),
        (TIMEOUT, Retry()),
        (CLIENT_GONE, Retry()),
        (ABANDONED, Retry()),
    ],
)
def test_kinds_of_failure_that_are_not_asked_for_are_final(outcome: int, off: Retry) -> None:
    assert not may_retry(RetryRules(off), outcome)


def test_timeouts_are_repeated_when_asked_for() -> None:
    assert may_retry(RetryRules(Retry(on_timeout=True)), TIMEOUT)


def test_calls_are_repeated_after_grpc_statuses_that_are_asked_for() -> None:
    def repeats(rules: RetryRules, grpc_status: int, **told: Any) -> bool:
        return may_retry(rules, DONE, method=b"POST", status=200, grpc_status=grpc_status, **told)

    rules = RetryRules(Retry(on_grpc_statuses=(14,)))
    assert repeats(rules, 14)
    assert not repeats(rules, 8)
    assert not repeats(rules, -1)
    assert not repeats(rules, 14, passed_on=True)
    assert not repeats(rules, 14, attempts=3)
    assert not repeats(RetryRules(Retry()), 14)


def test_a_refusal_gives_its_reason() -> None:
    rules = RetryRules(Retry())

    def reason(attempts: int, outcome: int, *, passed_on: bool = False) -> str:
        return rules.refusal(
            attempts=attempts, outcome=outcome, status=0, sent=True, safe=False, passed_on=passed_on
        )

    assert reason(1, RESET, passed_on=True) == "part of a response was passed on"
    assert reason(3, RESET) == "3 of 3 attempts were made"
    assert reason(1, TIMEOUT) == "failures of this kind are not retried"
    assert reason(1, RESET) == "it was sent, and sending it twice may do harm"


def test_the_budget_allows_a_share_of_requests_and_a_reserve() -> None:
    budget = RetryBudget(share=0.2, min_per_s=10.0)
    for _ in range(1000):
        budget.request(50.0)
    assert budget.left(50.0) == 300
    assert sum(budget.take(50.5) for _ in range(1000)) == 300
    assert not budget.take(50.9)


def test_what_was_spent_comes_back_after_ten_seconds() -> None:
    budget = RetryBudget(share=0.0, min_per_s=1.0)
    assert [budget.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert not budget.take(9.9)
    assert budget.take(10.0)


def test_requests_count_for_ten_seconds() -> None:
    budget = RetryBudget(share=0.5, min_per_s=0.0)
    for second in range(20):
        budget.request(float(second))
    assert budget.left(19.0) == 5
    assert budget.left(24.0) == 2
    assert budget.left(1e6) == 0
    assert not budget.take(1e6)


@given(
    share=st.floats(0.0, 1.0),
    min_per_s=st.floats(0.0, 20.0),
    steps=st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), max_size=200),
)
def test_no_window_of_ten_seconds_ever_holds_more_retries_than_allowed(
    share: float, min_per_s: float, steps: list[tuple[float, bool]]
) -> None:
    """Counted independently, over all slots of a second that the budget looks back on."""
    budget = RetryBudget(share, min_per_s)
    now = 1000.0
    requests: list[int] = []
    retries: list[int] = []
    for passed, is_request in steps:
        now += passed
        if is_request:
            budget.request(now)
            requests.append(int(now))
        elif budget.take(now):
            retries.append(int(now))
            since = int(now) - 9
            allowed = share * sum(s >= since for s in requests) + min_per_s * 10
            assert sum(s >= since for s in retries) <= allowed
