"""The last values of a series, eight bytes each."""

from array import array
from typing import Final

from penstock.core.plain_state import State, numbers, whole

UNKNOWN: Final = -1.0


class History:
    """A ring of at most ``length`` values; of some steps the value is ``UNKNOWN``."""

    def __init__(self, length: int) -> None:
        self.length: int = length
        self.steps: int = 0  # since the beginning
        self._ring: array[float] = array("d")

    def add(self, value: float) -> None:
        """The value of the step that ended."""
        if len(self._ring) < self.length:
            self._ring.append(value)
        else:
            self._ring[self.steps % self.length] = value
        self.steps += 1

    def back(self, steps: int) -> float:
        """The value so many steps ago, the newest being 1; ``UNKNOWN`` before the first."""
        if steps > len(self._ring):
            return UNKNOWN
        return float(self._ring[(self.steps - steps) % self.length])

    def state(self) -> State:
        """All of it, as plain values."""
        return {"steps": self.steps, "values": list(self._ring)}

    def restore(self, state: State) -> None:
        """As it was. Raises ValueError."""
        values, steps = numbers(state, "values"), whole(state, "steps")
        if len(values) != min(steps, self.length):
            raise ValueError(f"{len(values)} values of {steps} steps")
        if any([value < 0.0 and value != UNKNOWN for value in values]):
            raise ValueError("a value is negative")
        self._ring = array("d", values)
        self.steps = steps
