"""AWS predictive scaling beside target tracking, as AWS says to use it.

From the second day on it forecasts every hour's load; capacity for it is there 300 s before the
hour begins, and is never lowered by a forecast. AWS does not say how it forecasts: here it is the
highest load of the same hour a week ago, or a day ago while there is no week. Source: AWS's
documentation of predictive scaling policies.
"""

from collections.abc import Sequence
from math import ceil
from typing import ClassVar, Final

from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen
from penstock.sim.scaling.target_tracking import TargetTracking

_HOUR_S: Final = 3600.0
_AHEAD_S: Final = 300.0
_DAY: Final = 24
_WEEK: Final = 7 * _DAY
_SMOOTHED: Final = 5  # looks, a minute each


class Predictive(ScalingRule):
    name: ClassVar[str] = "predictive"
    every_s: ClassVar[float] = 60.0

    def __init__(self, fleet: Fleet, target: float) -> None:
        super().__init__(fleet, target)
        self._tracking = TargetTracking(fleet, target)
        self._hours: dict[int, float] = {}
        self._rates: list[float] = []

    def learn(self, rates: Sequence[float], until_s: float) -> None:
        first = until_s - 60.0 * len(rates)
        for index, rate in enumerate(rates):
            hour = int((first + 60.0 * index) // _HOUR_S)
            self._hours[hour] = max(self._hours.get(hour, 0.0), rate)

    def desired(self, seen: Seen) -> int:
        self._rates.append(seen.rate)
        del self._rates[:-_SMOOTHED]
        hour = int(seen.now // _HOUR_S)
        mean = sum(self._rates) / len(self._rates)
        self._hours[hour] = max(self._hours.get(hour, 0.0), mean)
        coming = int((seen.now + _AHEAD_S) // _HOUR_S)
        floor = max(self._forecast(hour), self._forecast(coming))
        return self.bounded(max(self._tracking.desired(seen), floor))

    def _forecast(self, hour: int) -> int:
        rate = self._hours.get(hour - _WEEK, self._hours.get(hour - _DAY, 0.0))
        return ceil(rate * self.fleet.service_s / (self.fleet.concurrency * self.target))
