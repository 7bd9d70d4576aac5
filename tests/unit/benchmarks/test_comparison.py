"""What a change costs is told by medians of pairs, with honest intervals."""

from random import Random

import pytest
from scipy.stats import binom  # type: ignore[import-untyped]

from benchmarks.comparison import against_before, median_of
from benchmarks.rounds import Result
from benchmarks.scenarios.scenario import Sample


@pytest.mark.parametrize("pairs", [6, 11, 12, 21, 40])
def test_the_interval_is_the_narrowest_of_order_statistics_that_is_sure_enough(pairs: int) -> None:
    told = median_of([float(each) for each in range(pairs)])
    assert told.low is not None
    rank = int(told.low) + 1
    assert told.high == pairs - rank
    assert 1 - 2 * binom.cdf(rank - 1, pairs, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(rank, pairs, 0.5) < 0.95


def test_of_few_pairs_no_interval_is_told() -> None:
    assert median_of([1.0, 1.1, 0.9, 1.2, 1.0]).low is None


def test_the_interval_holds_the_true_median_nineteen_times_of_twenty() -> None:
    random = Random(1)
    held = 0
    for _ in range(1000):
        told = median_of([random.lognormvariate(0.0, 1.0) for _ in range(11)])
        assert told.low is not None
        assert told.high is not None
        held += told.low <= 1.0 <= told.high
    assert 940 <= held <= 1000


def test_rows_are_held_against_those_of_the_same_variant() -> None:
    samples = {
        "Penstock, 2 endpoints": [Sample(11.0)],
        "Penstock before, 2 endpoints": [Sample(10.0)],
        "nginx": [Sample(9.0)],
    }
    assert against_before(Result(samples)) == [
        "Penstock, 2 endpoints ÷ before: 1.100 (too few pairs; n = 1)"
    ]
