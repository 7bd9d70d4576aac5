"""C3: ranks endpoints by expected latency, with a penalty that grows as the cube of the queue.

    q̂ = 1 + os·n + q̄          requests outstanding from here, n balancers like this one, queue told
    Ψ = R̄ − 1/μ̄ + q̂³/μ̄       least is best; R̄ mean response time, 1/μ̄ mean service time

Source: L. Suresh et al., "C3: cutting tail latency in cloud data stores via adaptive replica
selection", NSDI 2015. Its rate control is left to admission. Means forget by time; those of an
endpoint that is not used lean on the pool's, and one that is silent for too long counts as slow as
it is silent (``support.belief``).

Queue and service time come from load reports; without them q̄ is 0 and the service time is
estimated as response time over the load the request met. Ψ is divided by weight. All endpoints up
to 16 are ranked, as in the paper's replica groups; beyond that two drawn by weight: O(1).
"""

from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Option
from penstock.core.policy.support.belief import EndpointMean, PoolMean, late_s
from penstock.core.policy.support.latency import DECAY, MEASURE, SCAN_LIMIT, CostPolicy, Learned
from penstock.core.policy.support.mean import FadingMean
from penstock.core.ticket import Ticket

_PENALTY: Final = 1e9  # of an endpoint of unknown speed that has requests already


class RankedPool:
    """The means of all endpoints together."""

    def __init__(self, decay_s: float) -> None:
        self.response_s: PoolMean = PoolMean(decay_s)
        self.service_s: PoolMean = PoolMean(decay_s)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        """These are eligible."""
        self.response_s.samples.members = max(len(endpoints), 1)
        self.service_s.samples.members = max(len(endpoints), 1)


class Ranking(Learned):
    """The three means that C3 keeps of an endpoint."""

    def __init__(self, balancers: int, pool: RankedPool) -> None:
        self._balancers: int = balancers
        self._pool: RankedPool = pool
        self.response_s: EndpointMean = EndpointMean(pool.response_s)
        self.service_s: EndpointMean = EndpointMean(pool.service_s)
        self.queue: FadingMean = FadingMean()
        self.reported: bool = False  # service times are told, not estimated

    def cost(self, endpoint: Endpoint, env: Env) -> float:
        outstanding = endpoint.load()
        if not self.service_s.known:
            return 0.0 if outstanding == 0 else _PENALTY + outstanding
        now = env.now
        service_s = self.service_s.value(now)
        response_s = self.response_s.value(now) if self.response_s.known else service_s
        response_s = late_s(endpoint, response_s, self._pool.response_s.value, now)
        queue = 1.0 + outstanding * self._balancers + self.queue.value
        psi = response_s - service_s + queue * queue * queue * service_s
        return psi / endpoint.weight

    def forget_service(self) -> None:
        """What was learned of the service time was only estimated."""
        self.service_s = EndpointMean(self._pool.service_s)


class C3(CostPolicy):
    name: ClassVar[str] = "c3"
    options: ClassVar[tuple[Option, ...]] = (
        DECAY,
        Option("balancers", 1, "n: balancers that do not see each other's requests", minimum=1),
        MEASURE,
    )

    def __init__(
        self, decay_s: float = 10.0, balancers: int = 1, measure: str = "first-byte"
    ) -> None:
        super().__init__(measure, SCAN_LIMIT, decay_s)
        self._decay_s: float = decay_s
        self._balancers: int = balancers
        self._ranked: RankedPool = RankedPool(decay_s)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._ranked.rebuild(endpoints)
        super().rebuild(endpoints)

    def new_learned(self) -> Ranking:
        return Ranking(self._balancers, self._ranked)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        ranking = self.ranking(ticket.endpoint)
        ranking.response_s.add(latency_s, now)
        if not ranking.reported:
            ranking.service_s.add(latency_s / max(ticket.load, 1), now)

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        ranking = self.ranking(ticket.endpoint)
        ranking.response_s.add(max(waited_s, ranking.response_s.value(now)), now)

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        ranking = self.ranking(endpoint)
        if report.queued >= 0.0:
            ranking.queue.add(report.queued, report.at, self._decay_s)
        if report.service_s >= 0.0:
            if not ranking.reported:
                ranking.forget_service()
                ranking.reported = True
            ranking.service_s.add(report.service_s, report.at)

    def ranking(self, endpoint: Endpoint) -> Ranking:
        """What was measured of the endpoint."""
        found = self.learned(endpoint)
        assert isinstance(found, Ranking)
        return found

    def beliefs(self) -> dict[str, dict[str, float]]:
        told = {}
        for endpoint in self._endpoints:
            ranking = self.ranking(endpoint)
            told[endpoint.name] = {
                "response_s": ranking.response_s.learned,
                "service_s": ranking.service_s.learned,
                "queue": ranking.queue.value,
            }
        return told
