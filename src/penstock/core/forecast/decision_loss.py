"""What acting on a forecast would have cost: of a stand-in for a fleet, in units of load.

After each step it is asked for as much as the forecast's quantile says is needed at most until what
is ordered now serves, ``lead`` steps later. What is too much goes at once. A step costs

    under · (load − capacity)   where that is positive, else   capacity − load

so the quantile that costs least for a known distribution is under / (under + 1): the newsvendor's.
A forecast that knows the future costs nothing once the first order serves.
"""

from penstock.core.forecast.forecast import LEVELS, Forecast
from penstock.core.plain_state import State, number, numbers


def level_of(under: float) -> float:
    """The quantile to act on where a unit too little costs so many times one too much."""
    return min(max(under / (under + 1.0), LEVELS[0]), LEVELS[-1])


class StandInFleet:
    """Its capacity is any number: steps of whole endpoints would hide small differences."""

    def __init__(self, lead: int, under: float) -> None:
        self.lead: int = lead
        self.capacity: float = 0.0
        self._under: float = under
        self._level: float = level_of(under)
        self._ordered: list[float] = [0.0] * lead  # what will serve after 1, 2 … steps

    def cost(self, load: float) -> float:
        """Of a step with that load."""
        missing = load - self.capacity
        return missing * self._under if missing > 0.0 else -missing

    def act(self, forecast: Forecast) -> None:
        """The step has ended, and this is expected of the next ones."""
        wanted = forecast.highest(self._level, 1, self.lead)
        excess = self.capacity + sum(self._ordered) - wanted
        if excess < 0.0:
            self._ordered[-1] -= excess
        else:
            for place in range(self.lead - 1, -1, -1):  # what comes last is cancelled first
                cancelled = min(self._ordered[place], excess)
                self._ordered[place] -= cancelled
                excess -= cancelled
            self.capacity -= excess
        self.capacity += self._ordered.pop(0)
        self._ordered.append(0.0)

    def state(self) -> State:
        """What it has and has ordered, as plain values."""
        return {"capacity": self.capacity, "ordered": list(self._ordered)}

    def restore(self, state: State) -> None:
        """As it was. Raises ValueError."""
        self.capacity = number(state, "capacity")
        self._ordered = numbers(state, "ordered", self.lead)
