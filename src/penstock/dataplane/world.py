"""The configured world as a worker runs it: listeners' settings, routes, pools, plans."""

from urllib.parse import parse_qsl

import xxhash

from penstock.core import snapshot
from penstock.core.request import Request
from penstock.core.route import Facts, Matcher, first_match, rewritten_path
from penstock.core.snapshot import Route, Snapshot
from penstock.dataplane.board import H_EPOCH, Board
from penstock.dataplane.context import Context
from penstock.dataplane.live_endpoint import LiveEndpoint
from penstock.dataplane.live_pool import LivePool, edits_of
from penstock.dataplane.plan import Plan, PoolPlan
from penstock.wire.forwarding import Hop, TrustedNetworks, client_address, request_id_of
from penstock.wire.http1 import RequestHead


class World:
    """Built from one snapshot; what stays is taken over from the world before."""

    def __init__(self, spec: Snapshot, before: "World | None", context: Context) -> None:
        """Raises OSError, ssl.SSLError or ValueError when the snapshot cannot be run.

        Nothing of the world before is changed until ``enter``.
        """
        self.spec: Snapshot = spec
        self.generation: int = spec.generation
        self.via: bytes = spec.via.encode()
        self.pools: dict[str, LivePool] = {}
        self.trusted: dict[str, TrustedNetworks] = {}
        self._routes: list[tuple[Matcher, Route]] = [(Matcher(r.match), r) for r in spec.routes]
        self._context: Context = context
        self._before: World | None = before
        self._epoch: int = -1
        for listener in spec.listeners:
            self.trusted[listener.name] = TrustedNetworks(listener.trusted_proxies)
        for pool in spec.pools:
            kept = before.pools.get(pool.name) if before is not None else None
            if kept is not None and kept.row == pool.row:
                self.pools[pool.name] = kept
            else:
                self.pools[pool.name] = LivePool(pool, context.board, context.worker)

    def enter(self) -> None:
        """Become the world that runs. Endpoints no longer configured finish what they have."""
        gone: dict[int, LiveEndpoint] = {}
        if self._before is not None:
            for before in self._before.pools.values():
                for endpoint in before.members:
                    gone[endpoint.row] = endpoint
        for spec in self.spec.pools:
            pool = self.pools[spec.name]
            pool.configure(spec)
            pool.members = [
                self._endpoint(each, pool, gone.pop(each.row, None)) for each in spec.endpoints
            ]
        for endpoint in gone.values():
            endpoint.removed = True
            endpoint.close_idle()
            endpoint.publish()
        self._before = None
        self._epoch = -1
        self.follow_board(self._context.board)

    def _endpoint(
        self, spec: snapshot.Endpoint, pool: LivePool, kept: LiveEndpoint | None
    ) -> LiveEndpoint:
        context = self._context
        endpoint = kept
        if endpoint is None or endpoint.name != spec.name or endpoint.pool != pool.name:
            endpoint = LiveEndpoint(spec, pool.name, context.board, context.worker, context.env)
        address = endpoint.address
        endpoint.configure(spec, pool.tls if spec.tls else None, pool.spec.tls.server_name)
        if endpoint.address != address:
            endpoint.close_idle()
        return endpoint

    def follow_board(self, board: Board) -> None:
        """Take over the endpoints' states if the supervisor changed any."""
        epoch = board.cells[H_EPOCH]
        if epoch == self._epoch:
            return
        self._epoch = epoch
        for pool in self.pools.values():
            for endpoint in pool.members:
                endpoint.read_state()
            pool.replace_endpoints(list(pool.members))

    def publish(self) -> None:
        """Copy pools' and endpoints' counters to the board."""
        for pool in self.pools.values():
            pool.counters.publish()
            for endpoint in pool.members:
                endpoint.publish()

    # --- plans ------------------------------------------------------------------------------

    def plan(self, head: RequestHead, listener: str, address: str, scheme: str) -> Plan:
        """What to do with a request that has this head and came over this connection."""
        trusted = self.trusted[listener]
        hop = Hop(address, scheme, trusted.holds(address), self.via)
        path, _, query = head.target.decode("latin-1").partition("?")
        facts = Facts(
            listener,
            _host_name(head.host),
            path,
            head.method.decode("latin-1"),
            [(lower.decode("latin-1"), value.decode("latin-1")) for lower, _, value in head.fields],
        )
        route = first_match(self._routes, facts)
        plan = Plan(self.generation, route, request_id_of(head, hop))
        source = client_address(head, hop, trusted)
        plan.source = source
        if route is None:
            plan.status = 404
            plan.message = f"no route matches {facts.method} {facts.host}{path}"
            return plan
        if self._answered_here(plan, head, facts, query):
            return plan
        target = rewritten_path(path, route.rewrite) + ("?" + query if query else "")
        for choice in route.pools:
            plan.choices.append(
                self._pool_plan(route, choice.pool, choice.weight, head, hop, facts, target, source)
            )
        if route.mirror:
            plan.mirror = self._pool_plan(
                route, route.mirror, 1.0, head, hop, facts, target, source
            )
            plan.mirror_share = route.mirror_share
        return plan

    def _answered_here(self, plan: Plan, head: RequestHead, facts: Facts, query: str) -> bool:
        """Fill in the response when no endpoint is needed for it."""
        route = plan.route
        assert route is not None
        if (head.value(b"upgrade") or b"").lower() == b"websocket":
            plan.status = 501
            plan.message = "upgrading to websocket is not offered"
            return True
        if head.method == b"OPTIONS" and head.value(b"max-forwards") == b"0":
            plan.status = 200  # RFC 9110, 7.6.2: the hop where the count ends answers itself
            return True
        if route.respond is not None:
            plan.status = route.respond.status
            plan.body = route.respond.body.encode()
            plan.content_type = route.respond.content_type
            return True
        if route.redirect is not None:
            plan.status = route.redirect.status
            plan.location = _location(route, head, facts, query)
            return True
        return False

    def _pool_plan(
        self,
        route: Route,
        pool_name: str,
        weight: float,
        head: RequestHead,
        hop: Hop,
        facts: Facts,
        target: str,
        source: str,
    ) -> PoolPlan:
        pool = self.pools[pool_name]
        request = Request(method=facts.method, host=facts.host, path=facts.path, source=source)
        if pool.policy.key == "source":
            request.key_hash = xxhash.xxh3_64_intdigest(source.encode())
        elif pool.policy.key == "configured":
            request.key_hash = xxhash.xxh3_64_intdigest(
                _hash_key(pool.spec.hash_key, head, facts, source)
            )
        return PoolPlan(
            pool,
            weight,
            request,
            head,
            target.encode("latin-1"),
            hop,
            edits_of(route.request_headers) + pool.request_edits,
            pool.response_edits + edits_of(route.response_headers),
            "",
        )


