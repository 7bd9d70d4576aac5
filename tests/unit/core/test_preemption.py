"""Who has no token yet gives its place to a more important request, where a pool wants it."""

import pytest

from penstock.core.admission.refusals import LATE
from penstock.core.snapshot import Admission, LimitChoice
from tests.unit.core.test_gate import Caller, Site, with_queue


def preempting(times: int = 1, **places: int) -> Site:
    return Site(with_queue(timeout_s=10.0, preemptions=times), None, **(places or {"a": 1}))


def test_a_more_important_one_takes_the_place_of_one_without_a_token() -> None:
    site = preempting()
    low, high = site.come(Caller("a", 9)), site.come(Caller("a", 0))
    assert (site.running, site.preempted) == ([high], [low])
    site.end(high)
    assert site.running == [low]


def test_without_the_setting_nobody_loses_a_place() -> None:
    site = preempting(0)
    low, _ = site.come(Caller("a", 9)), site.come(Caller("a", 0))
    assert site.running == [low]


@pytest.mark.parametrize("importance", [9, 10])
def test_equals_and_less_important_ones_wait(importance: int) -> None:
    site = preempting()
    running = site.come(Caller("a", 9))
    site.come(Caller("a", importance))
    assert site.running == [running]


def test_one_that_has_a_token_keeps_its_place() -> None:
    site = preempting()
    low = site.come(Caller("a", 9))
    site.answer(low)
    site.come(Caller("a", 0))
    assert site.running == [low]


def test_nobody_loses_a_place_that_the_one_who_came_could_not_use() -> None:
    site = preempting(a=1, b=1)
    low, busy = site.come(Caller("a", 9)), site.come(Caller("b", 0))
    site.come(Caller("b", 0))
    assert site.running == [low, busy]


def test_nobody_loses_a_place_while_there_is_room() -> None:
    site = preempting(a=2)
    low, high = site.come(Caller("a", 9)), site.come(Caller("a", 0))
    assert site.running == [low, high]


def test_of_those_that_could_the_least_important_and_newest_loses_least() -> None:
    site = preempting(a=3)
    middle, old, new = [site.come(Caller("a", each)) for each in (5, 9, 9)]
    site.pass_time(0.0)
    site.env.now += 1.0
    high = [site.come(Caller("a", 0)) for _ in range(3)]
    assert site.preempted[2] is middle
    assert set(site.preempted[:2]) == {old, new}
    assert site.running == high


def test_it_keeps_its_arrival_and_goes_on_before_those_who_came_after_it() -> None:
    site = preempting(a=2)
    keeps = site.come(Caller("a", 9))
    site.answer(keeps)
    first = site.come(Caller("a", 9))
    site.env.now += 3.0
    later = site.come(Caller("a", 9))
    high = site.come(Caller("a", 0))
    site.end(keeps)
    assert (site.running, site.preempted) == ([high, first], [first])
    site.end(high)
    assert site.running == [first, later]


def test_time_with_a_place_is_no_wait_and_what_it_waits_is_bounded() -> None:
    site = preempting()
    low = site.come(Caller("a", 9))
    site.env.now += 60.0
    site.come(Caller("a", 0))
    site.pass_time(9.9)
    assert site.refused == []
    site.pass_time(0.2)
    assert site.refused == [(low, LATE)]


def test_nobody_loses_a_place_more_often_than_is_said() -> None:
    site = preempting(2)
    low = site.come(Caller("a", 9))
    for _ in range(2):
        site.end(site.come(Caller("a", 0)))
    assert low.preempted == 2
    site.come(Caller("a", 0))
    assert site.running == [low]


def test_one_that_went_on_because_its_class_was_passed_over_keeps_its_place() -> None:
    """Else a class could be starved for longer than the queue's patience."""
    site = Site(with_queue(timeout_s=100.0, patience_s=1.0, preemptions=5), a=1)
    running = site.come(Caller("a", 0))
    low = site.come(Caller("a", 9))
    for _ in range(3):
        site.come(Caller("a", 0))
        site.pass_time(0.6)
    site.end(running)
    assert site.running == [low]
    site.come(Caller("a", 0))
    assert site.running == [low]


def test_a_place_under_an_adaptive_limit_changes_hands_and_is_counted_once() -> None:
    two = LimitChoice("aimd", {"initial": 2.0, "minimum": 1.0, "maximum": 2.0})
    queue = with_queue(timeout_s=10.0, preemptions=1).queue
    site = Site(Admission(queue=queue, limit=two), a=9, b=9)
    keeps, low = site.come(Caller("b", 0)), site.come(Caller("b", 9))
    high = site.come(Caller("a", 1))
    assert site.running == [keeps, high]
    assert site.limit is not None
    assert site.limit.in_flight == 2
    site.end(high)
    assert site.running == [keeps, low]
    for each in (keeps, low):
        site.end(each)
    assert site.limit.in_flight == 0


def test_one_whose_endpoint_left_is_let_finish() -> None:
    """It could not be sent again."""
    site = preempting(a=1, b=1)
    low = site.come(Caller("a", 9))
    site.down.add("a")
    site.come(Caller("a", 0))
    assert site.running == [low]
