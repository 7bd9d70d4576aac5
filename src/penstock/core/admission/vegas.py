"""Vegas: estimates the queue from latency above the least seen, and keeps it between two bounds.

Once per round of ``limit`` samples (a round trip in TCP), with their mean latency:

    queue = ⌈limit · (1 − least / latency)⌉     step = max(1, ⌊log10 limit⌋)
    dropped, or queue > β = 6·step:  limit − step
    queue ≤ step:                    limit + β
    queue < α = 3·step:              limit + step

Nothing grows while less than half the limit is used. The least latency is sought anew every 30
rounds or so, as a change of the system would otherwise never be noticed; where the load never lets
up, that takes a loaded latency for the least, and the limit drifts upwards.
Sources: L. Brakmo, L. Peterson, "TCP Vegas", IEEE JSAC 1995; Netflix concurrency-limits,
VegasLimit. O(1).
"""

from math import ceil, log10
from typing import ClassVar, Final

from penstock.core.admission.limit import ConcurrencyLimit, bounds
from penstock.core.policy.base import Option
from penstock.core.policy.support.hashing import rehash

_ROUNDS_TO_PROBE: Final = 30.0  # at most; at least half of it


class Vegas(ConcurrencyLimit):
    name: ClassVar[str] = "vegas"
    options: ClassVar[tuple[Option, ...]] = bounds(20.0, 1.0, 1000.0)

    def __init__(
        self, initial: float = 20.0, minimum: float = 1.0, maximum: float = 1000.0
    ) -> None:
        super().__init__(initial, minimum, maximum)
        self.least_s: float = 0.0  # latency without load; 0: not known
        self._rounds: int = 0  # since the least was sought
        self._probes: int = 0
        self._probe_after: float = 0.75 * _ROUNDS_TO_PROBE
        self._samples: int = 0  # in this round, and what they say
        self._sum_s: float = 0.0
        self._min_s: float = 0.0
        self._dropped: bool = False
        self._most_in_flight: int = 0

    def state(self) -> list[float]:
        return [self.limit, self.least_s, float(self._rounds), float(self._probes)]

    def take_state(self, state: list[float]) -> None:
        self.limit = state[0]
        self.least_s = state[1]
        self._rounds = int(state[2])
        if int(state[3]) != self._probes:
            self._probes = int(state[3])
            self._probe_after = _probe_after(self._probes)

    def update(self, latency_s: float, in_flight: int, dropped: bool, now: float) -> float:
        if latency_s <= 0.0:
            return self.limit
        self._samples += 1
        self._sum_s += latency_s
        if self._samples == 1 or latency_s < self._min_s:
            self._min_s = latency_s
        self._dropped = self._dropped or dropped
        self._most_in_flight = max(self._most_in_flight, in_flight)
        if self._samples < int(self.limit):
            return self.limit
        limit = self._after_round(self._sum_s / self._samples)
        self._samples = 0
        self._sum_s = 0.0
        self._dropped = False
        self._most_in_flight = 0
        return limit

    def _after_round(self, mean_s: float) -> float:
        self._rounds += 1
        if self._rounds >= self._probe_after:
            self._probe()
        elif self.least_s == 0.0 or self._min_s < self.least_s:
            self.least_s = self._min_s
        limit = self.limit
        step = max(1.0, float(int(log10(limit))))
        if self._dropped:
            return limit - step
        if self._most_in_flight * 2 < limit:
            return limit
        queue = ceil(limit * (1.0 - self.least_s / mean_s))
        if queue <= step:
            return limit + 6.0 * step
        if queue < 3.0 * step:
            return limit + step
        if queue > 6.0 * step:
            return limit - step
        return limit

    def _probe(self) -> None:
        """Take this round's latency for the least; the next time after half as many to as many
        rounds, which differ so that balancers do not probe together."""
        self.least_s = self._min_s
        self._rounds = 0
        self._probes += 1
        self._probe_after = _probe_after(self._probes)


def _probe_after(probes: int) -> float:
    """Rounds until the next."""
    return _ROUNDS_TO_PROBE * (0.5 + (rehash(probes, 1) >> 11) * 2.0**-54)
