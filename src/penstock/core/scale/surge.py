"""A rise that is under way: what it comes to if it goes on for a start time.

No forecaster foresees a crowd, but it does not come in one second either. The mean of the last half
minute is compared with that of the half minute before; a difference that chance does not explain is
taken to go on until an endpoint started now would serve, to at most twice what is there.
"""

from math import sqrt
from typing import Final

_WINDOW_S: Final = 30.0
_DEVIATIONS: Final = 4.0  # by which the halves differ, were it chance
_LEAST: Final = 0.05  # of the rate: less is no surge, however sure
_MOST: Final = 2.0


class Surge:
    """Told the rate at every look."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []

    def factor(self, now: float, rate: float, ahead_s: float) -> float:
        """How many times the rate it will be in ``ahead_s``; 1 where nothing rises."""
        self._seen.append((now, rate))
        while self._seen[0][0] < now - 2.0 * _WINDOW_S:
            del self._seen[0]
        late = 0.0
        early = 0.0
        late_looks = 0
        early_looks = 0
        for at, seen in self._seen:
            if at > now - _WINDOW_S:
                late += seen
                late_looks += 1
            else:
                early += seen
                early_looks += 1
        if early_looks == 0 or rate <= 0.0:
            return 1.0
        after = late / late_looks
        before = early / early_looks
        rise = after - before
        chance = sqrt((after + before) / _WINDOW_S)
        if rise < _DEVIATIONS * chance or rise < _LEAST * after:
            return 1.0
        foreseen = after + rise / _WINDOW_S * (ahead_s + _WINDOW_S / 2.0)
        return min(max(foreseen / rate, 1.0), _MOST)
