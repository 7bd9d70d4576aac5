"""How a series goes up and down with a season, as a line through knots.

A week of minutes has 10,080 steps, which would take many weeks to learn one by one; the knots of an
hour each learn from all steps around them. Memory does not depend on the step either.
"""

from typing import Final

from penstock.core.plain_state import State, numbers

_MOST_KNOTS: Final = 168
_SEEN: Final = 0.5  # of a visit: less than that is no knowledge


class Profile:
    """Deviations by the place in a season of so many steps."""

    def __init__(self, season: int, gain: float) -> None:
        """``gain``: how far a knot follows a deviation that it has long been told otherwise."""
        self.season: int = season
        self._gain: float = gain
        self._knots: int = min(season, _MOST_KNOTS)
        self._values: list[float] = [0.0] * self._knots
        self._visits: list[float] = [0.0] * self._knots  # steps that told it something
        self._per_knot: float = season / self._knots

    def at(self, step: int) -> float:
        """The deviation in that step; 0 where nothing is known."""
        where = (step % self.season) / self._per_knot
        knot = int(where)
        share = where - knot
        low = self._values[knot]
        if share == 0.0:
            return low
        return low + (self._values[(knot + 1) % self._knots] - low) * share

    def learn(self, step: int, deviation: float) -> None:
        """It was this in that step."""
        where = (step % self.season) / self._per_knot
        knot = int(where)
        share = where - knot
        error = deviation - self.at(step)
        self._move(knot, 1.0 - share, error)
        if share > 0.0:
            self._move((knot + 1) % self._knots, share, error)

    def state(self) -> State:
        """All of it, as plain values."""
        return {"values": list(self._values), "visits": list(self._visits)}

    def restore(self, state: State) -> None:
        """As it was. Raises ValueError."""
        self._values = numbers(state, "values", self._knots)
        self._visits = numbers(state, "visits", self._knots)

    def _move(self, knot: int, share: float, error: float) -> None:
        """At first a mean of what it was told, later one that forgets."""
        self._visits[knot] += share
        gain = max(self._gain / self._per_knot, 1.0 / (self._visits[knot] + _SEEN))
        self._values[knot] += min(gain, 1.0) * share * error
