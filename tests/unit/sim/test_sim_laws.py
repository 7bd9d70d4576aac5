"""Laws have the mean and the spread that they were asked for.

Statistical: each check allows five standard errors, so that one false alarm in a million is
expected; seeds are fixed, so that it never comes and goes.
"""

from collections.abc import Callable
from math import inf, log, sqrt
from random import Random

import pytest

from penstock import theory
from penstock.sim.kernel.arrivals import (
    Arrivals,
    Bursts,
    Diurnal,
    Poisson,
    RateProfile,
    Recorded,
    Renewal,
)
from penstock.sim.kernel.laws import (
    Deterministic,
    Empirical,
    Exponential,
    Gamma,
    HyperExponential,
    Law,
    LogNormal,
    Pareto,
    TruncatedNormal,
    Weibull,
)

DRAWS = 40_000
LAWS: list[Law] = [
    Deterministic(2.0),
    Exponential(2.0),
    HyperExponential(2.0, 4.0),
    Gamma(2.0, 0.5),
    Gamma(2.0, 0.3),
    Gamma(2.0, 3.0),
    Weibull(2.0, 0.25),
    Weibull(2.0, 3.0),
    LogNormal(2.0, 1.5),
    Pareto(2.0, 4.5),
    Pareto(2.0, 1.5, maximum=40.0),
    Pareto(2.0, 2.0, maximum=40.0),
    TruncatedNormal(2.0, 2.0),
    Empirical([1.0, 2.0, 6.0]),
    Empirical([1.0, 2.0, 6.0], [5.0, 4.0, 1.0]),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_draws_have_the_mean_and_cv2_of_the_law(law: Law) -> None:
    rng = Random(7)
    values = [law.draw(rng) for _ in range(DRAWS)]
    mean = sum(values) / DRAWS
    assert min(values) >= 0.0
    assert mean == pytest.approx(law.mean, abs=5 * law.mean * sqrt(law.cv2 / DRAWS) + 1e-9)
    squares = [(value - law.mean) ** 2 for value in values]
    variance = sum(squares) / DRAWS
    error = sqrt(sum((s - variance) ** 2 for s in squares) / DRAWS / DRAWS)
    assert variance == pytest.approx(law.cv2 * law.mean**2, abs=5 * error + 1e-9)


def test_the_hyper_exponential_law_is_the_one_of_theory() -> None:
    law = HyperExponential(1.0, 10.0)
    expected = theory.h2_balanced(1.0, 10.0)
    assert law.p1 == pytest.approx(expected.p1, rel=1e-12)


def test_weibull_of_cv2_one_is_exponential() -> None:
    assert Weibull(3.0, 1.0).shape == pytest.approx(1.0)


def test_a_pareto_tail_without_bound_has_no_variance_below_two() -> None:
    assert Pareto(1.0, 1.5).cv2 == inf
    assert Pareto(1.0, 1.5, maximum=10.0).cv2 < inf


def test_the_same_seed_draws_the_same() -> None:
    for law in LAWS:
        first, second = Random(3), Random(3)
        assert [law.draw(first) for _ in range(9)] == [law.draw(second) for _ in range(9)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Exponential(-1.0),
        lambda: HyperExponential(1.0, 0.5),
        lambda: Gamma(1.0, 0.0),
        lambda: Weibull(1.0, 1e6),
        lambda: LogNormal(0.0, 1.0),
        lambda: Pareto(1.0, 1.0),
        lambda: Pareto(1.0, 2.0, maximum=0.5),
        lambda: TruncatedNormal(1.0, 0.0),
        lambda: Empirical([]),
        lambda: Empirical([1.0], [1.0, 2.0]),
        lambda: Empirical([-1.0, 3.0]),
        lambda: Poisson(0.0),
        lambda: Renewal(Deterministic(0.0)),
        lambda: Bursts([1.0], [1.0]),
        lambda: Bursts([0.0, 0.0], [1.0, 1.0]),
        lambda: Diurnal(1.0, swing=1.5),
        lambda: RateProfile([0.0], [1.0]),
        lambda: RateProfile([1.0, 1.0], [1.0, 2.0]),
        lambda: RateProfile([0.0, 1.0], [0.0, 0.0]),
    ],
)
def test_parameters_without_meaning_are_refused(make: Callable[[], Law | Arrivals]) -> None:
    with pytest.raises(ValueError, match=r"law|must|need|take"):
        make()


def counts(arrivals: Arrivals, until: float, cell: float, seed: int = 5) -> list[int]:
    """How many arrivals fall into each cell of time."""
    found = [0] * round(until / cell)
    rng = Random(seed)
    now = arrivals.after(0.0, rng)
    while now < until:
        found[int(now / cell)] += 1
        now = arrivals.after(now, rng)
    return found


@pytest.mark.parametrize(
    "arrivals",
    [Poisson(10.0), Renewal(Gamma(0.1, 4.0)), Renewal(Weibull(0.1, 0.5))],
    ids=lambda arrivals: type(arrivals).__name__,
)
def test_arrivals_come_at_their_rate(arrivals: Arrivals) -> None:
    total = sum(counts(arrivals, 2000.0, 1.0))
    assert total == pytest.approx(20_000, abs=5 * sqrt(20_000 * 4.0))
    assert arrivals.rate == pytest.approx(10.0)


def test_bursts_have_their_mean_rate_and_are_burstier_than_poisson() -> None:
    arrivals = Bursts([2.0, 42.0], [4.0, 1.0])
    assert arrivals.rate == pytest.approx(10.0)
    cells = counts(arrivals, 4000.0, 1.0)
    mean = sum(cells) / len(cells)
    assert mean == pytest.approx(10.0, rel=0.15)
    dispersion = sum((c - mean) ** 2 for c in cells) / len(cells) / mean
    assert dispersion > 5.0


def test_a_day_swings_around_its_mean() -> None:
    arrivals = Diurnal(50.0, swing=0.8, period_s=100.0, peak_s=25.0)
    cells = counts(arrivals, 2000.0, 50.0)
    day, night = sum(cells[0::2]), sum(cells[1::2])
    assert day + night == pytest.approx(100_000, abs=5 * sqrt(100_000))
    # Half a period around the peak holds 1/2 + swing/π of it all.
    assert day / (day + night) == pytest.approx(0.5 + 0.8 / 3.14159265, abs=0.01)


def test_a_profile_is_followed_in_straight_lines() -> None:
    arrivals = RateProfile([0.0, 100.0, 200.0], [0.0, 200.0, 0.0])
    assert arrivals.rate == pytest.approx(100.0)
    cells = counts(arrivals, 200.0, 50.0)
    for cell, expected in zip(cells, (2500, 7500, 7500, 2500), strict=True):
        assert cell == pytest.approx(expected, abs=5 * sqrt(expected))
    assert arrivals.after(200.0, Random(1)) == inf


def test_a_recording_is_played_as_it_is() -> None:
    arrivals = Recorded([0.5, 0.5, 3.0])
    rng = Random(1)
    assert [arrivals.after(at, rng) for at in (0.0, 0.5, 0.5, 3.0)] == [0.5, 0.5, 3.0, inf]


def test_gaps_of_poisson_arrivals_are_exponential() -> None:
    rng = Random(2)
    arrivals = Poisson(1.0)
    gaps = [arrivals.after(0.0, rng) for _ in range(DRAWS)]
    longer = sum(gap > log(4.0) for gap in gaps) / DRAWS
    assert longer == pytest.approx(0.25, abs=5 * sqrt(0.25 * 0.75 / DRAWS))
