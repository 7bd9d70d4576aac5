"""A histogram of durations fine enough for the tail percentiles of an experiment.

Buckets are logarithmic, 128 to each factor of e, so that a value is known to 0.8% and a quantile,
interpolated within its bucket, to far less. (DDSketch's mapping: Masson, Rim and Lee, VLDB 2019.)
"""

from math import exp, log
from typing import Final

from mypy_extensions import i64

_PER_E: Final = 128.0
_LEAST: Final = 1e-9  # seconds; whatever is shorter counts as this
_LOG_LEAST: Final = -20.72326583694641  # ln(1e-9)
_BUCKETS: Final = 5312  # up to 1e9 seconds


class FineHistogram:
    """Counts of durations in seconds; mergeable."""

    def __init__(self) -> None:
        self.counts: list[int] = [0] * _BUCKETS

    def record(self, seconds: float) -> None:
        """Count one duration."""
        bucket: i64 = 0
        if seconds > _LEAST:
            bucket = i64((log(seconds) - _LOG_LEAST) * _PER_E)
            if bucket >= _BUCKETS:
                bucket = _BUCKETS - 1
        self.counts[bucket] += 1

    def add(self, other: "FineHistogram") -> None:
        """Count everything that ``other`` counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]

    def total(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The q-quantile (0..1) in seconds; nan when nothing was counted."""
        rank = q * self.total()
        seen = 0
        for bucket, count in enumerate(self.counts):
            if count and seen + count >= rank:
                return _within(bucket, (rank - seen) / count)
            seen += count
        return float("nan")

    def share_above(self, seconds: float) -> float:
        """The share of durations longer than ``seconds``, interpolated within its bucket."""
        total = self.total()
        if total == 0:
            return float("nan")
        position = (log(max(seconds, _LEAST)) - _LOG_LEAST) * _PER_E
        edge = int(position)
        inside = self.counts[edge] * (1.0 - (position - edge))
        return (sum(self.counts[edge + 1 :]) + inside) / total

    def points(self) -> list[tuple[float, float]]:
        """(seconds, share of durations at most that long), for a plot."""
        total = self.total()
        found: list[tuple[float, float]] = []
        seen = 0
        for bucket, count in enumerate(self.counts):
            if count:
                seen += count
                found.append((_within(bucket, 1.0), seen / total))
        return found


def _within(bucket: int, share: float) -> float:
    return exp((bucket + share) / _PER_E + _LOG_LEAST)
