"""Kubernetes' HorizontalPodAutoscaler on utilisation, with its defaults.

    desired = ⌈present · utilisation / target⌉        unless within 10% of the target

Every 15 s; pods that are not ready count as idle before a rise; at most four pods or twice as many
in 15 s; downwards the largest that was recommended within 300 s. Source: Kubernetes' documentation
of the algorithm, and the defaults of ``behavior`` in autoscaling/v2.
"""

from math import ceil
from typing import ClassVar, Final

from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen

_TOLERANCE: Final = 0.1
_STABILISED_S: Final = 300.0
_PODS: Final = 4


class HorizontalPodAutoscaler(ScalingRule):
    name: ClassVar[str] = "hpa"

    def __init__(self, fleet: Fleet, target: float) -> None:
        super().__init__(fleet, target)
        self._recommended: list[tuple[float, int]] = []

    def desired(self, seen: Seen) -> int:
        wanted = self._recommendation(seen)
        self._recommended = [
            each for each in self._recommended if each[0] > seen.now - _STABILISED_S
        ]
        self._recommended.append((seen.now, wanted))
        highest = max(number for _, number in self._recommended)
        if wanted > seen.present:
            most = max(seen.present + _PODS, 2 * seen.present)
            return self.bounded(min(wanted, most))
        return self.bounded(min(seen.present, highest))

    def _recommendation(self, seen: Seen) -> int:
        ratio = seen.utilisation(self.fleet) / self.target
        if abs(ratio - 1.0) <= _TOLERANCE:
            return seen.present
        if ratio > 1.0 and seen.starting:
            ratio *= seen.serving / seen.present
            if ratio <= 1.0 + _TOLERANCE:
                return seen.present
            return ceil(ratio * seen.present)
        return ceil(ratio * seen.serving)
