"""What is believed of an endpoint's speed, before and after it was seen."""

import json
from itertools import count

import pytest

from penstock.core.policy.support.engine_model import PEAK_RATE, EngineModel, FleetModel

_tick = count()


def now() -> float:
    """Ten samples a second."""
    return next(_tick) * 0.1


def seen(model: EngineModel, per_token_s: float, samples: int, pace: float = 1.0) -> None:
    """Prompts of growing length, answered in a time proportional to it."""
    for number in range(samples):
        tokens = 500 + 100 * (number % 20)
        model.learn_first_token(0, tokens, tokens, pace * per_token_s * tokens, now())
        batch = 1 + number % 5
        model.learn_step(batch, 1000.0 * number, 0.0, pace * (0.01 + 0.001 * batch), now())


def test_an_endpoint_nobody_used_is_taken_for_an_average_one() -> None:
    fleet = FleetModel()
    known, fresh = EngineModel(fleet), EngineModel(fleet)
    seen(known, 2e-4, 200)
    assert fresh.prefill_s(1000, 1000) == pytest.approx(0.2, rel=0.05)
    assert fresh.decode_s(4, 0.0) == pytest.approx(0.014, rel=0.05)
    assert known.prefill_s(1000, 1000) == pytest.approx(0.2, rel=0.02)


def test_nothing_is_known_of_a_fleet_at_first() -> None:
    assert EngineModel(FleetModel()).token_s == 1.0 / PEAK_RATE


@pytest.mark.parametrize("slower", [1.5, 4.0, 20.0])
def test_endpoints_of_unlike_speed_are_told_apart(slower: float) -> None:
    fleet = FleetModel()
    fast, slow = EngineModel(fleet), EngineModel(fleet)
    for _ in range(60):
        seen(fast, 2e-4, 5)
        seen(slow, 2e-4, 5, pace=slower)
    assert fast.prefill_s(1000, 1000) == pytest.approx(0.2, rel=0.05)
    assert slow.prefill_s(1000, 1000) == pytest.approx(0.2 * slower, rel=0.05)
    assert slow.decode_s(4, 0.0) == pytest.approx(0.014 * slower, rel=0.05)


def test_few_samples_of_one_endpoint_do_not_make_it_look_cheap() -> None:
    """Some that happened to be quick: a tenth is believed of what they seem to say."""
    fleet = FleetModel()
    for _ in range(4):
        seen(EngineModel(fleet), 2e-4, 50)
    lucky = EngineModel(fleet)
    seen(lucky, 2e-4, 1, pace=0.5)
    assert lucky.prefill_s(1000, 1000) > 0.9 * 0.2


def test_an_endpoint_that_turns_slow_is_known_within_its_memory() -> None:
    fleet = FleetModel()
    others, turning = EngineModel(fleet), EngineModel(fleet)
    for _ in range(40):
        seen(others, 2e-4, 5)
        seen(turning, 2e-4, 5)
    for _ in range(30):
        seen(others, 2e-4, 5)
        seen(turning, 2e-4, 5, pace=3.0)
    assert turning.prefill_s(1000, 1000) > 2.5 * others.prefill_s(1000, 1000)


class TestOverAnUpgrade:
    """What is learned goes over as plain data."""

    def learned_model(self) -> FleetModel:
        model = FleetModel()
        for number in range(50):
            model.learn_first_token(number * 10, 500, 1000, 0.05 + number * 0.001)
            model.learn_step(number % 7, number * 1000.0, number * 2.0, 0.02 + number * 1e-4)
        return model

    def test_the_next_one_expects_the_same_and_learns_on_alike(self) -> None:
        before, after = self.learned_model(), FleetModel()
        after.take_learned(json.loads(json.dumps(before.learned())))
        assert after.coefficients() == pytest.approx(before.coefficients())
        assert (after.knows_prefill(), after.knows_decode()) == (True, True)
        for model in (before, after):
            model.learn_first_token(300, 400, 900, 0.3)
            model.learn_step(3, 500.0, 1.0, 0.05)
        assert after.coefficients() == pytest.approx(before.coefficients())

    def test_one_that_saw_nothing_tells_nothing(self) -> None:
        assert FleetModel().learned() == {}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"prefill": [[0.0] * 4] * 4},
            {"decode": [[0.0] * 4] * 4},
            {"decode": [[0.0] * 3] * 5},
            {"samples": -1},
            {"typical_s": float("nan")},
            {"prefill_pace": 0.0},
            {"steps": None},
        ],
    )
    def test_another_form_changes_nothing(self, wrong: dict[str, object]) -> None:
        model = FleetModel()
        begun = model.coefficients()
        with pytest.raises(ValueError, match=r"."):
            model.take_learned(self.learned_model().learned() | wrong)
        assert model.coefficients() == begun
