"""``grpc.health.v1.Health`` of the balancer and its pools (grpc/grpc, doc/health-checking.md).

Its Watch is ``watching.py``.
"""

from typing import Final

from penstock.core.pool.eligible import is_available
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.grpc_services.service import (
    CallEnd,
    GrpcService,
    answered,
    has_no,
)
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.plan import Plan
from penstock.wire.grpc import INVALID_ARGUMENT, NOT_FOUND
from penstock.wire.grpc_health import (
    NOT_SERVING,
    SERVICE_UNKNOWN,
    SERVING,
    decode_request,
    encode_response,
)

# What gateways ask an Endpoint Picker for, beside its service (its protocol, "Health Checking").
_LIVENESS: Final = "liveness"
_READINESS: Final = "readiness"


class Health(GrpcService):
    """ "" asks for the balancer itself; else it is a pool's name, or a service's, which means the
    pools that its calls would go to from the same listener and host."""

    def call(self, method: str, message: bytes, plan: Plan, context: Context) -> CallEnd:
        if method != "Check":
            return has_no(method)
        asked = decode_request(message)
        if asked is None:
            return CallEnd(INVALID_ARGUMENT, text="this is no HealthCheckRequest")
        status = status_of(asked, plan, context)
        if status == SERVICE_UNKNOWN:
            return CallEnd(NOT_FOUND, text="no pool has that name, and no route such a service")
        return answered(encode_response(status))


def status_of(asked: str, plan: Plan, context: Context) -> int:
    """What is so now of what that request asked for: a ServingStatus."""
    if not asked:
        return _told(not context.stopping)
    pools = context.planner.pools_of(asked, plan)
    if not pools and plan.targets:  # of a listener for gateways, which ask by these names
        if asked == _LIVENESS:
            return _told(not context.stopping)
        if asked == _READINESS:
            pools = [target.pool for target in plan.targets]
    if not pools:
        return SERVICE_UNKNOWN
    return _told(any([_serves(pool) for pool in pools]))


def _told(serves: bool) -> int:
    return SERVING if serves else NOT_SERVING


def _serves(pool: LivePool) -> bool:
    """Panic mode, in which endpoints that are down are eligible, is not health."""
    return any([is_available(endpoint) for endpoint in pool.eligible])
