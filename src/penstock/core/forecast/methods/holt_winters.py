"""Exponential smoothing of a level, a damped trend, and a profile for each season.

    √y(t+h) = level + (d + d² + … + dʰ)·trend + Σ profiles(t+h) + φʰ·residual

After J. W. Taylor, "Short-term electricity demand forecasting using double seasonal exponential
smoothing", JORS 54 (2003): several seasons at once, and the residual's autocorrelation φ. The root
of a count has the same noise at any load, so quiet hours and busy ones weigh alike. Profiles have
knots (``profile``), and are taken from the whole season when a first one is over. How fast level
and trend follow is chosen among a few by their errors half a horizon ahead, which fade.
"""

from math import sqrt
from typing import ClassVar, Final

from penstock.core.forecast.base import Forecaster
from penstock.core.forecast.history import UNKNOWN, History
from penstock.core.forecast.profile import Profile
from penstock.core.plain_state import State, number, numbers, part, whole

_GAIN: Final = 0.05
_DAMPED: Final = 0.9
_KEPT: Final = 0.995  # of errors and of what φ is made from, at each step
# How much of an error goes into level and trend.
_GAINS: Final[tuple[tuple[float, float], ...]] = ((0.02, 0.0), (0.1, 0.0), (0.35, 0.0), (0.35, 0.1))


