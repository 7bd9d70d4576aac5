"""A quantile of the last few whole numbers, kept up to date in O(1)."""

from typing import Final

LARGEST: Final = 4095  # larger values count as this


class SlidingQuantile:
    """The q-quantile of the last ``size`` values: of n sorted values the one at ⌊q·n⌋.

    Counts per value and a finger on the quantile, which moves by few places per value.
    """

    def __init__(self, size: int, q: float) -> None:
        self._size: int = size
        self._q: float = q
        self._recent: list[int] = []  # a ring, once it is full
        self._next: int = 0
        self._counts: list[int] = [0] * (LARGEST + 1)
        self._value: int = 0
        self._below: int = 0  # how many are less than ``_value``

    def add(self, value: int) -> None:
        """Take in a value of at least 0; the oldest one leaves."""
        value = min(value, LARGEST)
        if len(self._recent) < self._size:
            self._recent.append(value)
        else:
            oldest = self._recent[self._next]
            self._recent[self._next] = value
            self._next = (self._next + 1) % self._size
            self._counts[oldest] -= 1
            if oldest < self._value:
                self._below -= 1
        self._counts[value] += 1
        if value < self._value:
            self._below += 1
        self._settle()

    def value(self) -> int:
        """The quantile; ``LARGEST`` where there is no value."""
        return self._value if self._recent else LARGEST

    def _settle(self) -> None:
        count = len(self._recent)
        rank = min(int(self._q * count), count - 1)
        while self._below > rank:
            self._value -= 1
            self._below -= self._counts[self._value]
        while self._below + self._counts[self._value] <= rank:
            self._below += self._counts[self._value]
            self._value += 1