def _host_name(host: bytes) -> str:
    """A Host value in lower case and without its port."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[: text.find("]") + 1]
    return text.partition(":")[0]


def _location(route: Route, head: RequestHead, facts: Facts, query: str) -> str:
    redirect = route.redirect
    assert redirect is not None
    path = redirect.path or rewritten_path(facts.path, route.rewrite)
    if query and not redirect.path:
        path += "?" + query
    if not (redirect.scheme or redirect.host or redirect.port):
        return path
    host = redirect.host or facts.host
    port = f":{redirect.port}" if redirect.port else ""
    if not port and not redirect.host and not redirect.scheme:
        host = head.host.decode("latin-1")
    return f"{redirect.scheme or 'http'}://{host}{port}{path}"


def _hash_key(spec: snapshot.HashKey, head: RequestHead, facts: Facts, source: str) -> bytes:
    """What hashing policies hash by; the client's address where the request lacks the rest."""
    if spec.kind == "path":
        return facts.path.encode("latin-1")
    found: str | None = None
    if spec.kind == "header":
        value = head.value(spec.name.lower().encode("latin-1"))
        found = value.decode("latin-1") if value is not None else None
    elif spec.kind == "cookie":
        found = cookie_value(head, spec.name)
    elif spec.kind == "query":
        query = head.target.decode("latin-1").partition("?")[2]
        found = dict(parse_qsl(query, keep_blank_values=True)).get(spec.name)
    return (found if found is not None else source).encode()


def cookie_value(head: RequestHead, name: str) -> str | None:
    """A cookie's value by its name; the first one wins."""
    for lower, _, value in head.fields:
        if lower == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, content = pair.strip().partition("=")
                if key == name:
                    return content
    return None
