"""Erlang's C the other way round: the most that so many endpoints carry, looked up very often."""

from bisect import bisect_left
from functools import cache
from typing import Final

from penstock.core.scale.staffing import fewest_places

_BISECTIONS: Final = 40


class Staffing:
    """Of endpoints with so many places each."""

    def __init__(self, concurrency: int, late_share: float) -> None:
        self._concurrency = concurrency
        self._late_share = late_share
        self._carried: list[float] = [0.0]  # Erlangs, by the number of endpoints

    def needed(self, offered: float) -> int:
        """The fewest endpoints for so many Erlangs."""
        while self._carried[-1] < offered:
            self._carried.append(self._most(len(self._carried) * self._concurrency))
        return bisect_left(self._carried, offered)

    def _most(self, places: int) -> float:
        low, high = 0.0, float(places)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2.0
            if fewest_places(middle, self._late_share) <= places:
                low = middle
            else:
                high = middle
        return low


@cache
def staffing_of(concurrency: int, late_share: float) -> Staffing:
    """One for all who ask for the same."""
    return Staffing(concurrency, late_share)
