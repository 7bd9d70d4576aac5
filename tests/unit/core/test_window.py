"""Counts over the last seconds, against keeping every event."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.measure.window import SlidingCount


@given(
    slots=st.integers(1, 8),
    slot_s=st.sampled_from([0.5, 1.0, 3.0]),
    steps=st.lists(st.floats(0.0, 6.0), max_size=60),
)
def test_it_counts_the_slots_it_looks_back_on(
    slots: int, slot_s: float, steps: list[float]
) -> None:
    count = SlidingCount(slots, slot_s)
    now = 100.0
    happened: list[int] = []
    for step in steps:
        now += step
        count.add(now)
        happened.append(int(now / slot_s))
        newest = happened[-1]
        assert count.at(now) == sum(slot > newest - slots for slot in happened)


def test_a_clock_that_runs_backwards_counts_in_the_newest_slot() -> None:
    count = SlidingCount(3)
    count.add(10.0)
    count.add(8.0)
    assert count.at(10.0) == 2
    assert count.at(13.0) == 0
