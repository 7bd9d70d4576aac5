"""From a request's head to its plan: the route that it takes and what is done to it there."""

from ipaddress import ip_address
from typing import Final

from penstock.core import snapshot
from penstock.core.caller import ANYONE, Caller
from penstock.core.limits.rules import Rule, rules_of
from penstock.core.request import Request
from penstock.core.route import Matcher, RouteFacts, check_rewrite, first_match, rewritten_path
from penstock.core.snapshot import Route, Snapshot
from penstock.core.tenants import Tenants
from penstock.dataplane.pool.header_edits import edits_of
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.access import Access, ModelList
from penstock.dataplane.route.auth_question import AuthQuestion
from penstock.dataplane.route.basic_question import BasicQuestion
from penstock.dataplane.route.body_lengths import heeds_length
from penstock.dataplane.route.compression import compression_of
from penstock.dataplane.route.connection_plan import ConnectionPlan
from penstock.dataplane.route.error_pages import ErrorPages, error_pages
from penstock.dataplane.route.model_list import asks_for_models
from penstock.dataplane.route.own_responses import (
    lists_models,
    location_of,
    own_headers,
    refuses_method,
    serve_here,
)
from penstock.dataplane.route.plan import Plan
from penstock.dataplane.route.pool_plans import pool_plan_of
from penstock.dataplane.route.target import Target
from penstock.dataplane.route.upgrades import read_websocket, refuses_upgrade
from penstock.wire.client_certificate import (
    CHAIN_HEADER,
    CHAIN_LOWER,
    ClientCertificate,
    taken_out,
)
from penstock.wire.forwarding import Edit, Hop, ResponseRules, request_id_of
from penstock.wire.grpc import NOT_GRPC, grpc_kind, parse_timeout
from penstock.wire.http1 import ALLOWED_METHODS, RequestHead
from penstock.wire.max_forwards import hops_left
from penstock.wire.networks import Networks
from penstock.wire.origin import origin_of
from penstock.wire.target_path import decoded_path, has_dot_segment
from penstock.wire.traceparent import traceparent_of

_NOBODY: Final = Networks(())


class _Branch:
    """A route, ready to be asked and taken."""

    def __init__(self, route: Route) -> None:
        self.route: Route = route
        sources = Networks(route.match.sources).holds if route.match.sources else None
        self.matcher: Matcher = Matcher(route.match, sources)
        self.targets: list[Target] = []
        self.limits: list[Rule] = rules_of(route.limits)
        self.mirror: Target | None = None
        self.auth: LivePool | None = None  # of the service that says who may ask


