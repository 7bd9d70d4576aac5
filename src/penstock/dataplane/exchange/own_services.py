"""Which gRPC call that the balancer answers itself is answered how."""

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.endpoint_picking.call import PickingCall
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.grpc_services import watching
from penstock.dataplane.exchange.own_call import CallOwner, OwnCall
from penstock.dataplane.exchange.unary_call import UnaryCall
from penstock.dataplane.route.plan import Plan
from penstock.wire import ext_proc, grpc_health
from penstock.wire.http1 import RequestHead


def call_of(
    context: Context, owner: CallOwner, front: Front, plan: Plan, head: RequestHead
) -> OwnCall:
    """It is yet to be told its body."""
    if plan.service == ext_proc.SERVICE and plan.service_method == ext_proc.METHOD:
        return PickingCall(context, owner, front, plan, head)
    if plan.service == grpc_health.SERVICE and plan.service_method == watching.METHOD:
        return watching.WatchCall(context, owner, front, plan, head)
    return UnaryCall(context, owner, plan, head)
