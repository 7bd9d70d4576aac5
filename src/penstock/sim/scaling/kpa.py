"""Knative's pod autoscaler on concurrency, with its defaults.

    desired = ⌈mean concurrency over 60 s / (concurrency of a pod · target)⌉

In a panic, when the mean over 6 s asks for twice as many as are ready, that number holds and none
is removed until 60 s after it last did. Downwards at most by half at a time. Source: Knative's
documentation of ``autoscaling.knative.dev``.
"""

from math import ceil
from typing import ClassVar, Final

from penstock.sim.scaling.rule import Fleet, ScalingRule, Seen

_STABLE_S: Final = 60.0
_PANIC: Final = 2.0
_MOST_UP: Final = 1000.0
_MOST_DOWN: Final = 2.0


class KnativePodAutoscaler(ScalingRule):
    name: ClassVar[str] = "kpa"
    every_s: ClassVar[float] = 10.0

    def __init__(self, fleet: Fleet, target: float) -> None:
        super().__init__(fleet, target)
        self._seen: list[tuple[float, float]] = []
        self._panic_until: float = -1.0
        self._most_in_panic: int = 0

    def desired(self, seen: Seen) -> int:
        self._seen = [each for each in self._seen if each[0] > seen.now - _STABLE_S]
        self._seen.append((seen.now, seen.concurrency))
        per_pod = self.fleet.concurrency * self.target
        ready = max(seen.serving, 1)
        mean = sum(value for _, value in self._seen) / len(self._seen)
        stable = self._bounded_step(ceil(mean / per_pod), ready)
        panicking = self._bounded_step(ceil(seen.concurrency / per_pod), ready)
        if panicking >= _PANIC * ready:
            self._panic_until = seen.now + _STABLE_S
        if seen.now < self._panic_until:
            self._most_in_panic = max(self._most_in_panic, panicking, seen.present)
            return self.bounded(self._most_in_panic)
        self._most_in_panic = 0
        return self.bounded(stable)

    def _bounded_step(self, wanted: int, ready: int) -> int:
        return min(max(wanted, int(ready / _MOST_DOWN)), ceil(ready * _MOST_UP))
