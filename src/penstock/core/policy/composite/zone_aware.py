"""Zone-aware: requests stay in this balancer's zone as far as its endpoints can take them.

With o_z the share of balancers in zone z and u_z the share of the pool's weight there: when
u_local ≥ o_local everything stays local. Otherwise the part u_local / o_local does, and the rest
spills over to zones with capacity to spare, in proportion to max(0, u_z − o_z). When the endpoints
that are left for a request (not tried yet, with room) hold none of the zone drawn, it goes local,
and failing that anywhere. Pools under ``min_endpoints`` and balancers without a zone ignore zones.
Source: Envoy, zone-aware routing (minimum 6 endpoints).

Within a zone another policy picks: each zone has its own, except that one which believes in prefix
caches picks in all zones, so that each request counts once and other workers are told of it. O(1)
per pick beside its price, O(n) for a list other than the pool's.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Option, Policy
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.ticket import Ticket


class _Zone:
    """The eligible endpoints of one zone, and who picks among them."""

    def __init__(self, name: str, policy: Policy) -> None:
        self.name: str = name
        self.policy: Policy = policy
        self.endpoints: list[Endpoint] = []
        self.until: float = 0.0  # the zone is drawn by numbers under this, and above the last


class ZoneAware(Policy):
    name: ClassVar[str] = "zone-aware"
    key: ClassVar[str] = "configured"
    observes: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("zone", "", "this balancer's zone; without one zones are ignored"),
        Option(
            "balancers",
            "",
            "how many balancers each zone has, as in 'a=2, b=1'; none given: the same in each",
        ),
        Option("min_endpoints", 6, "a pool with fewer endpoints ignores zones", minimum=1),
        Option("policy", "least-request", "how an endpoint of the zone is picked"),
    )

    def __init__(
        self,
        zone: str = "",
        balancers: str = "",
        min_endpoints: int = 6,
        policy: str = "least-request",
    ) -> None:
        self._local: str = zone
        self._balancers: dict[str, float] = parsed(balancers)
        self._min_endpoints: int = min_endpoints
        self._policy_name: str = policy
        self._zones: dict[str, _Zone] = {}
        self._drawn: list[_Zone] = []  # those that requests go to
        self._endpoints: list[Endpoint] = []
        self._of_all: _Zone = self._new_zone("")

    @property
    def prefix_index(self) -> PrefixIndex | None:
        return self._of_all.policy.prefix_index

    def use_prefix_index(self, index: PrefixIndex) -> None:
        self._of_all.policy.use_prefix_index(index)

    def replace_members(self, endpoints: list[Endpoint]) -> None:
        if self.prefix_index is not None:  # the others know those that are eligible
            self._of_all.policy.replace_members(endpoints)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        zoned = bool(self._local) and len(endpoints) >= self._min_endpoints
        grouped: dict[str, list[Endpoint]] = {}
        if zoned:
            for endpoint in endpoints:
                grouped.setdefault(endpoint.zone, []).append(endpoint)
        if self._local not in grouped:
            grouped = {}
        for name in grouped:
            if name not in self._zones:
                self._zones[name] = self._new_zone(name)
        of_all = self._of_all.policy
        for name, zone in self._zones.items():
            zone.endpoints = grouped.get(name, [])
            if zone.policy is not of_all:
                zone.policy.replace_members(zone.endpoints)
                zone.policy.rebuild(zone.endpoints)
        self._of_all.endpoints = endpoints
        if of_all.prefix_index is None:
            of_all.replace_members(endpoints)
        of_all.rebuild(endpoints)
        self._share_out(grouped)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        if not self._drawn:
            return self._of_all.policy.pick(request, eligible, env)
        zone = self._draw(env)
        if eligible is self._endpoints:
            return zone.policy.pick(request, zone.endpoints, env)
        for candidate in (zone, self._zones[self._local]):
            left = [endpoint for endpoint in eligible if endpoint.zone == candidate.name]
            if left:
                return candidate.policy.pick(request, left, env)
        return self._of_all.policy.pick(request, eligible, env)

    def shares(self) -> dict[str, float]:
        """The share of this balancer's requests that each zone gets."""
        shares: dict[str, float] = {}
        reached = 0.0
        for zone in self._drawn:
            shares[zone.name] = zone.until - reached
            reached = zone.until
        return shares

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        for policy in self._told(endpoint):
            policy.on_report(endpoint, report)

    def on_start(self, ticket: Ticket) -> None:
        for policy in self._told(ticket.endpoint):
            if policy.observes:
                policy.on_start(ticket)

    def on_first_byte(self, ticket: Ticket) -> None:
        for policy in self._told(ticket.endpoint):
            if policy.observes:
                policy.on_first_byte(ticket)

    def on_end(self, ticket: Ticket) -> None:
        for policy in self._told(ticket.endpoint):
            if policy.observes:
                policy.on_end(ticket)

    def beliefs(self) -> dict[str, dict[str, float]]:
        return {name: {"share": share} for name, share in self.shares().items()}

    def _share_out(self, grouped: dict[str, list[Endpoint]]) -> None:
        """Work out which zones are drawn, and how often."""
        self._drawn = []
        if not grouped:
            return
        weights: dict[str, float] = {}
        for name, members in grouped.items():
            weights[name] = 0.0
            for endpoint in members:
                weights[name] += endpoint.weight
        shares = shares_of_zones(self._local, self._balancers, weights)
        reached = 0.0
        for name, share in shares.items():
            if share > 0.0:
                reached += share
                zone = self._zones[name]
                zone.until = reached
                self._drawn.append(zone)

    def _draw(self, env: Env) -> _Zone:
        if len(self._drawn) == 1:
            return self._drawn[0]
        point = env.random()
        for zone in self._drawn:
            if point < zone.until:
                return zone
        return self._drawn[-1]

    def _told(self, endpoint: Endpoint) -> list[Policy]:
        """The policies that may pick the endpoint, and so must hear of it."""
        told = [self._of_all.policy]
        zone = self._zones.get(endpoint.zone)
        if zone is not None and zone.policy is not self._of_all.policy:
            told.append(zone.policy)
        return told

    def _new_zone(self, name: str) -> _Zone:
        from penstock.core.policy import create

        if name and self.prefix_index is not None:
            return _Zone(name, self._of_all.policy)
        return _Zone(name, create(self._policy_name))


