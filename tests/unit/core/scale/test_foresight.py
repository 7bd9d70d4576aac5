"""What came becomes steps of a forecast, whenever it is told."""

import pytest

from penstock.core.forecast import create_forecaster
from penstock.core.forecast.base import Forecaster
from penstock.core.scale.foresight import ForecastDemand


def foresight(name: str = "last-value") -> ForecastDemand:
    return ForecastDemand(create_forecaster(name, (), 10), 60.0, 0.9)


def last_of(forecaster: Forecaster) -> float:
    return forecaster.forecast(1).mean[0]


def test_nothing_is_foreseen_before_a_step_was_seen_whole() -> None:
    seen = foresight()
    for second in range(5, 120, 5):  # the first minute is not seen from its beginning
        seen.note(float(second), 10.0)
    assert seen.most(60.0) is None
    assert seen.rate(60.0, 0.5) == 0.0


def test_what_is_told_at_odd_times_is_spread_evenly() -> None:
    seen = foresight()
    now, values = 0.0, []
    while now < 600.0:
        now += 7.0
        if seen.note(now, 70.0):
            values.append(last_of(seen.forecaster))
    assert values[1:] == pytest.approx([600.0] * len(values[1:]))


def test_a_long_silence_is_steps_of_its_own() -> None:
    seen = foresight()
    for second in range(0, 180, 10):
        seen.note(float(second), 100.0)
    seen.note(480.0, 0.0)
    assert last_of(seen.forecaster) == 0.0


def test_tokens_come_with_requests() -> None:
    seen = foresight()
    for second in range(0, 600, 10):
        seen.note(float(second), 20.0, 2000.0, 500.0)
    foreseen = seen.most(30.0)
    assert foreseen is not None
    assert foreseen.rate >= 2.0
    assert foreseen.prompt_tokens == pytest.approx(100.0 * foreseen.rate)
    assert foreseen.output_tokens == pytest.approx(25.0 * foreseen.rate)
