"""C3: ranks endpoints by expected latency, with a penalty that grows as the cube of the queue.

    q̂ = 1 + os·n + q̄          requests outstanding from here, n balancers like this one, queue told
    Ψ = R̄ − 1/μ̄ + q̂³/μ̄       least is best; R̄ mean response time, 1/μ̄ mean service time

Source: L. Suresh et al., "C3: cutting tail latency in cloud data stores via adaptive replica
selection", NSDI 2015. Its rate control is left to admission. Means forget by time.

Queue and service time come from load reports; without them q̄ is 0 and the service time is
estimated as response time over the load the request met. Ψ is divided by weight. All endpoints up
to 16 are ranked, as in the paper's replica groups; beyond that two drawn by weight: O(1).
"""

from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.load_report import LoadReport
from penstock.core.policy._latency import DECAY, MEASURE, SCAN_LIMIT, CostPolicy, Learned
from penstock.core.policy._mean import FadingMean
from penstock.core.policy.base import Option
from penstock.core.ticket import Ticket

_PENALTY: Final = 1e9  # of an endpoint of unknown speed that has requests already


class Ranking(Learned):
    """The three means that C3 keeps of an endpoint."""

    def __init__(self, balancers: int) -> None:
        self._balancers: int = balancers
        self.response_s: FadingMean = FadingMean()
        self.service_s: FadingMean = FadingMean()
        self.queue: FadingMean = FadingMean()
        self.reported: bool = False  # service times are told, not estimated

    def cost(self, endpoint: Endpoint, env: Env) -> float:
        outstanding = endpoint.load()
        if self.service_s.weight == 0.0:
            return 0.0 if outstanding == 0 else _PENALTY + outstanding
        service_s = self.service_s.value
        queue = 1.0 + outstanding * self._balancers + self.queue.value
        psi = self.response_s.value - service_s + queue * queue * queue * service_s
        return psi / endpoint.weight


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
        super().__init__(measure, SCAN_LIMIT)
        self._decay_s: float = decay_s
        self._balancers: int = balancers

    def new_learned(self) -> Ranking:
        return Ranking(self._balancers)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        ranking = self.ranking(ticket.endpoint)
        ranking.response_s.add(latency_s, now, self._decay_s)
        if not ranking.reported:
            ranking.service_s.add(latency_s / max(ticket.load, 1), now, self._decay_s)

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        ranking = self.ranking(ticket.endpoint)
        ranking.response_s.add(max(waited_s, ranking.response_s.value), now, self._decay_s)

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        ranking = self.ranking(endpoint)
        if report.queued >= 0.0:
            ranking.queue.add(report.queued, report.at, self._decay_s)
        if report.service_s >= 0.0:
            if not ranking.reported:
                ranking.service_s = FadingMean()
                ranking.reported = True
            ranking.service_s.add(report.service_s, report.at, self._decay_s)

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
                "response_s": ranking.response_s.value,
                "service_s": ranking.service_s.value,
                "queue": ranking.queue.value,
            }
        return told
