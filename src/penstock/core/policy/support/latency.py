"""What the policies that learn from latency have in common: when a sample is taken, and a scan."""

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option, Policy
from penstock.core.policy.support.belief import PoolMean
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.memory import pruned
from penstock.core.policy.support.sampler import Sampler
from penstock.core.request import Request
from penstock.core.ticket import ABANDONED, CLIENT_GONE, Ticket

SCAN_LIMIT: Final = 16  # endpoints; beyond, two are drawn

MEASURE: Final = Option(
    "measure",
    "first-byte",
    "what is measured: until the first byte of the response, or until its end",
    choices=("first-byte", "total"),
)
DECAY: Final = Option(
    "decay_s", 10.0, "τ: seconds in which a measurement fades to 1/e", minimum=0.001
)


@mypyc_attr(allow_interpreted_subclasses=True)
class LatencyPolicy(Policy):
    """Tells its subclass of every latency, and of every wait that ended without a good answer."""

    observes: ClassVar[bool] = True

    def __init__(self, measure: str) -> None:
        self._until_first_byte: bool = measure == "first-byte"

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        """A good answer took this long."""
        raise NotImplementedError

    def disappointed(self, ticket: Ticket, waited_s: float, now: float) -> None:
        """No good answer came in this time: it failed, or the client left. Failing fast must not
        make an endpoint look fast."""
        raise NotImplementedError

    def on_first_byte(self, ticket: Ticket) -> None:
        if self._until_first_byte and ticket.status < 500:
            latency_s = ticket.first_byte_at - ticket.opened_at
            self.answered(ticket, latency_s, ticket.first_byte_at)

    def on_end(self, ticket: Ticket) -> None:
        if ticket.outcome == ABANDONED:
            return
        elapsed_s = ticket.settled_at - ticket.opened_at
        if self._until_first_byte and ticket.first_byte_at > 0.0 and ticket.status < 500:
            return
        if ticket.failed or ticket.outcome == CLIENT_GONE:
            self.disappointed(ticket, elapsed_s, ticket.settled_at)
        elif not self._until_first_byte and ticket.status < 500:  # 501 tells nothing of its pace
            self.answered(ticket, elapsed_s, ticket.settled_at)


class Learned:
    """What is known of one endpoint; subclasses add to it."""

    def cost(self, endpoint: Endpoint, env: Env) -> float:
        """What a further request would cost there."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class CostPolicy(LatencyPolicy):
    """Picks the endpoint of least learned cost: of all up to ``SCAN_LIMIT``, else of two drawn."""

    def __init__(self, measure: str, scan_limit: int, decay_s: float) -> None:
        super().__init__(measure)
        self._pool: PoolMean = PoolMean(decay_s)
        self._scan_limit: int = scan_limit
        self._endpoints: list[Endpoint] = []
        self._sampler: Sampler = Sampler([])
        self._known: dict[Endpoint, Learned] = {}
        self._learned: list[Learned] = []  # beside ``_endpoints``

    def new_learned(self) -> Learned:
        """What is known of an endpoint never seen before."""
        raise NotImplementedError

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._pool.samples.members = max(len(endpoints), 1)
        self._sampler = Sampler(endpoints)
        self._known = pruned(self._known, endpoints)
        self._learned = [self.learned(endpoint) for endpoint in endpoints]

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if eligible is not self._endpoints:
            costs = [self.learned(endpoint).cost(endpoint, env) for endpoint in eligible]
            return least_of(eligible, costs, env)
        if len(eligible) <= self._scan_limit:
            costs = []
            for index, endpoint in enumerate(eligible):
                costs.append(self._learned[index].cost(endpoint, env))
            return least_of(eligible, costs, env)
        first = self._sampler.one(env)
        second = self._sampler.another(first, env)
        cost_of_first = self._learned[first].cost(eligible[first], env)
        if self._learned[second].cost(eligible[second], env) < cost_of_first:
            return eligible[second]
        return eligible[first]

    def learned(self, endpoint: Endpoint) -> Learned:
        """What is known of the endpoint."""
        found = self._known.get(endpoint)
        if found is None:
            found = self.new_learned()
            self._known[endpoint] = found
        return found
