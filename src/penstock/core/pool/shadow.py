"""A shadow policy: asked what it would have picked, and told what really happened.

It has endpoints of its own, with the load and state of the live ones but its own token counts, so
the pool's policy does not see them counted twice. Every attempt is reported to it as if it had
picked that endpoint. So it knows the same past, and each of its picks is the one that it would have
made at that moment. What would have happened had it been followed all the time is a question for
the simulator.
"""

from collections.abc import Sequence

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Policy
from penstock.core.pool.pool import Pool
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.ticket import Ticket


class ShadowEndpoint(Endpoint):
    """A live endpoint as a policy in the shadow sees it."""

    def __init__(self, live: Endpoint) -> None:
        super().__init__(live.name, pool=live.pool)
        self.live: Endpoint = live
        self.follow()

    def follow(self) -> None:
        """Take over the live endpoint's state."""
        live = self.live
        self.weight = live.weight
        self.max_in_flight = live.max_in_flight
        self.priority = live.priority
        self.zone = live.zone
        self.health = live.health
        self.draining = live.draining
        self.ejected = live.ejected
        self.cut_out = live.cut_out

    def look(self) -> None:
        """Take over what changes from request to request."""
        live = self.live
        self.elsewhere = live.elsewhere
        self.reported.waiting = live.reported.waiting
        self.reported.loaded = live.reported.loaded
        self.hit_distrust = live.hit_distrust

    def expire_report(self, now: float, max_age_s: float) -> None:
        """Go back to own counts when the engine has been silent for so long."""
        if 0.0 <= self.reported.at < now - max_age_s:
            self.reported.at = -1.0
            self.tokens_elsewhere.held = 0

    def load(self) -> int:
        return self.live.load()

    def has_room(self) -> bool:
        return self.live.has_room()

    def silence_s(self, now: float) -> float:
        return self.live.silence_s(now)

    def acquire(self) -> None:
        """Nothing: the live endpoint counts it."""

    def release(self) -> None:
        """Nothing: the live endpoint counts it."""


class ShadowIndex(PrefixIndex):
    """Believes what the pool's own policy does of caches, where that one does: it hears of other
    workers too. Otherwise what it was told of."""

    def __init__(self) -> None:
        super().__init__()
        self.live: PrefixIndex | None = None

    def matches(self, request: Request, endpoints: list[Endpoint]) -> list[int]:
        live = self.live
        if live is None:
            return super().matches(request, endpoints)
        found = live.matches(request, [_live(endpoint) for endpoint in endpoints])
        self.deepest = live.deepest
        return found

    def insert(self, request: Request, endpoint: Endpoint) -> int:
        live = self.live
        if live is None:
            return super().insert(request, endpoint)
        return live.matches(request, [_live(endpoint)])[0]

    def overflow(self, endpoint: Endpoint, tokens: int) -> int:
        live = self.live
        if live is None:
            return super().overflow(endpoint, tokens)
        return live.overflow(_live(endpoint), tokens)


def _live(endpoint: Endpoint) -> Endpoint:
    return endpoint.live if isinstance(endpoint, ShadowEndpoint) else endpoint


class Shadow:
    """One policy in the shadow of a pool."""

    def __init__(self, name: str, policy: Policy) -> None:
        self.name: str = name
        self.policy: Policy = policy
        self._pool: Pool = Pool(name, policy)
        self._of: dict[Endpoint, ShadowEndpoint] = {}
        self._index: ShadowIndex | None = None
        if policy.prefix_index is not None:
            self._index = ShadowIndex()
            policy.use_prefix_index(self._index)

    def follow(self, pool: Pool) -> None:
        """The live pool's members, or their states, changed."""
        if self._index is not None:
            self._index.live = pool.policy.prefix_index
        members: list[Endpoint] = []
        known: dict[Endpoint, ShadowEndpoint] = {}
        for live in pool.endpoints:
            seen = self._of.get(live)
            if seen is None:
                seen = ShadowEndpoint(live)
            seen.follow()
            known[live] = seen
            members.append(seen)
        self._of = known
        self._pool.panic_threshold = pool.panic_threshold
        self._pool.replace_endpoints(members)

    def pick(self, request: Request, candidates: Sequence[Endpoint], env: Env) -> Endpoint | None:
        """The one of live ``candidates`` that the policy would pick."""
        own = self._own(candidates)
        picked = self.policy.pick(request, own, env)
        if picked is not None and not picked.has_room():
            picked = self.policy.pick(request, [e for e in own if e.has_room()], env)
        return picked.live if isinstance(picked, ShadowEndpoint) else None

    def explain(
        self, request: Request, candidates: Sequence[Endpoint], env: Env
    ) -> dict[Endpoint, dict[str, float]]:
        """The terms of live endpoints; of those that it does not know nothing."""
        own = self._own(candidates)
        found: dict[Endpoint, dict[str, float]] = {}
        for endpoint, terms in self.policy.explain(request, own, env):
            assert isinstance(endpoint, ShadowEndpoint)
            found[endpoint.live] = terms
        return found

    def open(self, endpoint: Endpoint, request: Request, now: float) -> Ticket | None:
        """An attempt is about to be opened on the live endpoint, whose own ticket comes after this.

        None when the policy does not learn.
        """
        own = self._of.get(endpoint)
        if own is None or not self.policy.observes:
            return None
        return Ticket(own, self.policy, request, now)

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        """An engine told its load."""
        own = self._of.get(endpoint)
        if own is not None:
            self.policy.on_report(own, report)

    def expire_reports(self, now: float, max_age_s: float) -> None:
        """Believe no engine that has been silent for so long."""
        for own in self._of.values():
            own.expire_report(now, max_age_s)

    def _own(self, candidates: Sequence[Endpoint]) -> list[Endpoint]:
        """The policy's own endpoints for live ones; the list that it knows where that is all."""
        own: list[Endpoint] = []
        for live in candidates:
            known = self._of.get(live)
            if known is not None:
                known.look()
                own.append(known)
        return self._pool.eligible if own == self._pool.eligible else own
