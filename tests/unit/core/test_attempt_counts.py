"""What attempts say of an endpoint, and what several processes that count it know together."""

import pytest

from penstock.core.attempt_counts import (
    A_1XX_TO_5XX,
    EXCUSED,
    EXCUSED_FOR_S,
    FAILED,
    NO_FAILURE,
    AttemptCounts,
)
from penstock.core.health.outlier_records import EndpointCounts, Tally
from penstock.core.health.outlier_watch import OutlierWatch
from penstock.core.ticket import CLIENT_GONE, CONNECT_FAILED, DONE, GARBAGE, RESET, TIMEOUT


def counted(*ends: tuple[int, int], at: float = 1.0) -> AttemptCounts:
    counts = AttemptCounts()
    for outcome, status in ends:
        counts.settled(outcome, status, at)
    return counts


def judged(counts: AttemptCounts, *, split: bool = False) -> EndpointCounts:
    return counts.for_outliers("e", split=split, up=True, silent_s=0.0, heard_at=0.0)


def shown(tally: Tally) -> tuple[int, int, int]:
    return tally.finished, tally.failures, tally.run


@pytest.mark.parametrize(
    ("outcome", "status", "verdict"),
    [
        (DONE, 200, NO_FAILURE),
        (DONE, 404, NO_FAILURE),
        (DONE, 500, FAILED),
        (DONE, 501, NO_FAILURE),
        (DONE, 505, NO_FAILURE),
        (CONNECT_FAILED, 0, FAILED),
        (RESET, 200, FAILED),
        (TIMEOUT, 0, FAILED),
        (CLIENT_GONE, 0, NO_FAILURE),
        (CLIENT_GONE, 502, FAILED),
    ],
)
def test_what_an_attempt_says_of_its_endpoint(outcome: int, status: int, verdict: int) -> None:
    assert AttemptCounts().settled(outcome, status, 1.0) == verdict


def test_wrong_framing_is_excused_while_others_are_in_order() -> None:
    counts = counted((DONE, 200), at=1.0)
    assert counts.settled(GARBAGE, 0, 1.0 + EXCUSED_FOR_S / 2) == EXCUSED
    assert counts.settled(GARBAGE, 0, 1.0 + EXCUSED_FOR_S) == FAILED
    assert judged(counts).every.failures == 1


def test_a_success_ends_every_run() -> None:
    counts = counted((DONE, 503), (CONNECT_FAILED, 0))
    assert counts.values[:A_1XX_TO_5XX] == [2, 2, 1, 1, 1]
    counts.settled(DONE, 200, 2.0)
    assert counts.values[:A_1XX_TO_5XX] == [0, 0, 0, 0, 0]


def test_local_failures_are_judged_apart_where_asked_for() -> None:
    counts = counted((DONE, 200), (DONE, 503), (RESET, 200), (CONNECT_FAILED, 0))
    together = judged(counts)
    assert shown(together.every) == (4, 3, 3)
    assert shown(together.gateway) == (4, 3, 3)
    assert shown(together.local) == (0, 0, 0)
    apart = judged(counts, split=True)
    assert shown(apart.every) == (3, 1, 0)
    assert shown(apart.gateway) == (3, 1, 0)
    assert shown(apart.local) == (4, 2, 2)
    assert shown(apart.unreached) == (4, 1, 0)


def test_processes_add_their_counts_and_the_longest_run_holds() -> None:
    counts = counted((DONE, 503), (DONE, 503))
    counts.add(counted((DONE, 200), (DONE, 500), (DONE, 503), (CONNECT_FAILED, 0)).values)
    assert shown(judged(counts).every) == (6, 5, 3)


def test_a_look_is_due_after_a_failure_and_else_once_a_second() -> None:
    watch = OutlierWatch()
    assert watch.is_due(0, 10.0)
    assert [watch.is_due(0, at) for at in (10.1, 10.9, 11.0, 11.1)] == [False, False, True, False]
    assert watch.is_due(1, 11.2)
    assert not watch.is_due(1, 11.3)
    watch.look_at_once()
    assert watch.is_due(1, 11.4)
