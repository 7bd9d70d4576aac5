"""A request that changes its protocol: what its exchange goes on as."""

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.clearance import Clearance
from penstock.dataplane.exchange.event_sockets.pinned_socket import PinnedSocket
from penstock.dataplane.exchange.relaying import ChangedProtocol, EndpointsTunnel, TunnelOwner
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.http1 import RequestHead


def tunnel_of(
    owner: TunnelOwner,
    context: Context,
    attempt: Attempt,
    plan: Plan,
    pool_plan: PoolPlan,
    head: RequestHead,
    clearance: Clearance | None,
) -> EndpointsTunnel:
    """The attempt's endpoint agreed to it."""
    if pool_plan.counts_each:
        return PinnedSocket(owner, context, attempt, plan, head, pool_plan, clearance)
    return ChangedProtocol(owner, context, pool_plan, attempt)
