"""A running total as a series of steps: over gaps, restarts and clocks that are set."""

import json
from typing import Any

import pytest

from penstock.core.forecast import Forecaster, create_forecaster
from penstock.core.forecast.counted import CountedSeries


def made(seasons: tuple[int, ...] = ()) -> CountedSeries:
    def make() -> Forecaster:
        return create_forecaster("seasonal-naive" if seasons else "last-value", seasons, 4)

    return CountedSeries(make, 100)


def expected(series: CountedSeries) -> float:
    return series.forecaster.forecast(1).mean[0]


def test_what_was_added_in_a_step_is_its_value() -> None:
    series = made()
    series.read(1000, 60)
    assert series.observed == 0
    for step, total in ((61, 1010), (62, 1010), (63, 1025)):
        series.read(total, step)
    assert (series.observed, series.latest, expected(series)) == (3, 15.0, 15.0)


def test_the_first_step_is_whole_as_it_was_read_at_its_beginning() -> None:
    series = made()
    series.read(0, 60)
    series.read(7, 61)
    assert expected(series) == 7.0


def test_a_reading_that_is_a_step_late_is_of_two() -> None:
    series = made()
    series.read(0, 60)
    series.read(20, 62)
    assert (series.observed, expected(series)) == (2, 10.0)


def test_one_that_is_later_tells_nothing() -> None:
    series = made()
    series.read(0, 60)
    series.read(10, 61)
    series.read(9000, 71)
    assert expected(series) == 10.0
    series.read(9007, 72)
    assert expected(series) == 7.0


def test_a_total_that_began_anew_tells_nothing() -> None:
    series = made()
    series.read(500, 60)
    series.read(510, 61)
    series.read(3, 62)
    assert expected(series) == 10.0
    series.read(8, 63)
    assert expected(series) == 5.0


def test_a_clock_set_back_by_little_is_waited_for() -> None:
    series = made()
    for step, total in ((60, 0), (61, 10), (60, 12), (61, 15), (62, 17)):
        series.read(total, step)
    assert expected(series) == 7.0


@pytest.mark.parametrize("step", [20, 10_000, 10**9])
def test_one_set_far_back_or_ahead_begins_anew(step: int) -> None:
    series = made()
    for at, total in ((60, 0), (61, 10)):
        series.read(total, at)
    series.read(50, step)
    assert series.observed == 0
    series.read(53, step + 1)
    assert expected(series) == 3.0


def state_of(series: CountedSeries) -> Any:
    return json.loads(json.dumps(series.state()))


def test_after_a_restart_it_is_the_same_time_of_day() -> None:
    series = made((10,))
    total = 0
    for step in range(40, 61):
        series.read(total, step)
        total += 100 if step % 10 == 5 else 1
    again = made((10,))
    again.restore(state_of(series))
    again.read(0, 63)  # three steps later, with counters that began anew
    again.read(1, 64)
    assert expected(again) == 1.0
    again.read(2, 65)
    assert expected(again) == 100.0
    assert again.observed == series.observed + 2


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    series = made()
    series.read(0, 60)
    series.read(10, 61)
    with pytest.raises(ValueError):
        series.restore({**state_of(series), "step": -3})
    with pytest.raises(ValueError, match="its method is"):
        made((10,)).restore(state_of(series))
    assert expected(series) == 10.0
