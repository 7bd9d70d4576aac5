"""What was at this time of the week, or else of the day, is what comes; else what was last.

Of the seasons the longest is taken of which a whole one was seen.
"""

from typing import ClassVar

from penstock.core.forecast.base import Forecaster
from penstock.core.forecast.history import UNKNOWN, History
from penstock.core.plain_state import State, number, part


class SeasonalNaive(Forecaster):
    name: ClassVar[str] = "seasonal-naive"

    def __init__(self, seasons: tuple[int, ...], horizon: int) -> None:
        super().__init__(seasons, horizon)
        self._history: History = History(max(seasons) if seasons else 1)
        self._last: float = 0.0

    def learn(self, value: float) -> None:
        self._history.add(value)
        self._last = value

    def miss(self) -> None:
        self._history.add(UNKNOWN)

    def predict(self) -> list[float]:
        path = [UNKNOWN] * self.horizon
        for season in self.seasons:  # the longest last, as its word counts most
            for step in range(self.horizon):
                seen = self._history.back(season - step % season)
                if seen != UNKNOWN:
                    path[step] = seen
        return [self._last if value == UNKNOWN else value for value in path]

    def own_state(self) -> State:
        return {"history": self._history.state(), "last": self._last}

    def take_state(self, state: State) -> None:
        self._history.restore(part(state, "history"))
        self._last = number(state, "last")
