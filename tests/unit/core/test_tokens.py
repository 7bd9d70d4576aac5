"""Estimates are learned from what engines count."""

import pytest

from penstock.core.tokens import UNKNOWN_OUTPUT, OutputPredictor, TokenEstimator


def test_bytes_per_token_are_learned_by_model() -> None:
    estimator = TokenEstimator()
    assert estimator.tokens("a", 400) == 100
    for _ in range(300):
        estimator.learn("a", 600, 200)
    assert estimator.bytes_per_token("a") == pytest.approx(3.0)
    assert estimator.tokens("b", 400) == 100
    assert (estimator.tokens("a", 0), estimator.tokens("a", 1)) == (0, 1)


def test_an_engine_that_counts_nonsense_is_believed_within_reason() -> None:
    estimator = TokenEstimator()
    estimator.learn("a", 1_000_000, 1)
    assert estimator.bytes_per_token("a") == 16.0
    estimator.learn("b", 1, 1_000_000)
    assert estimator.bytes_per_token("b") == 1.0


def test_names_made_up_by_clients_do_not_fill_memory() -> None:
    estimator = TokenEstimator()
    predictor = OutputPredictor()
    for number in range(2000):
        estimator.learn(f"m{number}", 10, 10)
        predictor.learn(f"m{number}", 10)
    assert estimator.bytes_per_token("m1999") == 4.0
    assert estimator.bytes_per_token("m0") == 1.0


def test_an_output_is_predicted_from_those_that_were_longer() -> None:
    predictor = OutputPredictor()
    assert predictor.predict("m") == UNKNOWN_OUTPUT
    for _ in range(20):
        predictor.learn("m", 10)
        predictor.learn("m", 1000)
    assert predictor.predict("m") == pytest.approx(505, rel=0.02)
    assert predictor.predict("m", so_far=100) == pytest.approx(1000, rel=0.01)
    assert predictor.predict("m", limit=50) == 50
    assert predictor.predict("m", so_far=4000) == 8000


@pytest.mark.parametrize("so_far", [0, 1, 255, 256, 100_000])
def test_what_goes_on_has_at_least_one_token_to_come(so_far: int) -> None:
    predictor = OutputPredictor()
    assert predictor.predict("m", limit=1, so_far=so_far) > so_far
