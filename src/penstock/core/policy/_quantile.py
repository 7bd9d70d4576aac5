"""Quantiles of the last few values."""

from bisect import bisect_left, insort


class SlidingQuantile:
    """Keeps the last ``size`` values sorted; adding one costs a search and a short move."""

    def __init__(self, size: int) -> None:
        self._size: int = size
        self._recent: list[float] = []  # a ring, once it is full
        self._next: int = 0
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        """Take in a value; the oldest one leaves."""
        if len(self._recent) < self._size:
            self._recent.append(value)
        else:
            del self._sorted[bisect_left(self._sorted, self._recent[self._next])]
            self._recent[self._next] = value
            self._next = (self._next + 1) % self._size
        insort(self._sorted, value)

    def quantile(self, q: float) -> float:
        """The q-quantile, 0..1; infinite for q above 1 and where there is no value."""
        count = len(self._sorted)
        if count == 0 or q > 1.0:
            return float("inf")
        return self._sorted[min(int(q * count), count - 1)]
