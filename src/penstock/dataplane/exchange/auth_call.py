"""Asks a service whether a request may go on (``forward_auth``)."""

from typing import Final

from mypy_extensions import trait

from penstock.core.ticket import ABANDONED, CONNECT_FAILED, DONE, RESET, TIMEOUT, Ticket
from penstock.dataplane.board.layout import P_NO_ENDPOINT
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.connecting import connect
from penstock.dataplane.endpoint.idle_connections import take_idle
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.auth_question import AuthQuestion
from penstock.dataplane.route.auth_verdicts import AuthVerdict
from penstock.wire.http1 import Field, ResponseHead

_MOST_BYTES: Final = 65536  # of what a client is told in place of an answer
_NO_FIELDS: Final[list[Field]] = []
# Of the service's answer, what a client gets with it.
_TOLD: Final = frozenset(
    (b"content-type", b"location", b"set-cookie", b"www-authenticate", b"cache-control")
)


@trait
class AuthAwaiter:
    """A request that waits for it."""

    def on_auth(self, verdict: AuthVerdict) -> None:
        """The service answered, or did not in time."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed."""
        raise NotImplementedError


class AuthCall(ResponseSink):
    """One question under way, on an endpoint of the service's pool. It is not repeated: a service
    that many requests wait for is not to be asked twice as much when it is slow."""

    def __init__(
        self,
        context: Context,
        question: AuthQuestion,
        endpoint: LiveEndpoint,
        request_id: bytes,
        awaiter: AuthAwaiter,
    ) -> None:
        self.stream: EndpointStream | None = None
        self._reused: bool = False  # an idle connection, which its server may have closed
        self._context: Context = context
        self._question: AuthQuestion = question
        self._endpoint: LiveEndpoint = endpoint
        self._request_id: bytes = request_id
        self._awaiter: AuthAwaiter | None = awaiter
        plan = question.plan
        self._ticket: Ticket = Ticket(endpoint, plan.pool.policy, plan.request, context.env.now)
        self._head: ResponseHead | None = None
        self._body: bytes = b""

    def begin(self) -> None:
        """On an idle connection, or a fresh one."""
        connector = self._endpoint.connector
        stream: EndpointStream | None = None
        if connector.idle:
            stream = take_idle(connector, self._context.env.now, False)
        elif connector.streams is not None:
            stream = connector.streams.ready()
        if stream is None:
            self._connect()
            return
        self._reused = True
        self.stream = stream
        self.on_connected()

    def _connect(self) -> None:
        connector = self._endpoint.connector
        try:
            stream = connect(connector)
        except OSError as error:
            self.on_endpoint_failed(CONNECT_FAILED, str(error.strerror))
            return
        self.stream = stream
        stream.await_connection(self, 0.0)
        stream.arm(connector.settings.connect_s)

    def is_open(self) -> bool:
        """Whether somebody still waits for it."""
        return self._awaiter is not None

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._awaiter = None
        stream = self.stream
        self.stream = None
        if stream is not None:
            stream.give_up()
        self._ticket.settle_once(ABANDONED, self._context.env.now)

    def on_connected(self) -> None:
        stream = self.stream
        assert stream is not None
        stream.begin(self, False, 0.0)
        head = self._question.plan.forwarded(self._endpoint)
        stream.arm(self._question.spec.timeout_s)
        stream.send_request(head, self._request_id, b"", True)

    def on_stream_replaced(self, stream: object) -> None:
        assert isinstance(stream, EndpointStream)
        self.stream = stream

    def on_interim(self, head: ResponseHead) -> None:
        pass

    def frame_response(self, head: ResponseHead) -> bool:
        return False

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        self._ticket.status = head.status
        self._ticket.first_byte(self._context.env.now)
        self._head = head
        self.on_body(body, complete)

    def on_body(self, data: bytes, complete: bool) -> None:
        self._body += data
        if len(self._body) > _MOST_BYTES:
            stream = self.stream
            self.stream = None
            if stream is not None:
                stream.give_up()
            self._ticket.settle_once(ABANDONED, self._context.env.now)
            self._tell(AuthVerdict(0, _NO_FIELDS, b"", "its answer is too long"))
            return
        head = self._head
        if not complete or head is None:
            return
        self.stream = None
        self._ticket.settle_once(DONE, self._context.env.now)
        if 200 <= head.status < 300:
            verdict = AuthVerdict(head.status, self._question.passed(head.fields), b"")
        elif head.status >= 500:
            verdict = AuthVerdict(0, _NO_FIELDS, b"", f"it answered {head.status}")
        else:
            told = [field for field in head.fields if field[0] in _TOLD]
            verdict = AuthVerdict(head.status, told, self._body)
        self._tell(verdict)

    def on_endpoint_failed(self, outcome: int, reason: str) -> None:
        self.stream = None
        if self._reused and self._head is None and outcome == RESET:
            self._reused = False
            self._connect()
            return
        self._ticket.settle_once(outcome, self._context.env.now)
        late = outcome == TIMEOUT
        why = "it did not answer in time" if late else f"it cannot be asked: {reason}"
        self._tell(AuthVerdict(0, _NO_FIELDS, b"", why))

    def on_unable(self, reason: str) -> None:
        self.on_endpoint_failed(ABANDONED, reason)

    def on_endpoint_drained(self) -> None:
        pass

    def on_crash(self) -> None:
        awaiter = self._awaiter
        self.give_up()
        if awaiter is not None:
            awaiter.on_crash()

    def _tell(self, verdict: AuthVerdict) -> None:
        keeps_s = self._question.spec.cache_s
        if keeps_s > 0.0 and verdict.status:
            until = self._context.env.now + keeps_s
            self._context.auth_verdicts.keep(self._question.digest, verdict, until)
        awaiter = self._awaiter
        self._awaiter = None
        if awaiter is not None:
            awaiter.on_auth(verdict)


def ask_auth(
    context: Context, question: AuthQuestion, request_id: bytes, awaiter: AuthAwaiter
) -> AuthCall | None:
    """A question under way; None when there is nobody to be asked."""
    pool = question.plan.pool
    pool.counters.came()
    endpoint = pool.pick(question.plan.request, context.env)
    if endpoint is None:
        pool.counters.bump(P_NO_ENDPOINT)
        return None
    assert isinstance(endpoint, LiveEndpoint)
    call = AuthCall(context, question, endpoint, request_id, awaiter)
    call.begin()
    return call
