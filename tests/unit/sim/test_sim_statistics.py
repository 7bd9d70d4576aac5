"""Intervals cover what they should, as often as they say."""

from math import isnan, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.statistics import controlled_interval, interval, student_t


@pytest.mark.parametrize(
    ("confidence", "freedom", "printed"),
    [
        *((0.95, n, t) for n, t in ((1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571))),
        *((0.95, n, t) for n, t in ((9, 2.262), (30, 2.042), (120, 1.980))),
        *((0.99, n, t) for n, t in ((1, 63.657), (2, 9.925), (4, 4.604), (10, 3.169))),
        *((0.999, n, t) for n, t in ((2, 31.599), (5, 6.869), (30, 3.646))),
        *((0.5, n, t) for n, t in ((3, 0.765), (30, 0.683))),
    ],
)
def test_students_t_is_that_of_the_printed_tables(
    confidence: float, freedom: int, printed: float
) -> None:
    assert student_t(confidence, freedom) == pytest.approx(printed, abs=6e-4)


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
    controls = [[1.0, 2.0], [2.0, 1.0], [3.0, 5.0]]
    with pytest.raises(ValueError, match="more than 3 replications"):
        controlled_interval([1.0, 2.0, 3.0], controls, [1.0, 2.0])


def test_a_control_that_never_varies_changes_nothing() -> None:
    values = [1.0, 2.0, 4.0]
    assert controlled_interval(values, [[7.0]] * 3, [7.0]).mean == pytest.approx(7 / 3)
    controlled = controlled_interval(values, [[7.0]] * 3, [7.0])
    assert controlled.half_width == pytest.approx(interval(values).half_width)


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
