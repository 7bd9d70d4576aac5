"""Events happen in order of time, and those of one time in the order they were scheduled."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.request import Request
from penstock.sim.kernel.arrivals import Recorded
from penstock.sim.kernel.events import Clock, EventHeap
from penstock.sim.kernel.faults import SpeedChange
from penstock.sim.kernel.job import Job, Line
from penstock.sim.kernel.server import FifoServer


def job(number: int) -> Job:
    return Job(number, Request(), 0.0, 0.0)


def drained(heap: EventHeap) -> list[int]:
    numbers = []
    while len(heap):
        event = heap.pop()
        assert isinstance(event, Job)
        numbers.append(event.number)
    return numbers


@given(st.lists(st.floats(0, 100)))
def test_events_come_off_sorted_and_ties_in_order(times: list[float]) -> None:
    heap = EventHeap()
    for number, when in enumerate(times):
        heap.schedule(job(number), when)
    assert drained(heap) == sorted(range(len(times)), key=lambda n: (times[n], n))


@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.floats(0, 100)))))
def test_any_mix_of_moving_and_cancelling_leaves_what_a_sorted_list_would(
    steps: list[tuple[int, float | None]],
) -> None:
    heap = EventHeap()
    jobs = [job(number) for number in range(10)]
    expected: dict[int, tuple[float, int]] = {}
    for order, (number, when) in enumerate(steps):
        if when is None:
            heap.cancel(jobs[number])
            expected.pop(number, None)
        else:
            heap.schedule(jobs[number], when)
            expected[number] = (when, order)
        first = min((at for at, _ in expected.values()), default=inf)
        assert heap.next_time() == first
    assert drained(heap) == sorted(expected, key=lambda number: expected[number])
    assert all(one.place == -1 for one in jobs)


@given(st.lists(st.integers(0, 5)))
def test_a_line_keeps_its_order_whoever_leaves(moves: list[int]) -> None:
    line = Line()
    jobs = [job(number) for number in range(6)]
    expected: list[int] = []
    for number in moves:
        if number in expected:
            line.leave(jobs[number])
            expected.remove(number)
        else:
            line.join(jobs[number])
            expected.append(number)
        assert [one.number for one in line.jobs()] == expected
        assert line.length == len(expected)


def test_the_clock_stands_at_each_event_and_stops_where_told() -> None:
    clock = Clock()
    server = FifoServer("s", clock)
    for at, speed in ((1.0, 2.0), (2.0, 3.0), (4.0, 5.0)):
        clock.at(SpeedChange(server, speed), at)
    assert clock.run(until=2.5) == 2
    assert (clock.now, server.speed) == (2.0, 3.0)
    assert clock.run() == 1
    assert (clock.now, server.speed) == (4.0, 5.0)
    with pytest.raises(ValueError, match=r"at 3\.0 was scheduled at 4\.0"):
        clock.at(SpeedChange(server, 1.0), 3.0)


def test_a_trace_that_goes_back_in_time_is_refused() -> None:
    from random import Random

    arrivals = Recorded([1.0, 0.5])
    assert arrivals.after(0.0, Random(1)) == 1.0
    with pytest.raises(ValueError, match="before the last"):
        arrivals.after(1.0, Random(1))
