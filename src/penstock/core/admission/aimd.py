"""AIMD: one more after a good sample, a tenth less after a bad one.

    dropped, or slower than timeout_s:  limit = limit · 0.9
    otherwise, if half of it was used:  limit = limit + 1

Source: D. Chiu, R. Jain, "Analysis of the increase and decrease algorithms for congestion
avoidance", 1989; the constants are Netflix concurrency-limits', AIMDLimit. O(1).
"""

from typing import ClassVar

from penstock.core.admission.limit import ConcurrencyLimit, bounds
from penstock.core.policy.base import Option


class Aimd(ConcurrencyLimit):
    name: ClassVar[str] = "aimd"
    options: ClassVar[tuple[Option, ...]] = (
        *bounds(20.0, 20.0, 200.0),
        Option("timeout_s", 5.0, "a latency above this counts as a drop", minimum=0.001),
        Option("backoff", 0.9, "factor after a drop", minimum=0.5, maximum=0.999),
    )

    def __init__(
        self,
        initial: float = 20.0,
        minimum: float = 20.0,
        maximum: float = 200.0,
        timeout_s: float = 5.0,
        backoff: float = 0.9,
    ) -> None:
        super().__init__(initial, minimum, maximum)
        self._timeout_s: float = timeout_s
        self._backoff: float = backoff

    def update(self, latency_s: float, in_flight: int, dropped: bool, now: float) -> float:
        if dropped or latency_s > self._timeout_s:
            return self.limit * self._backoff
        return self.limit + 1.0 if in_flight * 2 >= self.limit else self.limit
