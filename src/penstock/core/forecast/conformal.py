"""Quantiles from the errors that forecasts had: whatever the method, and whatever it assumes.

For each horizon the errors of the last forecasts so far ahead are kept in units of their spread,
and their quantiles are the forecast's: split conformal prediction, rolling. Where the series
changes, the level looked up is moved by how often it was too low of late,

    level ← level + γ · (wanted − 1{the value was at or below})

which brings the share of values below to the wanted one in the long run for any series at all:
I. Gibbs and E. Candès, "Adaptive conformal inference under distribution shift", NeurIPS 2021.

Before there are errors, they are taken for those of a Poisson count.
"""

from bisect import bisect_left, insort
from typing import Final

from penstock.core.forecast.forecast import LEVELS, spread
from penstock.core.plain_state import State, numbers, tables, whole

_WINDOW: Final = 256  # errors kept for each horizon
_GAMMA: Final = 0.01
_RATIO: Final = 1.5  # from one calibrated horizon to the next
_NONE: Final = -1.0  # no forecast was made for this step
_DIGITS: Final = 4  # of an error: less to keep, and written whole
# Quantiles of the normal distribution, at (i + ½)/19.
_UPPER: Final[tuple[float, ...]] = (
    0.1323,
    0.267,
    0.4067,
    0.5549,
    0.7165,
    0.8994,
    1.119,
    1.4122,
    1.9379,
)
_ASSUMED: Final = [*(-error for error in reversed(_UPPER)), 0.0, *_UPPER]


def calibrated_horizons(horizon: int) -> list[int]:
    """Every step at first, later ever fewer, and the last."""
    chosen = [1]
    while chosen[-1] < horizon:
        chosen.append(min(max(chosen[-1] + 1, round(chosen[-1] * _RATIO)), horizon))
    return chosen


class Conformal:
    """Told each step's value and then the forecast made after it."""

    def __init__(self, horizon: int) -> None:
        self.horizons: list[int] = calibrated_horizons(horizon)
        self.thresholds: list[list[float]] = []  # replaced, not changed: forecasts keep them
        self._step: int = 0
        self._expected: list[list[float]] = [[_NONE] * h for h in self.horizons]
        self._errors: list[ErrorWindow] = [ErrorWindow() for _ in self.horizons]
        self._levels: list[list[float]] = [list(LEVELS) for _ in self.horizons]
        self._refresh()

    def learn(self, value: float) -> None:
        """The step's value, of which forecasts were made up to ``horizon`` steps ago."""
        for place in range(len(self.horizons)):
            mean = self._expected[place][self._step % self.horizons[place]]
            if mean != _NONE:
                error = round((value - mean) / spread(mean), _DIGITS)
                self._adapt(place, error)
                self._errors[place].add(error)
        self._refresh()

    def expect(self, path: list[float]) -> None:
        """What is forecast now for the next steps; ends the step."""
        for place in range(len(self.horizons)):
            horizon = self.horizons[place]
            self._expected[place][self._step % horizon] = path[horizon - 1]
        self._step += 1

    def skip(self) -> None:
        """A step passed after which nothing was forecast."""
        for place in range(len(self.horizons)):
            self._expected[place][self._step % self.horizons[place]] = _NONE
        self._step += 1

    def state(self) -> State:
        """All of it, as plain values."""
        return {
            "step": self._step,
            "expected": [list(ring) for ring in self._expected],
            "errors": [list(window.recent) for window in self._errors],
            "assumed": [window.assumed for window in self._errors],
            "levels": [list(row) for row in self._levels],
        }

    def restore(self, state: State) -> None:
        """As it was. Raises ValueError for what is no such state of the same horizon."""
        rows = len(self.horizons)
        expected, levels = tables(state, "expected", rows), tables(state, "levels", rows)
        errors = tables(state, "errors", rows)
        assumed = numbers(state, "assumed", rows)
        for place in range(rows):
            if len(expected[place]) != self.horizons[place] or len(levels[place]) != len(LEVELS):
                raise ValueError("'expected' or 'levels' are of other horizons")
            self._errors[place].restore(errors[place], int(assumed[place]))
        self._step = whole(state, "step")
        self._expected = expected
        self._levels = levels
        self._refresh()

    def _adapt(self, place: int, error: float) -> None:
        levels = self._levels[place]
        thresholds = self.thresholds[place]
        for at in range(len(LEVELS)):
            level = levels[at] + _GAMMA * LEVELS[at]
            if error <= thresholds[at]:
                level -= _GAMMA
            if level < 0.0:
                level = 0.0
            elif level > 1.0:
                level = 1.0
            levels[at] = level

    def _refresh(self) -> None:
        self.thresholds = [
            self._errors[place].quantiles(self._levels[place])
            for place in range(len(self.horizons))
        ]


class ErrorWindow:
    """The last errors, in the order they came and sorted. Those assumed leave first, one for each
    that is real."""

    def __init__(self) -> None:
        self.recent: list[float] = list(_ASSUMED)
        self.assumed: int = len(_ASSUMED)
        self._sorted: list[float] = list(_ASSUMED)

    def add(self, error: float) -> None:
        """Take in an error."""
        if self.assumed or len(self.recent) == _WINDOW:
            oldest = self.recent.pop(0)
            del self._sorted[bisect_left(self._sorted, oldest)]
            self.assumed = max(self.assumed - 1, 0)
        self.recent.append(error)
        insort(self._sorted, error)

    def quantiles(self, levels: list[float]) -> list[float]:
        """Of n errors those of rank level·(n+1), which is right for the next one to come; none is
        less than the one before."""
        errors = self._sorted
        last = len(errors) - 1
        row: list[float] = []
        least = errors[0]
        for level in levels:
            rank = level * (last + 2) - 1.0
            below = int(rank)
            if below >= last:
                error = errors[last]
            elif rank <= 0.0:
                error = errors[0]
            else:
                error = errors[below]
                error += (errors[below + 1] - error) * (rank - below)
            if error > least:
                least = error
            row.append(least)
        return row

    def restore(self, recent: list[float], assumed: int) -> None:
        """As it was. Raises ValueError."""
        if not len(_ASSUMED) <= len(recent) <= _WINDOW or not 0 <= assumed <= len(_ASSUMED):
            raise ValueError("'errors' are too many or too few")
        self.recent = recent
        self.assumed = assumed
        self._sorted = sorted(recent)
