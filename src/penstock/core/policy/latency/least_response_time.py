"""Least response time: the least product of mean latency and requests in flight, by weight.

    cost = mean latency · (load + 1) / weight

The mean forgets by time (τ = ``decay_s``), and is of first bytes or of whole responses. An endpoint
without a mean has cost 0 while it is idle, and afterwards the pool's mean, on which the mean of one
that is not used leans as well; one that is silent for too long counts as slow as it is silent
(``support.belief``). An attempt that failed counts as no faster than the mean.
Source: nginx ``least_time`` (header or last byte), F5 "fastest"; their exact weighing is not
published.

All endpoints up to 16 are compared, beyond that the better of two drawn by weight: O(1).
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.belief import EndpointMean, PoolMean, late_s
from penstock.core.policy.support.latency import DECAY, MEASURE, SCAN_LIMIT, CostPolicy, Learned
from penstock.core.ticket import Ticket


class MeanLatency(Learned):
    """The mean latency of one endpoint, beside that of its pool."""

    def __init__(self, pool: PoolMean) -> None:
        self.mean_s: EndpointMean = EndpointMean(pool)
        self._pool: PoolMean = pool

    def cost(self, endpoint: Endpoint, env: Env) -> float:
        load = endpoint.load()
        mean_s = 0.0
        if self.mean_s.known:
            mean_s = self.mean_s.value(env.now)
        elif load > 0:
            mean_s = self._pool.value
        mean_s = late_s(endpoint, mean_s, self._pool.value, env.now)
        return mean_s * (load + 1) / endpoint.weight


class LeastResponseTime(CostPolicy):
    name: ClassVar[str] = "least-response-time"
    options: ClassVar[tuple[Option, ...]] = (DECAY, MEASURE)

    def __init__(self, decay_s: float = 10.0, measure: str = "first-byte") -> None:
        super().__init__(measure, SCAN_LIMIT, decay_s)

    def new_learned(self) -> MeanLatency:
        return MeanLatency(self._pool)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        self.latency(ticket.endpoint).mean_s.add(latency_s, now)

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        mean_s = self.latency(ticket.endpoint).mean_s
        mean_s.add(max(waited_s, mean_s.value(now), self._pool.value), now)

    def latency(self, endpoint: Endpoint) -> MeanLatency:
        """What was measured of the endpoint."""
        found = self.learned(endpoint)
        assert isinstance(found, MeanLatency)
        return found

    def beliefs(self) -> dict[str, dict[str, float]]:
        return {e.name: {"latency_s": self.latency(e).mean_s.learned} for e in self._endpoints}
