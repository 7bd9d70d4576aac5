"""AWS target tracking on utilisation, with the alarms that it makes.

Out: three minutes in a row above the target, to ⌈present · utilisation / target⌉. In: fifteen
minutes in a row below nine tenths of it. While instances warm up they count into the number, not
into the metric. Source: AWS's documentation of target tracking policies; the number of minutes is
what its alarms show.
"""

from math import ceil
from typing import ClassVar, Final

from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen

_OUT: Final = 3
_IN: Final = 15
_LOW: Final = 0.9


class TargetTracking(ScalingRule):
    name: ClassVar[str] = "target-tracking"
    every_s: ClassVar[float] = 60.0

    def __init__(self, fleet: Fleet, target: float) -> None:
        super().__init__(fleet, target)
        self._minutes: list[float] = []

    def desired(self, seen: Seen) -> int:
        self._minutes.append(seen.utilisation(self.fleet))
        del self._minutes[:-_IN]
        present = seen.present
        out = self._minutes[-_OUT:]
        if len(out) == _OUT and min(out) > self.target:
            wanted = ceil(seen.serving * self._minutes[-1] / self.target)
            return self.bounded(max(wanted, present))
        if len(self._minutes) == _IN and max(self._minutes) < _LOW * self.target:
            wanted = ceil(seen.serving * max(self._minutes) / self.target)
            self._minutes.clear()
            return self.bounded(min(wanted, present))
        return self.bounded(present)
