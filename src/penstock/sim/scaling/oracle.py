"""A clairvoyant: knows the rates to come, and has just enough endpoints at every time.

An endpoint that will be needed again within a start time stays, for it could not be back. So it is
the fewest endpoint-hours with which nothing breaks. ``target`` is how many times the true need it
provides for: less than 1 breaks what it could have kept.
"""

from collections.abc import Callable
from typing import ClassVar

from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen
from penstock.sim.scaling.staffing import staffing_of


class Oracle(ScalingRule):
    name: ClassVar[str] = "oracle"
    every_s: ClassVar[float] = 10.0

    def __init__(
        self, fleet: Fleet, target: float, rate_at: Callable[[float], float], start_s: float
    ) -> None:
        super().__init__(fleet, target)
        self._rate_at = rate_at
        self._start_s = start_s  # of the slowest start
        self._needs: list[tuple[float, int]] = []  # of times to come, falling
        self._until = -1.0

    def desired(self, seen: Seen) -> int:
        staffing = staffing_of(self.fleet.concurrency, self.fleet.late_share)
        horizon = seen.now + self._start_s + self.every_s
        if self._until < 0.0:
            self._until = seen.now
        while self._until <= horizon:
            offered = self._rate_at(self._until) * self.fleet.service_s * self.target
            needed = staffing.needed(offered)
            while self._needs and self._needs[-1][1] <= needed:
                self._needs.pop()
            self._needs.append((self._until, needed))
            self._until += self.every_s
        while self._needs[0][0] < seen.now:
            del self._needs[0]
        return self.bounded(self._needs[0][1])
