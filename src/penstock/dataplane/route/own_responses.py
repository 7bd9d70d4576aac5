"""Responses for which no endpoint is needed: redirects, lists of models, services of our own."""

from penstock.core.route import RouteFacts, rewritten_path
from penstock.core.snapshot import Route
from penstock.dataplane.pool.header_edits import edits_of
from penstock.dataplane.route.model_list import about_models
from penstock.dataplane.route.plan import Plan
from penstock.dataplane.route.target import Target
from penstock.wire.forwarding import edited
from penstock.wire.grpc import GRPC
from penstock.wire.http1 import RequestHead


def serve_here(
    plan: Plan, route: Route, targets: list[Target], facts: RouteFacts, head: RequestHead
) -> None:
    """Note which method of the route's service is called, or why it cannot be."""
    service = route.grpc_service
    plan.edits = edits_of(route.response_headers)
    if plan.grpc_kind != GRPC:
        plan.status = 415
        plan.message = f"this is {service}, which is called by gRPC"
    elif head.version != b"2.0":
        plan.status = 505
        plan.message = "gRPC needs HTTP/2"
    else:
        plan.service = service
        plan.service_method = facts.path.removeprefix(f"/{service}").removeprefix("/")
        plan.facts = facts
        plan.targets = targets


def lists_models(plan: Plan, targets: list[Target], head: RequestHead, path: str) -> bool:
    """Fill in the list of models, or the one asked for, where it is known.

    False where an endpoint is to be asked all the same: for its own list; or whether the client's
    key is good, or what a page of another origin may read, before it gets that of all.
    """
    anthropic = head.value(b"anthropic-version") is not None
    pools = [destination.pool for destination in targets]
    body = about_models(path, pools, anthropic=anthropic)
    if not body:
        return False
    origin = head.value(b"origin") or b""
    wants_key = any([pool.wants_key for pool in pools])
    if wants_key or (origin and not pools[0].origins.knows(origin)):
        plan.listed = body
        plan.listed_to_keys = wants_key
        return False
    plan.status = 200
    plan.body = body
    plan.headers = [("Content-Type", "application/json")]
    plan.edits = targets[0].rules.edits
    plan.origin = origin
    plan.origins = pools[0].origins
    return True


def own_headers(route: Route, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of a response of our own, after the route's edits."""
    own = [(name.lower().encode(), name.encode(), value.encode()) for name, value in headers]
    fields = edited(own, edits_of(route.response_headers))
    return [(name.decode("latin-1"), value.decode("latin-1")) for _, name, value in fields]


def refuses_method(route: Route) -> bool:
    """Whether it is there to refuse a method."""
    return route.respond is not None and route.respond.status == 405


def location_of(route: Route, head: RequestHead, facts: RouteFacts, query: str, scheme: str) -> str:
    """Where a redirect leads."""
    redirect = route.redirect
    assert redirect is not None
    path = redirect.path or rewritten_path(facts.path, route.rewrite)
    if query and not redirect.path:
        path += "?" + query
    if not (redirect.scheme or redirect.host or redirect.port):
        # Two slashes would begin the name of another host (RFC 3986, 4.2), one of the client's
        # choice; browsers take backslashes for slashes.
        return "/" + path.lstrip("/\\")
    host = redirect.host or facts.host
    port = f":{redirect.port}" if redirect.port else ""
    if not port and not redirect.host and not redirect.scheme:
        host = head.host.decode("latin-1")
    return f"{redirect.scheme or scheme}://{host}{port}{path}"
