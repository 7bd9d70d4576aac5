"""Deterministic subsetting: this balancer uses only a part of the pool, and so do its peers.

Balancer number c of many uses ``size`` endpoints. Balancers come in rounds of n/size; within a
round their subsets do not overlap, and every round orders the endpoints in another way:

    rounds of k = ⌊n / size⌋;  order = endpoints sorted by hash(name, round c ÷ k)
    the subset begins at ⌊(c mod k)·n / k⌋

So every endpoint has nearly the same number of balancers, and a balancer few connections. An
endpoint of the subset that may not be picked is stood in for by the next one in the order.
Source: B. Beyer et al. (ed.), "Site Reliability Engineering", 2016, chapter 20; its shuffle is
replaced by a sort by hash, under which a change of membership moves a subset by one place.

What is picked within the subset is another policy's choice; a pick is O(1) beside its price, O(n)
for a list other than the pool's.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Explained, Option, Policy
from penstock.core.policy.support.hashing import hash_of
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.ticket import Ticket


class Subset(Policy):
    name: ClassVar[str] = "subset"
    key: ClassVar[str] = "configured"
    observes: ClassVar[bool] = True
    weighted: ClassVar[bool] = False
    spreads: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = (
        Option("size", 20, "endpoints that this balancer uses", minimum=1),
        Option("balancer", 0, "the number of this balancer among its peers, from 0", minimum=0),
        Option("policy", "least-request", "how one of the subset is picked"),
    )

    def __init__(self, size: int = 20, balancer: int = 0, policy: str = "least-request") -> None:
        from penstock.core.policy import create

        self._size: int = size
        self._balancer: int = balancer
        self._inner: Policy = create(policy)
        self._order: list[Endpoint] = []  # all members, from the start of the subset on
        self._endpoints: list[Endpoint] = []
        self._subset: list[Endpoint] = []

    @property
    def prefix_index(self) -> PrefixIndex | None:
        return self._inner.prefix_index

    def use_prefix_index(self, index: PrefixIndex) -> None:
        self._inner.use_prefix_index(index)

    def replace_members(self, endpoints: list[Endpoint]) -> None:
        self._order = ordered(endpoints, self._size, self._balancer)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        eligible = dict.fromkeys(endpoints, True)
        subset = [endpoint for endpoint in self._order if endpoint in eligible]
        if len(subset) < len(endpoints):
            self._order = ordered(endpoints, self._size, self._balancer)
            subset = self._order
        self._endpoints = endpoints
        self._subset = subset[: self._size]
        # What caches hold is forgotten with membership only, not with each failed health check.
        believes = self._inner.prefix_index is not None
        self._inner.replace_members(self._order if believes else self._subset)
        self._inner.rebuild(self._subset)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if eligible is self._endpoints:
            return self._inner.pick(request, self._subset, env)
        allowed = dict.fromkeys(eligible, True)
        subset = [endpoint for endpoint in self._subset if endpoint in allowed]
        return self._inner.pick(request, subset or eligible, env)

    def explain(self, request: Request, eligible: list[Endpoint], env: Env) -> list[Explained]:
        known = dict(self._inner.explain(request, self._subset, env))
        explained: list[Explained] = []
        for endpoint in eligible:
            terms = known.get(endpoint)
            if terms is None:
                explained.append((endpoint, {"in_subset": 0.0}))
            else:
                terms["in_subset"] = 1.0
                explained.append((endpoint, terms))
        return explained

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        self._inner.on_report(endpoint, report)

    def on_start(self, ticket: Ticket) -> None:
        if self._inner.observes:
            self._inner.on_start(ticket)

    def on_first_byte(self, ticket: Ticket) -> None:
        if self._inner.observes:
            self._inner.on_first_byte(ticket)

    def on_end(self, ticket: Ticket) -> None:
        if self._inner.observes:
            self._inner.on_end(ticket)

    def beliefs(self) -> dict[str, dict[str, float]]:
        return self._inner.beliefs()


def ordered(endpoints: list[Endpoint], size: int, balancer: int) -> list[Endpoint]:
    """All endpoints in the order in which this balancer would use them."""
    count = len(endpoints)
    per_round = max(1, count // size)
    number = balancer // per_round
    ranked = sorted([(hash_of(e.name, number), at) for at, e in enumerate(endpoints)])
    start = balancer % per_round * count // per_round
    return [endpoints[at] for _, at in ranked[start:] + ranked[:start]]
