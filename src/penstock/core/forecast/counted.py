"""A running total that is read at the ends of steps, as a series that is forecast."""

from collections.abc import Callable
from typing import Final

from penstock.core.forecast.base import Forecaster
from penstock.core.plain_state import State, part, whole

_NEVER: Final = -1
_SHARED_OUT: Final = 2  # steps that one reading may be of, when it comes late


class CountedSeries:
    """Steps have numbers that go on over restarts, such as minutes since 1970, so that it is the
    same time of day at the same place in a season."""

    def __init__(self, make: Callable[[], Forecaster], longest_gap: int) -> None:
        """After more steps than ``longest_gap`` without a reading it begins anew: what it knew is
        old, and to pass over them all would take long."""
        self.forecaster: Forecaster = make()
        self.observed: int = 0  # steps with a value, since it began
        self.latest: float = 0.0  # the newest of these
        self._make: Callable[[], Forecaster] = make
        self._longest_gap: int = longest_gap
        self._step: int = _NEVER  # that began at the last reading
        self._total: int = 0
        self._whole: bool = False  # the last reading was at the beginning of that step

    def read(self, total: int, step: int) -> None:
        """The total at the beginning of that step. A total that went back was begun anew."""
        passed = step - self._step
        if self._step == _NEVER or passed > self._longest_gap:
            self._begin()
        elif passed <= 0:
            # The clock was set back: wait until it is where it was, unless that takes long.
            if -passed > _SHARED_OUT:
                self._begin()
            else:
                return
        elif not self._whole or total < self._total or passed > _SHARED_OUT:
            self.forecaster.pass_over(passed)
        else:
            self.latest = (total - self._total) / passed
            for _ in range(passed):
                self.forecaster.observe(self.latest)
            self.observed += passed
        self._whole = True
        self._step = step
        self._total = total

    def state(self) -> State:
        """What it remembers, as plain values."""
        return {
            "step": max(self._step, 0),
            "observed": self.observed,
            "forecaster": self.forecaster.state(),
        }

    def restore(self, state: State) -> None:
        """Go on; the step that runs has begun without it. Raises ValueError and stays as it was."""
        forecaster = self._make()
        forecaster.restore(part(state, "forecaster"))
        step, observed = whole(state, "step"), whole(state, "observed")
        self.forecaster = forecaster
        self.observed = observed
        self._step = step
        self._whole = False

    def _begin(self) -> None:
        if self.observed:
            self.forecaster = self._make()
            self.observed = 0
        self._step = _NEVER