class Planner:
    """One snapshot's routes. Plans of another ``generation`` are to be made anew."""

    def __init__(
        self, spec: Snapshot, pools: dict[str, LivePool], tenants: Tenants | None = None
    ) -> None:
        """Raises ValueError on a network or pattern that cannot be read, or an unknown pool."""
        self.generation: int = spec.generation
        self._traces: bool = spec.traces is not None
        self._via: bytes = spec.via.encode()
        # Comments of Via are ours to use (RFC 9110, 7.6.3): names may be the same along a chain.
        self._instance: bytes = f" ({spec.instance})".encode() if spec.instance else b""
        # In place of errors that concern no route.
        self._all_pages: tuple[snapshot.ErrorPage, ...] = spec.error_pages
        self.pages: ErrorPages | None = error_pages(spec.error_pages)
        self._pools: dict[str, LivePool] = pools
        self._tenants: Tenants = tenants if tenants is not None else Tenants()
        self._trusted: dict[str, Networks] = {
            listener.name: Networks(listener.trusted_proxies) for listener in spec.listeners
        }
        self._certificate_headers: dict[str, str] = {
            listener.name: listener.tls.client_certificate_header for listener in spec.listeners
        }
        # Before anything looks at a head, on every listener: who has no certificate, or is asked
        # for none, must not tell one.
        self._taken_out: frozenset[bytes] = taken_out(self._certificate_headers.values())
        for route in spec.routes:
            _check(route, pools)
        # Whether anything is decided by how long a request's body is said to be.
        self.heeds_length: bool = heeds_length(spec, [pool.spec for pool in pools.values()])
        self._branches: list[_Branch] = [_Branch(route) for route in spec.routes]
        self._matchers: list[Matcher] = [branch.matcher for branch in self._branches]
        self._methods: list[str] = ALLOWED_METHODS.split(", ")
        for route in spec.routes:
            self._methods += [each for each in route.match.methods if each not in self._methods]

    def configure(self) -> None:
        """Work out what each route does, from the pools as they are configured."""
        for branch in self._branches:
            route = branch.route
            branch.targets = [self._target(route, each.pool, each.weight) for each in route.pools]
            branch.mirror = self._target(route, route.mirror, 1.0) if route.mirror else None
            auth = route.forward_auth
            branch.auth = self._pools[auth.pool] if auth is not None else None

    def plan(
        self,
        head: RequestHead,
        listener: str,
        address: str,
        scheme: str,
        certificate: ClientCertificate | None = None,
    ) -> Plan:
        """What to do with a request that has this head and came over this connection.

        ``certificate`` is the client's, which was verified.
        """
        self._take_out(head)
        trusted = self._trusted.get(listener, _NOBODY)  # it may have been removed meanwhile
        origin = origin_of(head, address, trusted)
        hop = Hop(address, scheme, trusted.holds(address), self._via + self._instance, origin)
        path, _, query = head.target.decode("latin-1").partition("?")
        caller = ANYONE
        if certificate is not None:
            caller = _caller_of(certificate)
            name = self._certificate_headers.get(listener, "").encode()
            if name:
                hop.certificate = (name.lower(), name, certificate.header_value)
                if certificate.chain_value:
                    hop.certificate_chain = (CHAIN_LOWER, CHAIN_HEADER, certificate.chain_value)
        facts = RouteFacts(
            listener,
            _host_name(head.host),
            path,
            head.method.decode("latin-1"),
            [(lower.decode("latin-1"), value.decode("latin-1")) for lower, _, value in head.fields],
            origin.address,
        )
        taken = first_match(self._matchers, facts)
        split = self._reading_elsewhere(head, facts, taken)
        branch = self._branches[taken] if taken >= 0 else None
        route = branch.route if branch is not None else None
        plan = Plan(self.generation, route, request_id_of(head, hop))
        if self._traces:
            plan.trace_parent = traceparent_of(head.fields)
            if plan.trace_parent is not None:
                plan.trace_parent.believed = hop.trusted
        plan.pages = self.pages
        source = origin.address
        plan.source = source
        plan.caller = caller
        kind = grpc_kind(head.value(b"content-type") or b"")
        if kind != NOT_GRPC:
            plan.is_grpc = True
            plan.grpc_kind = kind
            plan.grpc_timeout_s = max(parse_timeout(head.value(b"grpc-timeout") or b""), 0.0)
        if split:
            plan.status = 400
            plan.message = (
                f"many servers take {path} for another path, which is another route's: "
                "write it without escapes, parameters and double slashes"
            )
            return plan
        if branch is None or route is None:
            plan.status = 404
            plan.message = f"no route matches {facts.method} {facts.host}{path}"
            return plan
        if branch.targets:
            plan.pages = branch.targets[0].pages
        access: Access | None = None
        # A gateway tells the key of whoever it asks for, and has none itself.
        if branch.targets and route.tenants != "off" and not route.grpc_service:
            required = route.tenants == "required"
            access = Access(head, self._tenants, required, caller, certificate)
            plan.access = access
            plan.guarded = True
            query = access.target.decode("latin-1").partition("?")[2]
        plan.limits = branch.limits
        # Before anything is answered here, such as the list of models.
        told_alone: list[Edit] = []
        if route.basic_auth is not None:
            shown = BasicQuestion(route.basic_auth, head)
            plan.auth = shown
            plan.guarded = True
            told_alone = shown.taken_out
        elif branch.auth is not None and route.forward_auth is not None:
            question = AuthQuestion(route.forward_auth, branch.auth, head, facts, hop)
            plan.auth = question
            plan.guarded = True
            told_alone = question.taken_out
        if self._answered_here(plan, branch, head, facts, query, _scheme_of(hop)):
            return plan
        if refuses_upgrade(plan, route, head):
            return plan
        if self._instance and _came_by(head, self._instance):
            plan.status = 508
            plan.message = "this request came by here before: an endpoint leads back to Penstock"
            return plan
        target = rewritten_path(path, route.rewrite)
        if route.rewrite is not None and has_dot_segment(target.encode("latin-1")):
            plan.status = 400
            plan.message = f"the rewritten path {target} would lead elsewhere"
            return plan
        read = decoded_path(target.encode("latin-1")).decode("utf-8", "replace")
        if asks_for_models(head.method, read):
            if access is not None:
                pools = [destination.pool for destination in branch.targets]
                access.model_list = ModelList(read, pools, access.anthropic)
            elif lists_models(plan, branch.targets, head, read):
                return plan
        target += "?" + query if query else ""
        request = Request(
            method=facts.method, host=facts.host, path=path, source=source, caller=caller
        )
        for destination in branch.targets:
            choice = pool_plan_of(destination, request, head, facts, target, hop, access)
            choice.upgrade = plan.upgrade
            if plan.upgrade is not None:
                read_websocket(choice, head)
            if plan.listed:
                choice.passes_answers = False
            plan.guarded = plan.guarded or len(destination.pool.limits) > 0
            if told_alone:
                choice.take_out(told_alone)
            plan.choices.append(choice)
        plan.guarded = plan.guarded or len(plan.limits) > 0
        if branch.mirror is not None and plan.upgrade is None:
            plan.mirror = pool_plan_of(branch.mirror, request, head, facts, target, hop, access)
            if told_alone:
                plan.mirror.take_out(told_alone)
            plan.mirror_share = route.mirror_share
        return plan

    def plan_connection(
        self,
        listener: str,
        address: str,
        server_name: str,
        certificate: ClientCertificate | None = None,
    ) -> ConnectionPlan:
        """Where a connection goes that is relayed unread; ``server_name`` is "" without one."""
        caller = _caller_of(certificate) if certificate is not None else ANYONE
        facts = RouteFacts(listener, "", "", "", [], address, server_name)
        taken = first_match(self._matchers, facts)
        if taken < 0:
            return ConnectionPlan(None, [], address, server_name, caller)
        branch = self._branches[taken]
        return ConnectionPlan(branch.route, branch.targets, address, server_name, caller)

    def _take_out(self, head: RequestHead) -> None:
        """Whatever tells of a client's certificate, but is the client's own word."""
        names = self._taken_out
        if any([field[0].replace(b"_", b"-") in names for field in head.fields]):
            head.fields = [
                field for field in head.fields if field[0].replace(b"_", b"-") not in names
            ]

    def _reading_elsewhere(self, head: RequestHead, facts: RouteFacts, taken: int) -> bool:
        """Whether another route is meant for another reading of the path.

        Whichever of the two were taken, the endpoint might serve what the other's rules guard.
        """
        for reading in head.readings:
            other = _changed(facts, reading.decode("latin-1"), facts.method)
            if first_match(self._matchers, other) != taken:
                return True
        return False

    def _answered_here(
        self,
        plan: Plan,
        branch: _Branch,
        head: RequestHead,
        facts: RouteFacts,
        query: str,
        scheme: str,
    ) -> bool:
        """Fill in the response when no endpoint is needed for it."""
        route = branch.route
        if hops_left(head) == 0:
            plan.status = 200  # RFC 9110, 7.6.2: the hop where the count ends answers itself
            plan.headers = own_headers(route, [("Allow", ALLOWED_METHODS)])
            return True
        if route.grpc_service:
            serve_here(plan, route, branch.targets, facts, head)
            return True
        if route.respond is not None:
            plan.status = route.respond.status
            plan.body = route.respond.body.encode()
            own = [("Content-Type", route.respond.content_type)]
            if refuses_method(route):
                own.append(("Allow", self._allowed(facts)))
            plan.headers = own_headers(route, own)
            return True
        if route.redirect is not None:
            plan.status = route.redirect.status
            location = location_of(route, head, facts, query, scheme)
            plan.headers = own_headers(route, [("Location", location)])
            return True
        return False

    def pools_of(self, name: str, plan: Plan) -> list[LivePool]:
        """The pool of that name; or those that calls of a service of that name go to, by the way
        that the request of ``plan`` came. Empty where there is none."""
        pool = self._pools.get(name)
        if pool is not None:
            return [pool]
        if plan.facts is None:
            return []
        taken = first_match(self._matchers, _changed(plan.facts, f"/{name}/", "POST"))
        return [target.pool for target in self._branches[taken].targets] if taken >= 0 else []

    def _allowed(self, facts: RouteFacts) -> str:
        """The methods with which a request like this one would not be answered with 405."""
        found: list[str] = []
        for method in self._methods:
            other = _changed(facts, facts.path, method)
            taken = first_match(self._matchers, other)
            if taken >= 0 and not refuses_method(self._branches[taken].route):
                found.append(method)
        return ", ".join(found)

    def _target(self, route: Route, pool_name: str, weight: float) -> Target:
        pool = self._pools[pool_name]
        rules = ResponseRules(self._via, pool.response_edits + edits_of(route.response_headers))
        edits = edits_of(route.request_headers) + pool.request_edits
        # Clients of language models read errors in their API's form, unless told otherwise there.
        common = self._all_pages if pool.learning is None else ()
        pages = error_pages(route.error_pages, pool.spec.error_pages, common)
        compression = compression_of(route.compression, pool.spec.compression)
        return Target(pool, weight, edits, rules, pages, compression, route.priority)


