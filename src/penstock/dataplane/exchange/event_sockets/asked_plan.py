"""What a message that asks for a response would be as a request, and how its WebSocket begins."""

import msgspec

from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.http1 import RequestHead, ResponseHead
from penstock.wire.presented_key import subprotocol_of
from penstock.wire.upgrade import Upgrade
from penstock.wire.websocket_deflate import DeflateTerms
from penstock.wire.websocket_handshake import agreed


def asked_plan(plan: Plan, pool_plan: PoolPlan) -> Plan:
    """Of the responses that are asked for on a WebSocket, in the pool that was chosen for it."""
    asked = Plan(plan.generation, plan.route, b"")
    asked.source = plan.source
    asked.caller = plan.caller
    asked.access = plan.access
    asked.limits = plan.limits
    asked.auth = plan.auth
    asked.guarded = plan.guarded
    asked.choices.append(pool_plan)
    return asked


def body_for(model: str) -> bytes:
    """What stands for a response that its engine makes of what it has: all that is known is which
    model is asked."""
    return msgspec.json.encode({"model": model, "input": "", "stream": True})


def posted(head: RequestHead, size: int) -> RequestHead:
    """The head of the POST that would ask for the same as a message of that size."""
    made = RequestHead(b"", b"POST", head.target, head.minor)
    made.version = head.version
    made.host = head.host
    made.fields = head.fields
    made.content_length = size
    return made


def agreement(upgrade: Upgrade, head: RequestHead, terms: DeflateTerms | None) -> ResponseHead:
    """The 101, or what stands for it over HTTP/2."""
    answer = ResponseHead(b"", 101, b"Switching Protocols", 1)
    extensions = terms.shown() if terms is not None else b""
    answer.fields = agreed(upgrade.key, subprotocol_of(head), extensions)
    return answer
