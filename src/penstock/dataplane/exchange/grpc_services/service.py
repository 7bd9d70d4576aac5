"""What every service of gRPC is that the balancer answers itself."""

from mypy_extensions import trait

from penstock.dataplane.context import Context
from penstock.dataplane.route.plan import Plan
from penstock.wire.grpc import OK, UNIMPLEMENTED


class CallEnd:
    """How a call ends: with a message if ``status`` is OK, else with a text for people."""

    def __init__(self, status: int, message: bytes = b"", text: str = "") -> None:
        self.status: int = status
        self.message: bytes = message
        self.text: str = text


@trait
class GrpcService:
    """One service; its calls have one message each way."""

    def call(self, method: str, message: bytes, plan: Plan, context: Context) -> CallEnd:
        """Answer a call at once. ``plan``: of its request."""
        raise NotImplementedError


def answered(message: bytes) -> CallEnd:
    """All went well."""
    return CallEnd(OK, message)


def has_no(method: str) -> CallEnd:
    """The service is here, and the method is not."""
    return CallEnd(UNIMPLEMENTED, text=f"there is no method {method} here")
