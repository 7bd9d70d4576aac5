"""Forecasts, their quantiles, and the methods by themselves."""

from random import Random

import pytest

from penstock.core.forecast import Forecast, create_forecaster, forecasters
from penstock.core.forecast.conformal import calibrated_horizons
from penstock.core.forecast.forecast import LEVELS
from penstock.core.forecast.history import UNKNOWN, History
from penstock.core.forecast.profile import Profile

FLAT = [float(place) for place in range(len(LEVELS))]


def test_a_quantile_lies_its_threshold_in_spreads_above_the_mean() -> None:
    forecast = Forecast([8.0, 8.0], [1, 2], [FLAT, FLAT])  # a spread of 3
    assert forecast.quantile(LEVELS[2], 1) == 8.0 + 2 * 3.0


def test_levels_and_steps_in_between_are_interpolated() -> None:
    twice = [2 * value for value in FLAT]
    forecast = Forecast([8.0] * 5, [1, 5], [FLAT, twice])
    middle = (LEVELS[1] + LEVELS[2]) / 2
    assert forecast.quantile(middle, 1) == pytest.approx(8.0 + 1.5 * 3.0)
    assert forecast.quantile(LEVELS[2], 3) == pytest.approx(8.0 + 3.0 * 3.0)


def test_the_highest_of_a_span_is_the_greatest_of_its_quantiles() -> None:
    forecast = Forecast([1.0, 5.0, 2.0, 9.0], [1, 4], [[0.0] * len(LEVELS)] * 2)
    assert forecast.highest(0.5, 1, 3) == 5.0


@pytest.mark.parametrize("level", [0.0, 0.01, 0.995, 1.0, float("nan")])
def test_a_level_that_is_not_calibrated_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=r"levels go from 0\.05 to 0\.99"):
        Forecast([1.0], [1], [FLAT]).quantile(level, 1)


@pytest.mark.parametrize("step", [0, 2])
def test_a_step_beyond_the_forecast_is_refused(step: int) -> None:
    with pytest.raises(IndexError):
        Forecast([1.0], [1], [FLAT]).quantile(0.5, step)


@pytest.mark.parametrize("steps", [0, 13])
def test_more_steps_than_the_horizon_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 12 steps"):
        create_forecaster("last-value", horizon=12).forecast(steps)


def test_the_last_step_is_always_calibrated() -> None:
    for horizon in range(1, 200):
        chosen = calibrated_horizons(horizon)
        assert chosen[0] == 1
        assert chosen[-1] == horizon
        assert chosen == sorted(set(chosen))


def test_a_series_that_turns_wild_is_covered_again_after_a_while() -> None:
    dice = Random(1)
    forecaster = create_forecaster("last-value", horizon=1)
    for _ in range(500):
        forecaster.observe(dice.gauss(1000.0, 5.0))
    below = 0
    for at in range(600):
        value = max(dice.gauss(1000.0, 200.0), 0.0)
        below += at >= 300 and value <= forecaster.forecast(1).quantile(0.95, 1)
        forecaster.observe(value)
    assert below / 300 == pytest.approx(0.95, abs=0.04)


def test_before_there_are_errors_they_are_those_of_a_count() -> None:
    forecaster = create_forecaster("last-value", horizon=4)
    forecaster.observe(99.0)
    forecast = forecaster.forecast(4)
    assert forecast.quantile(0.5, 4) == 99.0
    assert forecast.quantile(0.95, 4) == pytest.approx(99.0 + 1.64 * 10.0, rel=0.05)


def test_seasonal_naive_takes_the_longest_season_seen() -> None:
    forecaster = create_forecaster("seasonal-naive", (2, 6), 2)
    for value in [1.0, 2.0, 3.0]:
        forecaster.observe(value)
    assert forecaster.forecast(2).mean == [2.0, 3.0]
    for value in [4.0, 5.0, 6.0]:
        forecaster.observe(value)
    assert forecaster.forecast(2).mean == [1.0, 2.0]


