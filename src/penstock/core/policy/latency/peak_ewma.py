"""Peak EWMA: the cheaper of two endpoints by measured latency times queue.

``cost`` follows a latency above it at once and one below it slowly:

    rtt > cost:  cost = rtt
    otherwise:   cost = cost·e^(−Δt/τ) + rtt·(1 − e^(−Δt/τ))

Reading it first observes 0, so that an endpoint nobody uses is forgiven. The load compared is
``cost·(pending + 1) / weight``; an endpoint of unknown cost that already has requests pending
gets a penalty, so that it is tried by one request at first.
Source: Finagle, ``c.t.f.loadbalancer.PeakEwma``; ``default_rtt_s`` is Linkerd's (0.03 there).

One measurement raises it to no more than four times what it or the pool's mean was before, and an
endpoint that is silent for too long counts as slow as it is silent (``support.belief``).
An attempt that failed can raise the cost and not lower it: failing fast must not attract traffic.
O(1) per pick (two exponentials), O(n) for a list other than the pool's.
"""

from math import exp
from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Explained, Option
from penstock.core.policy.support.belief import PoolMean, Reference, late_s
from penstock.core.policy.support.latency import DECAY, MEASURE, CostPolicy, Learned
from penstock.core.request import Request
from penstock.core.ticket import Ticket

PENALTY_S: Final = 1e9  # above any latency


class PeakLatency(Learned):
    """The peak-sensitive moving average of one endpoint's latency, in seconds."""

    def __init__(self, cost_s: float, decay_s: float, pool: PoolMean) -> None:
        self.cost_s: float = cost_s
        self._decay_s: float = decay_s
        self._at: float = 0.0
        self._pool: PoolMean = pool
        self._reference: Reference = Reference()

    def learn(self, latency_s: float, now: float) -> None:
        """A request that ended at ``now`` took so long."""
        before_s = self._reference.value(self.cost_s, now)
        latency_s = self._pool.bounded(latency_s, before_s, now)
        self._pool.add(latency_s, now)
        self.observe(latency_s, now)

    def observe(self, latency_s: float, now: float) -> None:
        """Take in a latency seen at ``now``."""
        if latency_s > self.cost_s:
            self.cost_s = latency_s
        else:
            kept = exp(-max(now - self._at, 0.0) / self._decay_s)
            self.cost_s = self.cost_s * kept + latency_s * (1.0 - kept)
        self._at = now

    def cost(self, endpoint: Endpoint, env: Env) -> float:
        if self.cost_s > 0.0:
            self.observe(0.0, env.now)
        return _weighed(self._late_s(self.cost_s, endpoint, env.now), endpoint)

    def terms(self, endpoint: Endpoint, env: Env) -> dict[str, float]:
        """What ``cost`` would be and is made of; nothing is observed."""
        latency_s = self.cost_s * exp(-max(env.now - self._at, 0.0) / self._decay_s)
        latency_s = self._late_s(latency_s, endpoint, env.now)
        return {
            "latency_s": latency_s,
            "load": float(endpoint.load()),
            "weight": endpoint.weight,
            "cost": _weighed(latency_s, endpoint),
        }

    def _late_s(self, latency_s: float, endpoint: Endpoint, now: float) -> float:
        return late_s(endpoint, latency_s, self._pool.value, now)


def _weighed(latency_s: float, endpoint: Endpoint) -> float:
    pending = endpoint.load()
    if latency_s == 0.0 and pending > 0:
        return PENALTY_S + pending
    if endpoint.weight <= 0.0:
        return float("inf")
    return latency_s * (pending + 1) / endpoint.weight


class PeakEwma(CostPolicy):
    name: ClassVar[str] = "peak-ewma"
    options: ClassVar[tuple[Option, ...]] = (
        DECAY,
        Option("default_rtt_s", 0.0, "cost of an endpoint not measured yet", minimum=0.0),
        MEASURE,
    )

    def __init__(
        self, decay_s: float = 10.0, default_rtt_s: float = 0.0, measure: str = "first-byte"
    ) -> None:
        super().__init__(measure, 1, decay_s)
        self._decay_s: float = decay_s
        self._default_rtt_s: float = default_rtt_s

    def explain(self, request: Request, eligible: list[Endpoint], env: Env) -> list[Explained]:
        explained: list[Explained] = []
        for endpoint in eligible:
            found = self._known.get(endpoint)
            if not isinstance(found, PeakLatency):
                found = self.new_learned()
            explained.append((endpoint, found.terms(endpoint, env)))
        return explained

    def new_learned(self) -> PeakLatency:
        return PeakLatency(self._default_rtt_s, self._decay_s, self._pool)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        self.latency(ticket.endpoint).learn(latency_s, now)

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        latency = self.latency(ticket.endpoint)
        if waited_s > latency.cost_s:
            latency.learn(waited_s, now)

    def latency(self, endpoint: Endpoint) -> PeakLatency:
        """What was measured of the endpoint."""
        found = self.learned(endpoint)
        assert isinstance(found, PeakLatency)
        return found

    def beliefs(self) -> dict[str, dict[str, float]]:
        return {e.name: {"latency_s": self.latency(e).cost_s} for e in self._endpoints}
