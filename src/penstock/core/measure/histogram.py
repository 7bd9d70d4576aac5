"""Latency histograms with log-linear buckets: four to each power of two, over 1 µs to 71 min.

A bucket's width is at most a quarter of its lower bound, so a quantile read from it is at most
12.5% off its middle (the HDR histogram's idea, with two significant bits).
"""

from typing import Final

BUCKETS: Final = 124
# Of each endpoint fewer are kept: two to each power of two, from 512 µs to 134 s.
COARSE: Final = 36
_COARSE_BITS: Final = 10  # of the shortest duration in the bucket after the first


def bucket_of(microseconds: int) -> int:
    """The index of the bucket that holds this duration."""
    if microseconds < 4:
        return max(0, microseconds)
    shift = microseconds.bit_length() - 3
    bucket = shift * 4 + (microseconds >> shift)
    return bucket if bucket < BUCKETS else BUCKETS - 1


def upper_bound_us(bucket: int) -> int:
    """The first duration, in microseconds, that no longer falls in this bucket."""
    if bucket < 4:
        return bucket + 1
    shift = bucket // 4 - 1
    return (bucket % 4 + 5) << shift


def quantile_us(counts: list[int], q: float) -> float:
    """The q-quantile (0..1) of the recorded durations in microseconds; nan when none."""
    total = sum(counts)
    if total == 0:
        return float("nan")
    rank = q * total
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if count and seen >= rank:
            lower = upper_bound_us(bucket - 1) if bucket else 0
            return (lower + upper_bound_us(bucket)) / 2
    return float(upper_bound_us(BUCKETS - 1))


def coarse_of(microseconds: int) -> int:
    """The index of the coarse bucket that holds this duration."""
    bits = microseconds.bit_length()
    if bits < _COARSE_BITS:
        return 0
    bucket = (bits - _COARSE_BITS) * 2 + (microseconds >> (bits - 2) & 1) + 1
    return bucket if bucket < COARSE else COARSE - 1


def coarse_quantile_us(counts: list[int], q: float) -> float:
    """The q-quantile of durations in coarse buckets, as if they lay evenly in each; nan when none.

    At most half of it off.
    """
    total = sum(counts)
    if total == 0:
        return float("nan")
    rank = q * total
    seen = 0
    for bucket, count in enumerate(counts):
        if count and seen + count >= rank:
            lower = _coarse_start_us(bucket)
            return lower + (_coarse_start_us(bucket + 1) - lower) * (rank - seen) / count
        seen += count
    return float(_coarse_start_us(COARSE))


def _coarse_start_us(bucket: int) -> int:
    if bucket == 0:
        return 0
    power, half = divmod(bucket - 1, 2)
    return (2 + half) << (power + _COARSE_BITS - 2)


class Histogram:
    """Counts of durations; one writer, cheap to bump."""

    def __init__(self) -> None:
        self.counts: list[int] = [0] * BUCKETS
        self.sum_us: int = 0

    def record(self, seconds: float) -> None:
        """Count one duration."""
        microseconds = int(seconds * 1e6)
        self.counts[bucket_of(microseconds)] += 1
        self.sum_us += microseconds
