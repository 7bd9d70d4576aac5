"""A gRPC call of one message each way that the balancer answers itself."""

from typing import Final

from penstock.dataplane.board.layout import W_FIXED
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.grpc_services.health import Health
from penstock.dataplane.exchange.grpc_services.service import CallEnd, GrpcService, has_no
from penstock.dataplane.exchange.own_call import CallMessages, CallOwner, OwnCall
from penstock.dataplane.route.plan import Plan
from penstock.wire import ext_proc, grpc_health
from penstock.wire.grpc import INTERNAL, OK, RESOURCE_EXHAUSTED, trailers, trailers_only
from penstock.wire.grpc_messages import encode_message
from penstock.wire.http1 import Field, RequestHead

_MAX_MESSAGE_BYTES: Final = 65536
SERVICES: Final[dict[str, GrpcService]] = {grpc_health.SERVICE: Health()}
# Those whose calls have many messages each way; of a method that there is not, it is none such.
_STREAMED: Final = frozenset((ext_proc.SERVICE,))


class UnaryCall(OwnCall):
    """Answered when its message is whole."""

    def __init__(self, context: Context, owner: CallOwner, plan: Plan, head: RequestHead) -> None:
        self._context: Context = context
        self._owner: CallOwner = owner
        self._plan: Plan = plan
        self._messages: CallMessages = CallMessages(head, _MAX_MESSAGE_BYTES)
        self._message: bytes = b""
        self._count: int = 0  # of messages

    def take(self, data: bytes, complete: bool) -> None:
        end = self._end(data, complete)
        if end is not None:
            self.status = end.status
            self._context.counters.bump(W_FIXED)
            self._owner.give(_answer_of(end), "fixed")

    def _end(self, data: bytes, complete: bool) -> CallEnd | None:
        """How it ends, once that is known."""
        if self._plan.service in _STREAMED:
            return has_no(self._plan.service_method)
        for message in self._messages.feed(data):
            self._message = message
            self._count += 1
        reader = self._messages.reader
        if reader.reason:
            return CallEnd(RESOURCE_EXHAUSTED, text=reader.reason)
        if self._count > 1 or (complete and (self._count == 0 or reader.ends_within)):
            return CallEnd(INTERNAL, text="one message is needed")
        if not complete:
            return None
        plan = self._plan
        return SERVICES[plan.service].call(plan.service_method, self._message, plan, self._context)


def _answer_of(end: CallEnd) -> Answer:
    """The response that ends a call so."""
    if end.status != OK:
        return Answer(200, b"", _headers(trailers_only(end.status, end.text)), end.text)
    answer = Answer(200, encode_message(end.message), (("Content-Type", "application/grpc"),))
    answer.trailers = trailers(OK)
    return answer


def _headers(fields: list[Field]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode("latin-1")) for _, name, value in fields]
