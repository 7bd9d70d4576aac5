"""A gRPC call that the balancer answers itself."""

from typing import Final

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.grpc_services.health import Health
from penstock.dataplane.exchange.grpc_services.service import CallEnd, GrpcService, has_no
from penstock.dataplane.route.plan import Plan
from penstock.wire import ext_proc, grpc_health
from penstock.wire.chunked import ChunkedReader
from penstock.wire.grpc import INTERNAL, OK, RESOURCE_EXHAUSTED, trailers, trailers_only
from penstock.wire.grpc_messages import MessageReader, encode_message
from penstock.wire.http1 import Field, RequestHead

_MAX_MESSAGE_BYTES: Final = 65536
SERVICES: Final[dict[str, GrpcService]] = {grpc_health.SERVICE: Health()}
# Those whose calls have many messages each way, answered as they come.
STREAMED: Final = frozenset((ext_proc.SERVICE,))


def streams(plan: Plan) -> bool:
    """Whether it is such a call; of a method that there is not, it is none."""
    return plan.service in STREAMED and plan.service_method == ext_proc.METHOD


def begun_stream() -> Answer:
    """The head of such a call's answer; its trailers are told when they are known."""
    answer = Answer(200, b"", (("Content-Type", "application/grpc"),))
    answer.trailers = trailers(OK)
    answer.goes_on = True
    return answer


class OwnCall:
    """From the first byte of its request's body to its answer."""

    status: int = -1  # how it ended; -1: it has not

    def __init__(self, context: Context, plan: Plan, head: RequestHead) -> None:
        self._context: Context = context
        self._plan: Plan = plan
        self._chunks: ChunkedReader | None = ChunkedReader(False, 400) if head.chunked else None
        self._reader: MessageReader = MessageReader(_MAX_MESSAGE_BYTES)
        self._message: bytes = b""
        self._messages: int = 0

    def take(self, data: bytes, complete: bool) -> Answer | None:
        """More of the body; the answer, once it is known how the call ends."""
        end = self._take(data, complete)
        if end is None:
            return None
        self.status = end.status
        return _answer_of(end)

    def _take(self, data: bytes, complete: bool) -> CallEnd | None:
        if self._plan.service in STREAMED:
            return has_no(self._plan.service_method)
        chunks = self._chunks
        if chunks is not None and data:
            data = chunks.feed(data)
        for message in self._reader.feed(data):
            self._message = message
            self._messages += 1
        if self._reader.reason:
            return CallEnd(RESOURCE_EXHAUSTED, text=self._reader.reason)
        if self._messages > 1 or (complete and (self._messages == 0 or self._reader.ends_within)):
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
