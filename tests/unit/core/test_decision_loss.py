"""What acting on a forecast costs, and that the blend goes by it."""

import pytest

from penstock.core.forecast import Forecast, create_forecaster
from penstock.core.forecast.decision_loss import StandInFleet, level_of
from penstock.core.forecast.forecast import LEVELS
from penstock.core.forecast.methods.blend import Blend


def sure(*values: float) -> Forecast:
    """A forecast without a doubt."""
    return Forecast(list(values), [1, len(values)], [[0.0] * len(LEVELS)] * 2)


def test_too_little_costs_more_than_too_much() -> None:
    fleet = StandInFleet(lead=1, under=9.0)
    fleet.act(sure(10.0, 10.0))
    assert fleet.cost(12.0) == 18.0
    assert fleet.cost(7.0) == 3.0


def test_what_is_ordered_serves_after_the_lead() -> None:
    fleet = StandInFleet(lead=3, under=9.0)
    served = []
    for _ in range(4):
        fleet.act(sure(10.0, 10.0, 10.0))
        served.append(fleet.capacity)
    assert served == [0.0, 0.0, 10.0, 10.0]


def test_what_is_too_much_goes_at_once_the_last_order_first() -> None:
    fleet = StandInFleet(lead=2, under=9.0)
    for forecast in (sure(10.0, 10.0), sure(10.0, 10.0), sure(14.0, 14.0), sure(11.0, 11.0)):
        fleet.act(forecast)
    assert fleet.capacity == 11.0
    fleet.act(sure(3.0, 3.0))
    assert fleet.capacity == 3.0


def test_nothing_goes_that_is_needed_again_before_it_could_be_had_back() -> None:
    fleet = StandInFleet(lead=3, under=9.0)
    for forecast in (sure(10.0, 10.0, 10.0),) * 3:
        fleet.act(forecast)
    fleet.act(sure(2.0, 2.0, 10.0))
    assert fleet.capacity == 10.0


def test_who_knows_the_future_pays_for_what_must_be_kept_ready_only() -> None:
    loads = [10.0, 20.0, 30.0, 20.0, 10.0] * 4
    fleet = StandInFleet(lead=2, under=9.0)
    for at in range(2, len(loads) - 2):
        fleet.act(sure(loads[at], loads[at + 1]))
        if at > 3:
            assert fleet.cost(loads[at]) <= 10.0


@pytest.mark.parametrize(("under", "level"), [(9.0, 0.9), (1.0, 0.5), (1e6, 0.99), (1e-6, 0.05)])
def test_the_level_to_act_on_is_the_newsvendors(under: float, level: float) -> None:
    assert level_of(under) == pytest.approx(level)


def test_a_blend_trusts_whom_it_paid_to_trust() -> None:
    blend = create_forecaster("blend", (10,), 5, {"lead": 4})
    assert isinstance(blend, Blend)
    assert set(blend.weights().values()) == {0.25}
    for step in range(300):
        blend.observe(1000.0 if step % 10 < 5 else 10.0)
    weights = blend.weights()
    assert weights["seasonal-naive"] > 0.4 > 0.01 > weights["last-value"]
    assert sum(weights.values()) == pytest.approx(1.0)


def test_a_lead_beyond_the_horizon_is_taken_for_the_horizon() -> None:
    blend = create_forecaster("blend", (), 2, {"lead": 50})
    for value in (1.0, 2.0, 3.0):
        blend.observe(value)
    assert blend.forecast(2).quantile(0.9, 2) > 0.0