def shares_of_zones(
    local: str, balancers: dict[str, float], weights: dict[str, float]
) -> dict[str, float]:
    """The share of requests from the ``local`` zone to each zone of ``weights``."""
    total_weight = 0.0
    for weight in weights.values():
        total_weight += weight
    total_balancers = 0.0
    for count in balancers.values():
        total_balancers += count
    origin: dict[str, float] = {}
    for name in weights:
        if balancers:
            origin[name] = balancers.get(name, 0.0) / total_balancers
        else:
            origin[name] = 1.0 / len(weights)
    at_home = weights[local] / total_weight
    if origin[local] <= at_home:
        return {local: 1.0}
    shares = {local: at_home / origin[local]}
    spare_total = 0.0
    for name, weight in weights.items():
        spare_total += max(0.0, weight / total_weight - origin[name])
    for name, weight in weights.items():
        spare = weight / total_weight - origin[name]
        if name != local and spare > 0.0:
            shares[name] = (1.0 - shares[local]) * spare / spare_total
    return shares


def parsed(balancers: str) -> dict[str, float]:
    """``a=2, b=1`` as a mapping. Raises ValueError when it is not of that form."""
    counts: dict[str, float] = {}
    for part in balancers.split(","):
        if not part.strip():
            continue
        name, equals, count = part.partition("=")
        try:
            counts[name.strip()] = float(count)
        except ValueError:
            counts[name.strip()] = -1.0
        if not equals or counts[name.strip()] < 0.0:
            raise ValueError(
                f"option 'balancers' is a list like 'a=2, b=1', and {part.strip()!r} is no part "
                "of one"
            )
    if counts and max(counts.values()) <= 0.0:
        raise ValueError("option 'balancers' gives no zone a balancer")
    return counts
