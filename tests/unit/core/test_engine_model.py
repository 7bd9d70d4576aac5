"""What is believed of an endpoint's speed, before and after it was seen."""

import pytest

from penstock.core.policy._engine_model import PEAK_RATE, EngineModel


def seen(model: EngineModel, per_token_s: float, samples: int) -> None:
    """Prompts of growing length, answered in a time proportional to it."""
    for number in range(samples):
        tokens = 500 + 100 * number
        model.learn_first_token(0, tokens, tokens, per_token_s * tokens)
        model.learn_step(1 + number % 5, 1000.0 * number, 0.0, 0.01 + 0.001 * (1 + number % 5))


def test_an_endpoint_nobody_used_is_taken_for_an_average_one() -> None:
    common, fresh = EngineModel(), EngineModel()
    seen(common, 2e-4, 60)
    fresh.take_for(common)
    assert fresh.prefill_s(1000, 1000) == pytest.approx(common.prefill_s(1000, 1000))
    assert fresh.decode_s(4, 0.0) == pytest.approx(common.decode_s(4, 0.0))


def test_what_was_seen_of_an_endpoint_outweighs_the_average() -> None:
    common, own = EngineModel(), EngineModel()
    seen(common, 2e-4, 60)
    seen(own, 1e-4, 60)
    own.take_for(common)
    assert own.token_s == pytest.approx(1e-4, rel=0.05)


def test_an_average_of_few_samples_is_not_believed() -> None:
    common, fresh = EngineModel(), EngineModel()
    seen(common, 2e-4, 5)
    fresh.take_for(common)
    assert fresh.token_s == 1.0 / PEAK_RATE
