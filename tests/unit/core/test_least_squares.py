"""The laws of least squares that forget."""

from random import Random

import pytest

from penstock.core.policy.support.least_squares import LeastSquares

TRUTH = [0.08, 0.07, 0.002]


def sample(dice: Random) -> tuple[list[float], float]:
    """Features that go up and down together, as those of engines do, and what follows of them."""
    tokens = dice.uniform(0.1, 8.0)
    x = [1.0, tokens, tokens * tokens * dice.uniform(0.9, 1.1)]
    y = sum(b * each for b, each in zip(TRUTH, x, strict=True))
    return x, y * dice.uniform(0.95, 1.05)


def test_the_coefficients_are_found_and_stay_found() -> None:
    """Rounding errors must not add up: an engine answers millions of prompts."""
    dice = Random(1)
    fit = LeastSquares([0.0, 0.0, 0.0], 1e-3, 0.999)
    for _ in range(12):
        for _ in range(5000):
            fit.add(*sample(dice))
        for x in ([1.0, 0.5, 0.25], [1.0, 4.0, 16.0], [1.0, 8.0, 64.0]):
            expected = sum(b * each for b, each in zip(TRUTH, x, strict=True))
            told = sum(b * each for b, each in zip(fit.beta, x, strict=True))
            assert told == pytest.approx(expected, rel=0.03)
    assert fit.samples == 60_000


def test_what_was_true_before_is_forgotten() -> None:
    fit = LeastSquares([0.0, 0.0], 1e-3, 0.99)
    dice = Random(2)
    for slope in (3.0, 5.0):
        for _ in range(2000):
            tokens = dice.random()
            fit.add([1.0, tokens], 1.0 + slope * tokens)
        assert fit.beta == pytest.approx([1.0, slope], abs=0.01)


def test_features_that_stand_still_or_are_always_equal_tell_no_more_than_their_sum() -> None:
    fit = LeastSquares([0.5, 0.0, 0.0], 1e-3, 0.9)
    for _ in range(20_000):
        fit.add([1.0, 2.0, 2.0], 9.0)
    assert fit.beta[0] + 2.0 * fit.beta[1] + 2.0 * fit.beta[2] == pytest.approx(9.0, rel=1e-3)
    assert fit.beta[1] == pytest.approx(fit.beta[2])
    assert max(abs(each) for each in fit.beta) < 9.0


def test_of_what_no_sample_tells_the_start_is_kept() -> None:
    fit = LeastSquares([0.0, 0.7], 1e-3, 0.999)
    for _ in range(1000):
        fit.add([1.0, 0.0], 2.0)
    assert fit.beta == pytest.approx([2.0, 0.7], rel=1e-3)
