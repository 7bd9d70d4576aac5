"""Peak EWMA: the cheaper of two endpoints by measured latency times queue.

``cost`` follows a latency above it at once and one below it slowly:

    rtt > cost:  cost = rtt
    otherwise:   cost = cost·e^(−Δt/τ) + rtt·(1 − e^(−Δt/τ))

Reading it first observes 0, so that an endpoint nobody uses is forgiven. The load compared is
``cost·(pending + 1) / weight``; an endpoint of unknown cost that already has requests pending
gets a penalty, so that it is tried by one request at first.
Source: Finagle, ``c.t.f.loadbalancer.PeakEwma``; ``default_rtt_s`` is Linkerd's (0.03 there).

An attempt that failed can raise the cost and not lower it: failing fast must not attract traffic.
O(1) per pick (two exponentials), O(n) for a list other than the pool's.
"""

from math import exp
from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy._memory import pruned
from penstock.core.policy._sampler import Sampler
from penstock.core.policy.base import Option, Policy
from penstock.core.request import Request
from penstock.core.ticket import ABANDONED, CLIENT_GONE, Ticket

PENALTY_S: Final = 1e9  # above any latency


class PeakLatency:
    """The peak-sensitive moving average of one endpoint's latency, in seconds."""

    def __init__(self, cost_s: float) -> None:
        self.cost_s: float = cost_s
        self.read_at: float = 0.0

    def observe(self, latency_s: float, now: float, decay_s: float) -> None:
        """Take in a latency seen at ``now``."""
        if latency_s > self.cost_s:
            self.cost_s = latency_s
        else:
            kept = exp(-max(now - self.read_at, 0.0) / decay_s)
            self.cost_s = self.cost_s * kept + latency_s * (1.0 - kept)
        self.read_at = now

    def load(self, endpoint: Endpoint, now: float, decay_s: float) -> float:
        """What a further request costs there."""
        if self.cost_s > 0.0:
            self.observe(0.0, now, decay_s)
        pending = endpoint.load()
        if self.cost_s == 0.0 and pending > 0:
            return PENALTY_S + pending
        return self.cost_s * (pending + 1) / endpoint.weight


class PeakEwma(Policy):
    name: ClassVar[str] = "peak-ewma"
    observes: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("decay_s", 10.0, "τ: seconds in which a measurement fades to 1/e", minimum=0.001),
        Option("default_rtt_s", 0.0, "cost of an endpoint not measured yet", minimum=0.0),
        Option(
            "measure",
            "first-byte",
            "what is measured: until the first byte of the response, or until its end",
            choices=("first-byte", "total"),
        ),
    )

    def __init__(
        self, decay_s: float = 10.0, default_rtt_s: float = 0.0, measure: str = "first-byte"
    ) -> None:
        self._decay_s: float = decay_s
        self._default_rtt_s: float = default_rtt_s
        self._until_first_byte: bool = measure == "first-byte"
        self._endpoints: list[Endpoint] = []
        self._sampler: Sampler = Sampler([])
        self._known: dict[Endpoint, PeakLatency] = {}
        self._latencies: list[PeakLatency] = []  # beside ``_endpoints``

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._sampler = Sampler(endpoints)
        self._known = pruned(self._known, endpoints)
        self._latencies = [self._latency(endpoint) for endpoint in endpoints]

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if eligible is not self._endpoints:
            return self._cheapest(eligible, env)
        first = self._sampler.one(env)
        second = self._sampler.another(first, env)
        if self._load(second, env) < self._load(first, env):
            return eligible[second]
        return eligible[first]

    def on_first_byte(self, ticket: Ticket) -> None:
        if self._until_first_byte and ticket.status < 500:
            latency = self._latency(ticket.endpoint)
            elapsed_s = ticket.first_byte_at - ticket.opened_at
            latency.observe(elapsed_s, ticket.first_byte_at, self._decay_s)

    def on_end(self, ticket: Ticket) -> None:
        if ticket.outcome == ABANDONED:
            return
        elapsed_s = ticket.settled_at - ticket.opened_at
        latency = self._latency(ticket.endpoint)
        if ticket.failed or ticket.outcome == CLIENT_GONE:
            measured = self._until_first_byte and ticket.first_byte_at > 0.0
            if not measured and elapsed_s > latency.cost_s:
                latency.observe(elapsed_s, ticket.settled_at, self._decay_s)
        elif not self._until_first_byte:
            latency.observe(elapsed_s, ticket.settled_at, self._decay_s)

    def _load(self, index: int, env: Env) -> float:
        return self._latencies[index].load(self._endpoints[index], env.now, self._decay_s)

    def _cheapest(self, eligible: list[Endpoint], env: Env) -> Endpoint:
        best = eligible[0]
        least = float("inf")
        for endpoint in eligible:
            load = self._latency(endpoint).load(endpoint, env.now, self._decay_s)
            if load < least:
                least = load
                best = endpoint
        return best

    def _latency(self, endpoint: Endpoint) -> PeakLatency:
        found = self._known.get(endpoint)
        if found is None:
            found = PeakLatency(self._default_rtt_s)
            self._known[endpoint] = found
        return found
