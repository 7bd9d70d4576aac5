"""Dynamo's planner: a floor from a forecast every 180 s, and a load loop every 5 s above it.

The floor is for the load that is predicted for the next 180 s: the last value, or an ARIMA, here
(1, 1, 0) on log(1 + load) fitted to the last 50 intervals. The loop adds one endpoint when those
that serve are busier than the target, and takes one away when the survivors would be under 80% of
it (``load_scaling_down_sensitivity``). Source: Dynamo's planner and its defaults.
"""

from itertools import pairwise
from math import ceil, expm1, log1p
from typing import ClassVar, Final

from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen

_FLOOR_S: Final = 180.0
_KEPT: Final = 50
_DOWN: Final = 0.8


class DynamoLastValue(ScalingRule):
    name: ClassVar[str] = "dynamo-last-value"
    every_s: ClassVar[float] = 10.0

    def __init__(self, fleet: Fleet, target: float) -> None:
        super().__init__(fleet, target)
        self._rates: list[float] = []
        self._sum = 0.0
        self._looks = 0
        self._floor = 0
        self._floor_at = 0.0

    def desired(self, seen: Seen) -> int:
        self._sum += seen.rate
        self._looks += 1
        if seen.now - self._floor_at >= _FLOOR_S:
            self._rates.append(self._sum / self._looks)
            del self._rates[:-_KEPT]
            self._sum, self._looks, self._floor_at = 0.0, 0, seen.now
            offered = self.predicted(self._rates) * self.fleet.service_s
            self._floor = ceil(offered / (self.fleet.concurrency * self.target))
        return self.bounded(max(self._by_load(seen), self._floor))

    def predicted(self, rates: list[float]) -> float:
        """The rate of the next interval."""
        return rates[-1]

    def _by_load(self, seen: Seen) -> int:
        present = seen.present
        busy = seen.utilisation(self.fleet)
        if seen.starting:
            return present
        if busy > self.target:
            return present + 1
        if present > 1 and busy * present / (present - 1) < _DOWN * self.target:
            return present - 1
        return present


class DynamoArima(DynamoLastValue):
    name: ClassVar[str] = "dynamo-arima"

    def predicted(self, rates: list[float]) -> float:
        logs = [log1p(rate) for rate in rates]
        steps = [after - before for before, after in pairwise(logs)]
        if len(steps) < 3:
            return rates[-1]
        square = sum(step * step for step in steps[:-1])
        product = sum(a * b for a, b in pairwise(steps))
        slope = min(max(product / square, -1.0), 1.0) if square > 0.0 else 0.0
        return max(expm1(logs[-1] + slope * steps[-1]), 0.0)