def _changed(facts: RouteFacts, path: str, method: str) -> RouteFacts:
    """The same request with another path or method."""
    return RouteFacts(facts.listener, facts.host, path, method, facts.headers, facts.source)


def _check(route: Route, pools: dict[str, LivePool]) -> None:
    names = [each.pool for each in route.pools]
    if route.mirror:
        names.append(route.mirror)
    if route.forward_auth is not None:
        names.append(route.forward_auth.pool)
    for name in names:
        if name not in pools:
            raise ValueError(f"route {route.name} names the pool {name}, which there is not")
    if route.rewrite is not None:
        check_rewrite(route.rewrite)


def _caller_of(certificate: ClientCertificate) -> Caller:
    return Caller(certificate=certificate.subject, fingerprint=certificate.fingerprint)


def _came_by(head: RequestHead, instance: bytes) -> bool:
    return any([lower == b"via" and instance in value for lower, _, value in head.fields])


def _scheme_of(hop: Hop) -> str:
    """What the client spoke: before a trusted proxy that may be another than it speaks here."""
    told = hop.origin.proto.lower()
    return told.decode() if told in (b"http", b"https") else hop.scheme


def _host_name(host: bytes) -> str:
    """A Host value in lower case, without its port and the dot of the root; IPv6 canonical."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        text = text[: text.find("]") + 1]
        try:
            return f"[{ip_address(text[1:-1])}]"
        except ValueError:
            return text
    return text.partition(":")[0].removesuffix(".")
