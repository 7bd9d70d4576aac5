"""What every forecaster is: it sees one number a step, and says what the next ones will be."""

from math import isfinite
from typing import ClassVar, Final

from penstock.core.forecast.conformal import Conformal
from penstock.core.forecast.forecast import Forecast
from penstock.core.plain_state import State, part
from penstock.core.policy.base import Option

VERSION: Final = 1  # of the state; raised whenever one that was written no longer fits


class Forecaster:
    """Forecasts a series of equal steps. Subclass it to add a method: ``learn``, ``predict``,
    and ``own_state`` with ``take_state``. What all have in common is here: quantiles, and steps
    of which no value is known.

    Values are loads: not negative. 0 is a value like any other.
    """

    name: ClassVar[str] = ""  # the one place where a method's name stands
    options: ClassVar[tuple[Option, ...]] = ()

    def __init__(self, seasons: tuple[int, ...], horizon: int) -> None:
        """``seasons``: after how many steps it is the same time of day, of week; the shortest
        first, perhaps none. ``horizon``: the most steps ahead that are asked for."""
        self.seasons: tuple[int, ...] = seasons
        self.horizon: int = horizon
        self._conformal: Conformal = Conformal(horizon)
        self._path: list[float] = [0.0] * horizon

    def observe(self, value: float | None) -> None:
        """A step has ended with this value. None: nobody knows with which; so with what is no
        finite number or negative."""
        if value is None or not isfinite(value) or value < 0.0:
            self.miss()
        else:
            self._conformal.learn(value)
            self.learn(value)
        path = self.predict()
        for step in range(len(path)):
            if not path[step] > 0.0:  # NaN too
                path[step] = 0.0
        self._path = path
        self._conformal.expect(path)

    def pass_over(self, steps: int) -> None:
        """So many steps passed, at least one, with values that nobody knows. As many calls of
        ``observe``, in a hundredth of the time; of what would have been forecast in between nothing
        is learned later."""
        for _ in range(steps - 1):
            self.skip()
        self.observe(None)

    def skip(self) -> None:
        """One of several steps without a value, after which nobody asks for a forecast."""
        self._conformal.skip()
        self.miss()

    def forecast(self, steps: int) -> Forecast:
        """Of the next steps, at most ``horizon``. Raises ValueError for more."""
        if not 1 <= steps <= self.horizon:
            raise ValueError(f"it forecasts from 1 to {self.horizon} steps, not {steps}")
        return Forecast(self._path[:steps], self._conformal.horizons, self._conformal.thresholds)

    def state(self) -> State:
        """What it remembers, as plain values that JSON keeps."""
        return {
            "version": VERSION,
            "method": self.name,
            "seasons": list(self.seasons),
            "horizon": self.horizon,
            "quantiles": self._conformal.state(),
            "own": self.own_state(),
        }

    def restore(self, state: State) -> None:
        """Go on where another was that wrote this ``state``.

        Raises ValueError for what it cannot go on from; make a new one then, as half of it may
        have been taken.
        """
        wanted = {
            "version": VERSION,
            "method": self.name,
            "seasons": list(self.seasons),
            "horizon": self.horizon,
        }
        for key, value in wanted.items():
            if state.get(key) != value:
                raise ValueError(f"its {key} is {state.get(key)!r}, not {value!r}")
        self._conformal.restore(part(state, "quantiles"))
        self.take_state(part(state, "own"))
        self._path = [max(value, 0.0) for value in self.predict()]

    def learn(self, value: float) -> None:
        """The step's value."""
        raise NotImplementedError

    def miss(self) -> None:
        """A step has passed, with a value that nobody knows."""
        raise NotImplementedError

    def predict(self) -> list[float]:
        """One number for each of the next ``horizon`` steps."""
        raise NotImplementedError

    def own_state(self) -> State:
        """What the method itself remembers."""
        raise NotImplementedError

    def take_state(self, state: State) -> None:
        """Remember this. Raises ValueError where it is not of ``own_state``."""
        raise NotImplementedError
