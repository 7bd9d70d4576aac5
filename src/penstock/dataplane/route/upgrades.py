"""Requests that ask to change to another protocol."""

from typing import Final

from penstock.core.snapshot import Route
from penstock.dataplane.route.access import model_in_query
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.http1 import RequestHead
from penstock.wire.openai import RESPONSE
from penstock.wire.upgrade import NEVER_PASSED, Upgrade, asked_protocol
from penstock.wire.websocket_handshake import PROTOCOL, handshake_key, has_version_13

_REALTIME: Final = b"/realtime"  # the end of its path: engines mount it under prefixes


def refuses_upgrade(plan: Plan, route: Route, head: RequestHead) -> bool:
    """Note which protocol the request is to change to; True where it cannot be what it asks for."""
    protocol = asked_protocol(head)
    offered = protocol.decode("latin-1") in route.upgrades and protocol not in NEVER_PASSED
    if head.extended_connect and protocol != PROTOCOL and not offered:
        # RFC 9220, 3, has that for what stands in :protocol; without the protocol nothing is left.
        plan.status = 501
        plan.message = f"the route {route.name} does not let streams become that protocol's"
        return True
    if not protocol or protocol in NEVER_PASSED:
        return False
    if protocol != PROTOCOL:
        if offered and not head.has_body():
            plan.upgrade = Upgrade(protocol, b"")
        return False
    key = handshake_key(head.method, head.minor, head.fields)
    if not offered:
        plan.status = 501
        plan.message = "requests cannot become WebSockets here"
    elif not has_version_13(head.fields):
        plan.status = 426
        plan.message = "the only version of WebSocket is 13"
        plan.headers = [("Sec-WebSocket-Version", "13")]
    elif (not key and not head.extended_connect) or head.has_body():
        plan.status = 400
        plan.message = "this is no WebSocket handshake (RFC 6455, 4.2.1)"
    else:
        plan.upgrade = Upgrade(protocol, key)
        return False
    return True


def read_websocket(choice: PoolPlan, head: RequestHead) -> None:
    """Note whether a WebSocket of OpenAI's APIs is to be read, in a pool that reads them."""
    upgrade = choice.upgrade
    if upgrade is None or not upgrade.is_websocket:
        return
    if choice.pool.learning is None or choice.pool.spec.websocket_responses is None:
        return
    if choice.api == RESPONSE:
        choice.route_each()
    elif head.target.partition(b"?")[0].endswith(_REALTIME):
        choice.count_each(model_in_query(head.target))
