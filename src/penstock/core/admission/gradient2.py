"""Gradient2: compares latency with its own long-term mean.

    g     = clamp(1.5 · long / latency, 0.5, 1)        long: mean over 600 samples
    limit = 0.8·limit + 0.2·(g·limit + 4)

Nothing changes while less than half the limit is used. When the long mean is more than twice the
latency, an overload has passed and the mean is brought down by a twentieth. A drop counts as
g = 0.5.
Source: Netflix concurrency-limits, Gradient2Limit. O(1).
"""

from typing import ClassVar, Final

from penstock.core.admission.limit import ConcurrencyLimit, bounds
from penstock.core.policy.base import Option

_WARM_UP: Final = 10  # samples averaged plainly
_SMOOTHING: Final = 0.2


class Gradient2(ConcurrencyLimit):
    name: ClassVar[str] = "gradient2"
    options: ClassVar[tuple[Option, ...]] = (
        *bounds(20.0, 20.0, 200.0),
        Option("tolerance", 1.5, "latency over the mean that is not answered yet", minimum=1.0),
        Option("queue", 4.0, "requests added for a queue that bursts may fill", minimum=0.0),
        Option("window", 600, "samples in the long mean", minimum=10),
    )

    def __init__(
        self,
        initial: float = 20.0,
        minimum: float = 20.0,
        maximum: float = 200.0,
        tolerance: float = 1.5,
        queue: float = 4.0,
        window: int = 600,
    ) -> None:
        super().__init__(initial, minimum, maximum)
        self._tolerance: float = tolerance
        self._queue: float = queue
        self._factor: float = 2.0 / (window + 1)
        self._samples: int = 0
        self.long_s: float = 0.0  # the long mean

    def state(self) -> list[float]:
        return [self.limit, self.long_s, float(self._samples)]

    def take_state(self, state: list[float]) -> None:
        self.limit = state[0]
        self.long_s = state[1]
        self._samples = int(state[2])

    def update(self, latency_s: float, in_flight: int, dropped: bool, now: float) -> float:
        if latency_s <= 0.0:
            return self.limit
        self._samples += 1
        if self._samples <= _WARM_UP:
            self.long_s += (latency_s - self.long_s) / self._samples
        else:
            self.long_s += (latency_s - self.long_s) * self._factor
        if self.long_s > 2.0 * latency_s:
            self.long_s *= 0.95
        if in_flight * 2 < self.limit:
            return self.limit
        gradient = 0.5
        if not dropped:
            gradient = min(max(self._tolerance * self.long_s / latency_s, 0.5), 1.0)
        wanted = gradient * self.limit + self._queue
        return self.limit * (1.0 - _SMOOTHING) + wanted * _SMOOTHING
