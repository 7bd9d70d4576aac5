"""Intervals cover what they should, as often as they say."""

from math import isnan, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student  # type: ignore[import-untyped]

from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.statistics import controlled_interval, interval, student_t


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30, 500])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.9999])
def test_students_t_is_scipys(freedom: int, confidence: float) -> None:
    expected = student.ppf(0.5 + confidence / 2, freedom)
    assert student_t(confidence, freedom) == pytest.approx(expected, rel=2e-4)


def test_an_interval_is_the_textbook_one() -> None:
    found = interval([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    assert found.half_width == pytest.approx(3.18245 * sqrt(5 / 3) / 2, rel=1e-5)
    assert found.covers(1.0)
    assert not found.covers(5.0)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    assert isnan(interval([1.0]).half_width)
    assert not interval([1.0]).covers(1.0)
    assert isnan(interval([float("nan")]).mean)


def test_95_of_100_intervals_cover() -> None:
    """False alarm: 2000 trials of .95 lie within 5 deviations of 1900 but once in a million."""
    rng = Random(11)
    covered = sum(
        interval([rng.gauss(3.0, 2.0) for _ in range(5)]).covers(3.0) for _ in range(2000)
    )
    assert covered == pytest.approx(1900, abs=5 * sqrt(2000 * 0.95 * 0.05))


def test_a_control_takes_out_what_it_explains_and_leaves_the_mean() -> None:
    rng = Random(12)
    covered = narrower = 0
    for _ in range(400):
        controls = [[rng.gauss(1.0, 1.0)] for _ in range(12)]
        values = [5.0 + 2.0 * (c[0] - 1.0) + rng.gauss(0.0, 0.5) for c in controls]
        controlled = controlled_interval(values, controls, [1.0])
        covered += controlled.covers(5.0)
        narrower += controlled.half_width < interval(values).half_width
    assert covered == pytest.approx(380, abs=5 * sqrt(400 * 0.95 * 0.05))
    assert narrower > 380


def test_controls_need_enough_replications() -> None:
    with pytest.raises(ValueError, match="more than 3 replications"):
        controlled_interval([1.0, 2.0, 3.0], [[1.0, 2.0], [2.0, 1.0], [3.0, 5.0]], [1.0, 2.0])


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=300), st.floats(0.0, 1.0))
def test_a_quantile_is_within_a_bucket_of_the_exact_one(values: list[float], q: float) -> None:
    histogram = FineHistogram()
    for value in values:
        histogram.record(value)
    ordered = sorted(values)
    exact = ordered[max(0, min(len(values) - 1, -int(-(q * len(values)) // 1) - 1))]
    assert histogram.quantile(q) == pytest.approx(exact, rel=0.01)


def test_histograms_add_up_and_know_their_tail() -> None:
    first, second = FineHistogram(), FineHistogram()
    for i in range(1, 101):
        (first if i % 2 else second).record(float(i))
    first.record(0.0)
    first.record(1e30)
    first.add(second)
    assert first.total() == 102
    assert first.share_above(50.0) == pytest.approx(51 / 102, abs=0.02)
    shares = [share for _, share in first.points()]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert isnan(FineHistogram().quantile(0.5))
