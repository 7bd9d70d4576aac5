"""What a message that asks for a response would be as a request: its plan, and its head."""

from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.http1 import RequestHead


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


def posted(head: RequestHead, size: int) -> RequestHead:
    """The head of the POST that would ask for the same as a message of that size."""
    made = RequestHead(b"", b"POST", head.target, head.minor)
    made.version = head.version
    made.host = head.host
    made.fields = head.fields
    made.content_length = size
    return made
