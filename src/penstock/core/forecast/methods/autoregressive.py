"""Autoregression on differences: an ARIMA(p,1,0) that also knows how it went a season ago.

    Δx(t) = Σ φᵢ·Δx(t−i) + Σ θₛ·Δx(t−s)          x = √y, s the seasons

fitted by least squares that fade, anew at each step, and run forward step by step. The sum of the
|φ| is held below one: so what it expects comes to rest, whatever was fitted.
"""

from math import sqrt
from typing import ClassVar, Final

from penstock.core.forecast.base import Forecaster
from penstock.core.forecast.history import UNKNOWN, History
from penstock.core.plain_state import State, number, numbers, part, tables, whole
from penstock.core.policy.support.least_squares import LeastSquares

_ORDER: Final = 6
_KEPT: Final = 0.998
_CONFIDENCE: Final = 20.0
_STABLE: Final = 0.95


class Autoregressive(Forecaster):
    name: ClassVar[str] = "autoregressive"

    def __init__(self, seasons: tuple[int, ...], horizon: int) -> None:
        super().__init__(seasons, horizon)
        self._history: History = History((max(seasons) if seasons else 0) + 2)
        self._last: float = 0.0
        self._differences: list[float] = [0.0] * _ORDER  # the newest first
        self._fit: LeastSquares = LeastSquares([0.0] * (_ORDER + len(seasons)), _CONFIDENCE, _KEPT)

    def learn(self, value: float) -> None:
        root = sqrt(value)
        if self._history.back(1) != UNKNOWN:
            difference = root - self._last
            self._fit.add(self._features(0), difference)
            self._push(difference)
        else:
            self._push(0.0)  # over a gap nobody knows when it changed
        self._last = root
        self._history.add(value)  # not its root: whole numbers make a short state

    def miss(self) -> None:
        self._history.add(UNKNOWN)

    def predict(self) -> list[float]:
        beta = list(self._fit.beta)
        total = 0.0
        for at in range(_ORDER):
            total += abs(beta[at])
        if total > _STABLE:
            for at in range(_ORDER):
                beta[at] *= _STABLE / total
        recent = list(self._differences)
        value = self._last
        path: list[float] = []
        for step in range(self.horizon):
            difference = 0.0
            for at in range(_ORDER):
                difference += beta[at] * recent[at]
            for place in range(len(self.seasons)):
                difference += beta[_ORDER + place] * self._a_season_ago(place, step)
            recent.insert(0, difference)
            recent.pop()
            value += difference
            path.append(value * value if value > 0.0 else 0.0)
        return path

    def own_state(self) -> State:
        return {
            "history": self._history.state(),
            "last": self._last,
            "differences": list(self._differences),
            "sums": self._fit.sums(),
            "samples": self._fit.samples,
        }

    def take_state(self, state: State) -> None:
        self._history.restore(part(state, "history"))
        self._last = number(state, "last")
        self._differences = numbers(state, "differences", _ORDER)
        size = _ORDER + len(self.seasons)
        self._fit.restore(tables(state, "sums", size + 1), whole(state, "samples"))

    def _features(self, step: int) -> list[float]:
        seasonal = [self._a_season_ago(place, step) for place in range(len(self.seasons))]
        return self._differences + seasonal

    def _a_season_ago(self, place: int, step: int) -> float:
        """How it changed then; ``step`` 0 is the next that will be observed."""
        season = self.seasons[place]
        back = season - step % season
        now, before = self._history.back(back), self._history.back(back + 1)
        return 0.0 if now == UNKNOWN or before == UNKNOWN else sqrt(now) - sqrt(before)

    def _push(self, difference: float) -> None:
        self._differences.insert(0, difference)
        self._differences.pop()
