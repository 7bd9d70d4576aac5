"""A forecast that is kept over a restart knows what time of day it is afterwards."""

import json

import pytest

from penstock.control.scale.kept_forecast import go_on, to_keep
from penstock.core.forecast import Forecaster, create_forecaster

STEP_S = 300.0
DAY = [100.0, 100.0, 10.0, 10.0, 10.0, 10.0]


def made() -> Forecaster:
    return create_forecaster("seasonal-naive", (len(DAY),), len(DAY))


def after_days(count: int) -> Forecaster:
    forecaster = made()
    for value in DAY * count:
        forecaster.observe(value)
    return forecaster


@pytest.mark.parametrize(
    ("down_s", "expected"), [(0.0, 100.0), (100.0, 100.0), (310.0, 100.0), (600.0, 10.0)]
)
def test_the_steps_in_between_have_passed(down_s: float, expected: float) -> None:
    kept = json.loads(json.dumps(to_keep(after_days(3), 1000.0)))
    again = made()
    go_on(again, kept, 1000.0 + down_s, STEP_S)
    assert again.forecast(1).mean == [expected]


@pytest.mark.parametrize("kept", [{}, {"at": "noon"}, {"at": 1000.0, "forecaster": 7}])
def test_what_is_damaged_is_refused(kept: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        go_on(made(), kept, 1000.0, STEP_S)


def test_what_is_too_old_is_refused() -> None:
    kept = to_keep(after_days(3), 1000.0)
    with pytest.raises(ValueError, match="too old"):
        go_on(made(), kept, 1000.0 + 100 * 86_400.0, STEP_S)
