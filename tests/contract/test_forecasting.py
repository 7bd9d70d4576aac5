"""Laws that every forecast keeps, whatever its method."""

import json
from itertools import pairwise
from math import isfinite, nan
from typing import Any

import pytest

from penstock.core.forecast import (
    LEVELS,
    Forecast,
    Forecaster,
    create_forecaster,
    forecasters,
    restored,
)
from tests.contract.series import DAY, days

HORIZON = 12
SEASONS = (DAY, 7 * DAY)
every_method = pytest.mark.parametrize("name", list(forecasters()))


def made(name: str) -> Forecaster:
    return create_forecaster(name, SEASONS, HORIZON)


def after(name: str, values: list[float]) -> Forecaster:
    forecaster = made(name)
    for value in values:
        forecaster.observe(value)
    return forecaster


def all_of(forecast: Forecast) -> list[list[float]]:
    """The mean and every quantile, of each step."""
    steps = range(1, forecast.steps + 1)
    return [forecast.mean, *([forecast.quantile(q, step) for step in steps] for q in LEVELS)]


@every_method
def test_before_the_first_value_it_has_numbers(name: str) -> None:
    assert all(isfinite(value) for row in all_of(made(name).forecast(HORIZON)) for value in row)


@every_method
def test_no_traffic_is_expected_to_stay_none(name: str) -> None:
    forecast = after(name, [0.0] * (3 * DAY)).forecast(HORIZON)
    assert all(value == pytest.approx(0.0, abs=0.01) for row in all_of(forecast) for value in row)


@every_method
def test_traffic_that_ends_is_soon_expected_to_stay_away(name: str) -> None:
    forecast = after(name, [*[100.0] * (3 * DAY), *[0.0] * (8 * DAY)]).forecast(HORIZON)
    assert max(forecast.mean) < 1.0


@every_method
def test_what_never_changes_is_expected_to_the_point(name: str) -> None:
    forecast = after(name, [70.0] * (8 * DAY)).forecast(HORIZON)
    assert all(value == pytest.approx(70.0, rel=0.02) for row in all_of(forecast) for value in row)


@every_method
def test_quantiles_are_in_order_and_never_negative(name: str) -> None:
    forecaster = made(name)
    for value in days(4, mean=3.0):
        forecaster.observe(value)
        quantiles = all_of(forecaster.forecast(HORIZON))[1:]
        for lower, upper in pairwise(quantiles):
            assert all(0.0 <= low <= high for low, high in zip(lower, upper, strict=True))


@every_method
def test_as_many_values_are_below_a_quantile_as_it_says(name: str) -> None:
    forecaster = made(name)
    series = days(22)
    made_at: list[Forecast] = []
    below = {(step, level): 0 for step in (1, 4, 12) for level in LEVELS}
    for at, value in enumerate(series):
        if at >= 8 * DAY:
            for step, level in below:
                below[step, level] += value <= made_at[at - step].quantile(level, step)
        forecaster.observe(value)
        made_at.append(forecaster.forecast(HORIZON))
    for (_, level), count in below.items():
        assert count / (14 * DAY) == pytest.approx(level, abs=0.06)


@every_method
def test_a_step_without_a_value_passes(name: str) -> None:
    series: list[float | None] = [*days(8)]
    forecaster = made(name)
    for at, value in enumerate(series):
        forecaster.observe(None if at % 5 == 3 else value)
    gone = all_of(forecaster.forecast(HORIZON))
    assert all(isfinite(value) for row in gone for value in row)
    whole = after(name, days(8)).forecast(HORIZON)
    assert sum(gone[0]) == pytest.approx(sum(whole.mean), rel=0.5)


@every_method
def test_many_steps_without_a_value_are_passed_over_at_once(name: str) -> None:
    at_once, one_by_one = after(name, days(9)), after(name, days(9))
    at_once.pass_over(DAY)
    for _ in range(DAY):
        one_by_one.observe(None)
    assert at_once.forecast(HORIZON).mean == pytest.approx(one_by_one.forecast(HORIZON).mean)
    for value in days(1, seed=2):
        at_once.observe(value)
    assert all(isfinite(value) for row in all_of(at_once.forecast(HORIZON)) for value in row)


@every_method
@pytest.mark.parametrize("value", [nan, float("inf"), -1.0])
def test_what_is_no_load_is_as_no_value(name: str, value: float) -> None:
    odd, missing = after(name, days(2)), after(name, days(2))
    odd.observe(value)
    missing.observe(None)
    assert all_of(odd.forecast(HORIZON)) == all_of(missing.forecast(HORIZON))


@every_method
def test_a_forecast_does_not_change_afterwards(name: str) -> None:
    forecaster = after(name, days(3))
    forecast = forecaster.forecast(HORIZON)
    before = all_of(forecast)
    for value in days(2, seed=2):
        forecaster.observe(value)
    assert all_of(forecast) == before


@every_method
def test_it_goes_on_from_its_state_as_if_nothing_had_been(name: str) -> None:
    forecaster = after(name, days(9))
    state = json.loads(json.dumps(forecaster.state(), allow_nan=False))
    other = restored(state, name, SEASONS, HORIZON)
    assert all_of(other.forecast(HORIZON)) == all_of(forecaster.forecast(HORIZON))
    for value in [*days(1, seed=2), None, *days(1, seed=3)]:
        forecaster.observe(value)
        other.observe(value)
    assert all_of(other.forecast(HORIZON)) == all_of(forecaster.forecast(HORIZON))


@every_method
def test_a_new_ones_state_can_be_gone_on_from(name: str) -> None:
    restored(json.loads(json.dumps(made(name).state())), name, SEASONS, HORIZON)


def broken(state: Any) -> list[Any]:
    """States that differ from this one in a single place, each of which makes no sense."""
    if isinstance(state, dict):
        return [
            broken_state
            for key in state
            for each in [*broken(state[key]), None]
            for broken_state in [{**state, key: each}]
        ]
    if isinstance(state, list):
        return ["", [*state, "x"]]
    return ["x", nan]


@every_method
def test_a_state_that_makes_no_sense_is_refused(name: str) -> None:
    state = after(name, days(2)).state()
    for wrong in broken(state):
        with pytest.raises(ValueError):
            restored(wrong, name, SEASONS, HORIZON)


@every_method
def test_a_state_of_other_seasons_or_of_another_horizon_is_refused(name: str) -> None:
    state = after(name, days(2)).state()
    with pytest.raises(ValueError, match="seasons"):
        restored(state, name, (DAY,), HORIZON)
    with pytest.raises(ValueError, match="horizon"):
        restored(state, name, SEASONS, HORIZON + 1)


@every_method
def test_it_does_not_grow_after_its_longest_season(name: str) -> None:
    forecaster = after(name, days(9))
    size = len(json.dumps(forecaster.state()))
    for value in days(4, seed=2):
        forecaster.observe(value)
    assert len(json.dumps(forecaster.state())) < 1.1 * size


@every_method
def test_it_works_without_seasons_and_for_a_single_step(name: str) -> None:
    forecaster = create_forecaster(name, (), 1)
    for value in days(3):
        forecaster.observe(value)
    assert forecaster.forecast(1).quantile(0.9, 1) > 0.0
