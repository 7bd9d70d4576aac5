"""What a change costs: Penstock beside the Penstock of another checkout, in pairs of a round."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from benchmarks.balancers import BEFORE
from benchmarks.rounds import Result

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Median:
    """Of ``pairs`` ratios, with the interval that holds the true median in 95 of 100 cases.

    ``low`` and ``high`` are None where there are too few pairs for any such interval.
    """

    value: float
    low: float | None
    high: float | None
    pairs: int


def median_of(ratios: Sequence[float]) -> Median:
    """Of at least one. The interval is that of order statistics, which assumes no distribution.

    The true median lies between the k-th least and the k-th greatest of n values with probability
    1 - 2 * P(Binomial(n, 1/2) < k) (David and Nagaraja, Order Statistics, 7.1).
    """
    ordered, n = sorted(ratios), len(ratios)
    outside, k = 0.0, 0
    while k < n // 2:
        outside += 2.0 * comb(n, k) / 2**n
        if outside > 1.0 - _CONFIDENCE:
            break
        k += 1
    low, high = (ordered[k - 1], ordered[n - k]) if k else (None, None)
    return Median(statistics.median(ordered), low, high, n)


def against_before(result: Result) -> list[str]:
    """One line for each row that was measured in both checkouts."""
    lines: list[str] = []
    for label in result.samples:
        name, comma, variant = label.partition(", ")
        before = f"{name}{BEFORE}{comma}{variant}"
        if before not in result.samples:
            continue
        pairs = zip(result.samples[label], result.samples[before], strict=True)
        told = median_of([after.value / earlier.value for after, earlier in pairs])
        interval = f"{told.low:.3f}–{told.high:.3f}" if told.low and told.high else "too few pairs"
        lines.append(f"{label} ÷ before: {told.value:.3f} ({interval}; n = {told.pairs})")
    return lines
