"""Prometheus buckets from the board's finer ones."""

from typing import Final

from penstock.core.measure.histogram import upper_bound_us

# Every bucket boundary at a power of two of microseconds: exact, because the board's log-linear
# buckets end there too. From 64 µs to 268 s, which spans a cached answer and a long inference.
_FIRST_POWER: Final = 6
_LAST_POWER: Final = 28
_ENDS: Final = {1 << power for power in range(_FIRST_POWER, _LAST_POWER + 1)}


def cumulative_buckets(counts: list[int]) -> list[tuple[str, float]]:
    """Prometheus buckets in seconds from the board's: those that end at a power of two."""
    buckets: list[tuple[str, float]] = []
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        end_us = upper_bound_us(bucket)
        if end_us in _ENDS:
            buckets.append((repr(end_us / 1e6), seen))
    buckets.append(("+Inf", seen))
    return buckets