def test_seasonal_naive_leaves_out_what_nobody_knows() -> None:
    forecaster = create_forecaster("seasonal-naive", (2, 4), 2)
    for value in [1.0, None, 3.0, 4.0]:
        forecaster.observe(value)
    assert forecaster.forecast(2).mean == [1.0, 4.0]


def test_history_knows_no_more_than_its_length() -> None:
    history = History(3)
    assert history.back(1) == UNKNOWN
    for value in [1.0, 2.0, 3.0, 4.0]:
        history.add(value)
    assert [history.back(steps) for steps in (1, 2, 3, 4)] == [4.0, 3.0, 2.0, UNKNOWN]


@pytest.mark.parametrize(
    ("name", "seasons", "horizon", "options", "said"),
    [
        ("last_valu", (), 1, {}, "did you mean 'last-value'"),
        ("prophet", (), 1, {}, "known: "),
        ("last-value", (), 0, {}, "at least one step"),
        ("last-value", (7, 7), 1, {}, "shortest first"),
        ("last-value", (1,), 1, {}, "two steps or more"),
        ("last-value", (), 1, {"depth": 2}, "has no option 'depth'"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(
    name: str, seasons: tuple[int, ...], horizon: int, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        create_forecaster(name, seasons, horizon, options)


def test_methods_are_found_by_their_names() -> None:
    assert {"last-value", "seasonal-naive"} <= set(forecasters())


def forecast_after(
    name: str, values: list[float], seasons: tuple[int, ...], steps: int
) -> Forecast:
    forecaster = create_forecaster(name, seasons, steps)
    for value in values:
        forecaster.observe(value)
    return forecaster.forecast(steps)


def error(forecast: Forecast, coming: list[float]) -> float:
    return sum(abs(m - v) for m, v in zip(forecast.mean, coming, strict=True)) / sum(coming)


def rising(steps: int) -> list[float]:
    return [(100.0 + step) for step in range(steps)]


def a_day_of_two_halves(day: int) -> list[float]:
    """Ten steps of 400 and ten of 100; at weekends a quarter of that."""
    share = 0.25 if day % 7 >= 5 else 1.0
    return [share * 400.0] * 10 + [share * 100.0] * 10


WEEKS = [value for day in range(21) for value in a_day_of_two_halves(day)]


@pytest.mark.parametrize("name", ["holt-winters", "autoregressive", "blend"])
def test_a_rise_of_the_day_is_foreseen(name: str) -> None:
    forecast = forecast_after(name, WEEKS[: 15 * 20 - 3], (20, 140), 6)
    assert forecast.mean[1] == pytest.approx(100.0, rel=0.2)
    assert forecast.mean[4] == pytest.approx(400.0, rel=0.5)


@pytest.mark.parametrize("name", ["holt-winters", "blend"])
def test_so_is_the_weekend(name: str) -> None:
    friday_evening = 7 * 20 * 2 + 20 * 5 - 3
    forecast = forecast_after(name, WEEKS[:friday_evening], (20, 140), 6)
    assert forecast.mean[4] < 200.0  # 400 on the days before


@pytest.mark.parametrize("name", ["holt-winters", "autoregressive", "blend"])
def test_without_seasons_they_err_no_more_than_the_last_value(name: str) -> None:
    dice = Random(4)
    values = [max(dice.gauss(200.0, 30.0), 0.0) for _ in range(300)]
    told, plain = (forecast_after(n, values[:290], (), 10) for n in (name, "last-value"))
    assert error(told, values[290:]) <= 1.05 * error(plain, values[290:])


def test_an_autoregression_of_what_grows_without_bound_stays_bounded() -> None:
    growing = [1.5**step for step in range(60)]
    forecast = forecast_after("autoregressive", growing, (), 60)
    assert max(forecast.mean) < 1000.0 * growing[-1]


def test_a_profile_of_many_steps_learns_between_its_knots() -> None:
    profile = Profile(10_080, gain=0.25)
    for step in range(10_080):
        profile.learn(step, float(step % 2 == 0) + step / 1000)
    assert len(profile.state()["values"]) == 168  # type: ignore[arg-type]
    assert profile.at(5_031) == pytest.approx(5.5, abs=0.3)