class HoltWinters(Forecaster):
    name: ClassVar[str] = "holt-winters"

    def __init__(self, seasons: tuple[int, ...], horizon: int) -> None:
        super().__init__(seasons, horizon)
        self._step: int = 0
        self._means: list[SeasonMean] = [SeasonMean(season) for season in seasons]
        self._profiles: list[Profile] = [Profile(season, _GAIN) for season in seasons]
        ahead = max(horizon // 2, 1)
        self._smoothers: list[Smoother] = [Smoother(a, b, ahead) for a, b in _GAINS]

    def learn(self, value: float) -> None:
        root = sqrt(value)
        deviation = root
        for place in range(len(self.seasons)):
            # Against the season's own mean: the level may follow the season itself.
            mean = self._means[place].add(value)
            others = self._season(self._step, place)
            self._profiles[place].learn(self._step, root - mean - others)
            deviation -= self._profiles[place].at(self._step)
        for smoother in self._smoothers:
            smoother.learn(deviation)
        self._pass()

    def miss(self) -> None:
        for mean in self._means:
            mean.miss()
        self._pass()

    def predict(self) -> list[float]:
        best = self._smoothers[0]
        for smoother in self._smoothers:
            if smoother.error < best.error:
                best = smoother
        path: list[float] = []
        for step in range(1, self.horizon + 1):
            root = best.ahead(step) + self._season(self._step + step - 1, len(self.seasons))
            path.append(root * root if root > 0.0 else 0.0)
        return path

    def own_state(self) -> State:
        return {
            "step": self._step,
            "means": {str(at): self._means[at].state() for at in range(len(self.seasons))},
            "profiles": {str(at): self._profiles[at].state() for at in range(len(self.seasons))},
            "smoothers": {str(at): self._smoothers[at].state() for at in range(len(_GAINS))},
        }

    def take_state(self, state: State) -> None:
        self._step = whole(state, "step")
        for at in range(len(self.seasons)):
            self._means[at].restore(part(part(state, "means"), str(at)))
            self._profiles[at].restore(part(part(state, "profiles"), str(at)))
        for at in range(len(_GAINS)):
            self._smoothers[at].restore(part(part(state, "smoothers"), str(at)))

    def _season(self, step: int, seasons: int) -> float:
        """The sum of the first so many profiles."""
        total = 0.0
        for place in range(seasons):
            total += self._profiles[place].at(step)
        return total

    def _begin(self, place: int) -> None:
        """A first whole season was seen: only now is its mean known, and what shorter ones say."""
        season, mean = self.seasons[place], self._means[place]
        profile = Profile(season, _GAIN)
        for step in range(season):
            value = mean.values.back(season - step)
            if value != UNKNOWN:
                profile.learn(step, sqrt(value) - mean.mean() - self._season(step, place))
        self._profiles[place] = profile

    def _pass(self) -> None:
        self._step += 1
        for place in range(len(self.seasons)):
            if self._step == self.seasons[place]:
                self._begin(place)
        for smoother in self._smoothers:
            smoother.expect()


class SeasonMean:
    """The mean root of the last season, or of what there was of it."""

    def __init__(self, season: int) -> None:
        self.values: History = History(season)
        self._sum: float = 0.0
        self._count: int = 0

    def add(self, value: float) -> float:
        """The mean with this one."""
        self._push(value)
        return self.mean()

    def mean(self) -> float:
        """Of what is known; 0 where nothing is."""
        return self._sum / self._count if self._count else 0.0

    def miss(self) -> None:
        """A step passed of which nothing is known."""
        self._push(UNKNOWN)

    def state(self) -> State:
        """What it remembers, as plain values."""
        return {"values": self.values.state(), "sum": self._sum, "count": self._count}

    def restore(self, state: State) -> None:
        """As it was. Raises ValueError."""
        self.values.restore(part(state, "values"))
        self._sum = number(state, "sum")
        self._count = whole(state, "count")

    def _push(self, value: float) -> None:
        oldest = self.values.back(self.values.length)
        if oldest != UNKNOWN:
            self._sum -= sqrt(oldest)
            self._count -= 1
        self.values.add(value)
        if value != UNKNOWN:
            self._sum += sqrt(value)
            self._count += 1


class Smoother:
    """A level, a trend and an autocorrelated residual, that follow at a given rate."""

    def __init__(self, gain: float, trend_gain: float, ahead: int) -> None:
        """``ahead``: how far ahead its ``error`` is measured, in steps."""
        self.error: float = 0.0
        self._gain: float = gain
        self._trend_gain: float = trend_gain
        self._level: float = 0.0
        self._trend: float = 0.0
        self._residual: float = 0.0
        self._samples: int = 0
        self._products: float = 0.0  # of neighbouring residuals
        self._squares: float = 1e-9
        self._ahead: int = ahead
        self._expected: list[float] = []
        self._next: int = 0

    def ahead(self, steps: int) -> float:
        """What is expected so many steps ahead."""
        damped = _DAMPED * (1.0 - _DAMPED**steps) / (1.0 - _DAMPED)
        return float(self._level + damped * self._trend + self._phi() ** steps * self._residual)

    def learn(self, value: float) -> None:
        """The step's value, without its seasons."""
        if len(self._expected) == self._ahead:
            error = value - self._expected[self._next]
            self.error = _KEPT * self.error + error * error
        self._samples += 1
        gain = max(self._gain, 1.0 / self._samples)
        before = self._level + _DAMPED * self._trend
        error = value - before
        self._products = _KEPT * self._products + error * self._residual
        self._squares = _KEPT * self._squares + self._residual * self._residual
        surprise = error - self._phi() * self._residual if self._samples > 1 else error
        self._level = before + gain * surprise
        self._trend = _DAMPED * self._trend + self._trend_gain * surprise
        self._residual = value - self._level

    def expect(self) -> None:
        """The step has ended."""
        value = self.ahead(self._ahead)
        if len(self._expected) < self._ahead:
            self._expected.append(value)
        else:
            self._expected[self._next] = value
            self._next = (self._next + 1) % self._ahead

    def state(self) -> State:
        """What it remembers, as plain values."""
        return {
            "numbers": [
                self.error,
                self._level,
                self._trend,
                self._residual,
                self._products,
                self._squares,
            ],
            "samples": self._samples,
            "next": self._next,
            "expected": list(self._expected),
        }

    def restore(self, state: State) -> None:
        """As it was. Raises ValueError."""
        told = numbers(state, "numbers", 6)
        self.error, self._level, self._trend = told[0], told[1], told[2]
        self._residual, self._products, self._squares = told[3], told[4], told[5]
        self._samples = whole(state, "samples")
        self._expected = numbers(state, "expected")
        self._next = whole(state, "next")
        if len(self._expected) > self._ahead or self._next >= self._ahead:
            raise ValueError(f"'expected' is of another horizon than {self._ahead}")

    def _phi(self) -> float:
        return min(max(self._products / self._squares, 0.0), 0.99)
