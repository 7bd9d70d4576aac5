"""The plan of a request for which a gateway asks: its pool is known, and nothing is forwarded."""

from penstock.core.caller import ANYONE
from penstock.core.request import Request
from penstock.core.route import RouteFacts
from penstock.core.tenants import Tenants
from penstock.dataplane.route.access import Access
from penstock.dataplane.route.plan import Plan
from penstock.dataplane.route.pool_plans import pool_plan_of
from penstock.dataplane.route.target import Target
from penstock.wire.forwarding import Hop, request_id_of
from penstock.wire.http1 import RequestHead
from penstock.wire.networks import canonical_address
from penstock.wire.origin import Origin


def picked_plan(asked: Plan, target: Target, head: RequestHead, tenants: Tenants) -> Plan:
    """``asked``: of the gateway's own call; ``head``: of the request that it asks for."""
    source = _source_of(head)
    hop = Hop(source, "http", True, b"", Origin(source))
    path, _, _ = head.target.decode("latin-1").partition("?")
    host = head.host.decode("latin-1").lower()
    facts = RouteFacts(
        asked.facts.listener if asked.facts is not None else "",
        host,
        path,
        head.method.decode("latin-1"),
        [],
        source,
    )
    request = Request(method=facts.method, host=host, path=path, source=source)
    plan = Plan(asked.generation, asked.route, request_id_of(head, hop))
    plan.source = source
    plan.facts = facts
    route = asked.route
    if route is not None and route.tenants != "off":
        plan.access = Access(head, tenants, route.tenants == "required", ANYONE, None)
    told = head.target.decode("latin-1")
    plan.choices.append(pool_plan_of(target, request, head, facts, told, hop, plan.access))
    return plan


def _source_of(head: RequestHead) -> str:
    """Who came to the gateway: the last that X-Forwarded-For tells, which gateways append to."""
    last = ""
    for lower, _, value in head.fields:
        if lower == b"x-forwarded-for":
            last = value.decode("latin-1").rpartition(",")[2].strip()
    return canonical_address(last) if last else ""
