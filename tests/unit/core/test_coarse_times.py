"""Coarse buckets of durations: every duration has its bucket, and quantiles are near the truth."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.measure.histogram import COARSE, coarse_of, coarse_quantile_us

LONGEST_US = 100_000_000  # those of the last bucket and longer are one


def counts_of(durations: list[int]) -> list[int]:
    counts = [0] * COARSE
    for each in durations:
        counts[coarse_of(each)] += 1
    return counts


def test_buckets_grow_by_a_half_at_most() -> None:
    firsts = [next(us for us in range(512, 5000) if coarse_of(us) == b) for b in range(1, 7)]
    assert firsts == [512, 768, 1024, 1536, 2048, 3072]
    assert coarse_of(0) == coarse_of(511) == 0
    assert coarse_of(10**12) == COARSE - 1


@given(st.lists(st.integers(512, LONGEST_US), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_quantile_is_at_most_half_off(durations: list[int], q: float) -> None:
    found = coarse_quantile_us(counts_of(durations), q)
    true = sorted(durations)[max(0, math.ceil(q * len(durations)) - 1)]
    assert true / 1.501 <= found <= true * 1.501


def test_of_nothing_there_is_none() -> None:
    assert math.isnan(coarse_quantile_us([0] * COARSE, 0.5))
    assert coarse_quantile_us(counts_of([100]), 0.5) == pytest.approx(256.0)
