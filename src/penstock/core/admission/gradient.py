"""Gradient: compares latency with what it is without load, which is measured now and then.

Every ``sample_s`` with samples enough:

    gradient = clamp(least · (1 + buffer) / sampled, 0.5, 2)
    limit    = gradient · limit + √(gradient · limit)

``least`` and ``sampled`` are the ``quantile`` of latencies. To measure ``least``, the limit is held
at the minimum for ``least_samples`` requests, once at first and then every ``least_every_s``.
The limit does not grow on a sample in which less than half of it was used.
Source: Envoy, adaptive concurrency, gradient controller: 100 ms, 50 requests, 60 s, buffer 25%,
minimum 3. O(1), a sort every ``sample_s``.
"""

from math import sqrt
from typing import ClassVar, Final

from penstock.core.admission.limit import ConcurrencyLimit, bounds
from penstock.core.policy.base import Option

_FEWEST_SAMPLES: Final = 5  # a window with fewer goes on


class Gradient(ConcurrencyLimit):
    name: ClassVar[str] = "gradient"
    options: ClassVar[tuple[Option, ...]] = (
        *bounds(20.0, 3.0, 1000.0),
        Option("sample_s", 0.1, "seconds that a sample of latencies is taken for", minimum=0.001),
        Option("quantile", 0.5, "of the latencies", minimum=0.0, maximum=1.0),
        Option("buffer", 0.25, "latency over the least that is not answered yet", minimum=0.0),
        Option("least_every_s", 60.0, "between measurements of the least", minimum=1.0),
        Option("least_samples", 50, "requests that such a measurement takes", minimum=1),
    )

    def __init__(
        self,
        initial: float = 20.0,
        minimum: float = 3.0,
        maximum: float = 1000.0,
        sample_s: float = 0.1,
        quantile: float = 0.5,
        buffer: float = 0.25,
        least_every_s: float = 60.0,
        least_samples: int = 50,
    ) -> None:
        super().__init__(minimum, minimum, maximum)
        self._usual: float = initial  # the limit to go on with after a measurement
        self._sample_s: float = sample_s
        self._quantile: float = quantile
        self._buffer: float = buffer
        self._least_every_s: float = least_every_s
        self._least_samples: int = least_samples
        self.least_s: float = 0.0
        self.measuring: bool = True  # the least; the limit is held at its minimum
        self._latencies: list[float] = []
        self._most_in_flight: int = 0  # in this sample
        self._since: float = -1.0  # of the sample, or of the last measurement's end
        self._measured_at: float = 0.0

    def state(self) -> list[float]:
        measuring = 1.0 if self.measuring else 0.0
        return [self.limit, self._usual, self.least_s, self._measured_at, measuring]

    def take_state(self, state: list[float]) -> None:
        measuring = state[4] != 0.0
        if measuring != self.measuring:  # what was sampled so far is of another load
            self.measuring = measuring
            self._latencies = []
            self._most_in_flight = 0
            self._since = -1.0
        self.limit, self._usual = state[0], state[1]
        self.least_s, self._measured_at = state[2], state[3]

    def update(self, latency_s: float, in_flight: int, dropped: bool, now: float) -> float:
        if self._since < 0.0:
            self._since = now
        if self.measuring:
            if in_flight <= self._minimum and not dropped:  # others began before the limit was low
                self._latencies.append(latency_s)
            return self._measured(now)
        self._latencies.append(latency_s)
        self._most_in_flight = max(self._most_in_flight, in_flight)
        if now - self._measured_at >= self._least_every_s:
            self.measuring = True
            self._usual = self.limit
            self._begin_sample(now)
            return self._minimum
        if now - self._since < self._sample_s or len(self._latencies) < _FEWEST_SAMPLES:
            return self.limit
        used = self._most_in_flight * 2 >= self.limit
        sampled_s = quantile_of(self._latencies, self._quantile)
        self._begin_sample(now)
        if sampled_s <= 0.0:
            return self.limit
        gradient = min(max(self.least_s * (1.0 + self._buffer) / sampled_s, 0.5), 2.0)
        limit = gradient * self.limit
        limit += sqrt(limit)
        return limit if used else min(limit, self.limit)

    def _measured(self, now: float) -> float:
        """Go on measuring, or with the usual limit if that is done."""
        if len(self._latencies) < self._least_samples:
            return self._minimum
        self.least_s = quantile_of(self._latencies, self._quantile)
        self.measuring = False
        self._measured_at = now
        self._begin_sample(now)
        return self._usual

    def _begin_sample(self, now: float) -> None:
        self._latencies = []
        self._most_in_flight = 0
        self._since = now


def quantile_of(values: list[float], q: float) -> float:
    """The q-quantile: of n sorted values the one at ⌊q·n⌋. There must be one."""
    values.sort()
    return values[min(int(q * len(values)), len(values) - 1)]
