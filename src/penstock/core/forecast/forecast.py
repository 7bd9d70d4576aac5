"""What is expected of the next steps: a number for each, and quantiles around it."""

from bisect import bisect_left
from math import sqrt
from typing import Final

# The quantiles that are calibrated. Loads are planned for by the upper ones, so these are closer.
# Of no fixed length, here as elsewhere: mypyc 2.4 takes a Final tuple of floats for one not set.
LEVELS: Final[tuple[float, ...]] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def spread(mean: float) -> float:
    """What errors are measured in: the deviation of a Poisson count of about that mean."""
    return sqrt(mean + 1.0)


class Forecast:
    """Steps are counted from 1, the first that has not been observed."""

    def __init__(
        self, mean: list[float], horizons: list[int], thresholds: list[list[float]]
    ) -> None:
        """``mean``: of each step. ``thresholds``: for each of ``horizons`` (ascending, the first
        of them 1) and each of ``LEVELS``, how far from the mean, in spreads."""
        self.mean: list[float] = mean
        self._horizons: list[int] = horizons
        self._thresholds: list[list[float]] = thresholds

    @property
    def steps(self) -> int:
        """How many steps it is for."""
        return len(self.mean)

    def quantile(self, level: float, step: int) -> float:
        """What the series stays at or below in that step with a probability of ``level``.

        Never negative, nor less than that of a lower level. Raises ValueError for a level beyond
        the calibrated ones, IndexError for a step beyond the last.
        """
        if not LEVELS[0] <= level <= LEVELS[-1]:
            raise ValueError(f"levels go from {LEVELS[0]} to {LEVELS[-1]}, not {level}")
        if not 1 <= step <= len(self.mean):
            raise IndexError(f"steps go from 1 to {len(self.mean)}, not {step}")
        mean = self.mean[step - 1]
        return max(mean + self._threshold(level, step) * spread(mean), 0.0)

    def highest(self, level: float, first: int, last: int) -> float:
        """The greatest of the quantiles of the steps from ``first`` to ``last``."""
        highest = 0.0
        for step in range(first, last + 1):
            highest = max(highest, self.quantile(level, step))
        return highest

    def _threshold(self, level: float, step: int) -> float:
        """Between calibrated horizons, by the line from one to the next."""
        horizons = self._horizons
        above = bisect_left(horizons, step)
        if above == len(horizons):
            return _between_levels(self._thresholds[above - 1], level)
        there = _between_levels(self._thresholds[above], level)
        if horizons[above] == step:
            return there
        here = _between_levels(self._thresholds[above - 1], level)
        share = (step - horizons[above - 1]) / (horizons[above] - horizons[above - 1])
        return here + (there - here) * share


def _between_levels(row: list[float], level: float) -> float:
    above = bisect_left(LEVELS, level)
    if LEVELS[above] == level:
        return row[above]
    share = (level - LEVELS[above - 1]) / (LEVELS[above] - LEVELS[above - 1])
    return row[above - 1] + (row[above] - row[above - 1]) * share
