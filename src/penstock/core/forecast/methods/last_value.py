"""What was last is what comes: the forecast that any other has to beat."""

from typing import ClassVar

from penstock.core.forecast.base import Forecaster
from penstock.core.plain_state import State, number


class LastValue(Forecaster):
    name: ClassVar[str] = "last-value"

    def __init__(self, seasons: tuple[int, ...], horizon: int) -> None:
        super().__init__(seasons, horizon)
        self._last: float = 0.0

    def learn(self, value: float) -> None:
        self._last = value

    def miss(self) -> None:
        pass

    def predict(self) -> list[float]:
        return [self._last] * self.horizon

    def own_state(self) -> State:
        return {"last": self._last}

    def take_state(self, state: State) -> None:
        self._last = number(state, "last")
