"""One stream of a client's HTTP/2 connection, as the front of its exchange."""

from typing import Final

from mypy_extensions import trait

from penstock.core.ticket import CLIENT_GONE
from penstock.dataplane.board.layout import W_BAD_REQUESTS, W_REQUESTS
from penstock.dataplane.client.own_answer import answer_fields
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.exchange import Exchange
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.log_line import refusal_line
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import report_bug
from penstock.dataplane.route.plan import Plan
from penstock.wire.api_family import OPENAI
from penstock.wire.chunked import LAST_CHUNK, encode_chunk
from penstock.wire.forwarding import Edit, ResponseRules, forwarded_fields, lacks_date
from penstock.wire.http1 import BadMessage, Field, RequestHead, ResponseHead
from penstock.wire.http2.codes import CANCEL, INTERNAL_ERROR, NO_ERROR
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.header_block import HeaderBlock, response_block, trailer_block
from penstock.wire.http2.request_head import request_head_of
from penstock.wire.http2.stream import Stream, StreamReceiver
from penstock.wire.proxy_protocol import ProxyHeader

_CONTINUE: Final = response_block(100, [])
_BODILESS: Final = frozenset((204, 304))


@trait
class Http2Host:
    """The connection that a stream belongs to."""

    def http2(self) -> Http2Connection:
        """Its codec."""
        raise NotImplementedError

    def touch(self) -> None:
        """Something is to be sent."""
        raise NotImplementedError

    def arm(self, timeout: float) -> float:
        """Have ``run_out_of_time`` called after so many seconds; when that is, 0.0 for never."""
        raise NotImplementedError

    def stream_over(self, stream: Stream) -> None:
        """Nothing is left to be done on it."""
        raise NotImplementedError

    def is_secure(self) -> bool:
        """Whether the client speaks TLS."""
        raise NotImplementedError

    def proxy_header(self) -> ProxyHeader:
        """What a PROXY header tells an endpoint of the connection."""
        raise NotImplementedError


class _Remembered:
    """What a header block decides, made once for all streams that begin with the same octets."""

    def __init__(self, head: RequestHead) -> None:
        self.head: RequestHead = head
        self.plan: Plan | None = None


class _RememberedPair:
    """The same block with a body behind it, and without."""

    with_body: _Remembered | None = None
    without: _Remembered | None = None


class Http2Stream(StreamReceiver, Front):
    """Its exchange owns the response; the codec owns windows and order."""

    exchange: Exchange | None = None
    deadline: float = 0.0  # for the client to send, or to take
    _block: HeaderBlock | None = None
    _ended: bool = False  # the request is whole
    _begun: bool = False
    _over: bool = False
    _head: RequestHead | None = None
    _body: bytes = b""  # that came before the exchange began
    _body_bytes: int = 0
    _held: bool = False  # the endpoint takes no more of the body
    _unconsumed: int = 0
    _rewritten: bool = False  # the response's length is another than its head says
    _pending: bytes = b""  # of the response, which the client's windows had no room for
    _pending_at: int = 0
    _ends_after: bool = False  # the response ends with what is pending
    _trailers: HeaderBlock | None = None  # of the response
    _response_bytes: int = 0

    def __init__(
        self,
        context: Context,
        host: Http2Host,
        stream: Stream,
        settings: ClientSettings,
        address: str,
    ) -> None:
        self.context: Context = context
        self.host: Http2Host = host
        self.codec: Http2Connection = host.http2()
        self.stream: Stream = stream
        self.settings: ClientSettings = settings
        self.address: str = address

    # --- the request ------------------------------------------------------------------------

    def on_head(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        self._block = block
        self._ended = end

    def begin(self) -> None:
        """All that came along with the head is there."""
        if self._over:
            return  # reset in the same breath
        self._begun = True
        self.context.counters.values[W_REQUESTS] += 1
        try:
            remembered = self._remembered()
            head = remembered.head
            self._head = head
            self._check_size(head)
        except BadMessage as refusal:
            self._refuse(refusal.status, refusal.reason)
            return
        planner = self.context.planner
        plan = remembered.plan
        if plan is None or plan.generation != planner.generation:
            scheme = "https" if self.host.is_secure() else "http"
            plan = planner.plan(head, self.settings.listener, self.address, scheme)
            remembered.plan = plan
        exchange = Exchange(self.context, self, head, plan)
        self.exchange = exchange
        body = self._body
        self._body = b""
        if not self._ended:
            self._await_body()
        try:
            exchange.start(self._framed(body), self._ended)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash(exchange)
        self._consume(len(body))

    def _remembered(self) -> _Remembered:
        block = self._block
        assert block is not None
        pair = block.derived
        if not isinstance(pair, _RememberedPair):
            pair = _RememberedPair()
            block.derived = pair
        # Content that came along with the head is none less of a body.
        bodiless = self._ended and self._body_bytes == 0
        found = pair.without if bodiless else pair.with_body
        if found is None:
            settings = self.settings
            head = request_head_of(block, bodiless, settings.target_bytes, settings.merge_slashes)
            found = _Remembered(head)
            if bodiless:
                pair.without = found
            else:
                pair.with_body = found
        return found

    def _check_size(self, head: RequestHead) -> None:
        limit = self.settings.body_bytes
        if limit and max(head.content_length, self._body_bytes) > limit:
            raise BadMessage(413, f"the body is over {limit} bytes")

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        self._body_bytes += len(data)
        self._ended = end
        if not self._begun:
            self._body = self._body + data if self._body else data
            return
        exchange = self.exchange
        if exchange is None:
            self.codec.consumed(stream, len(data))
            return
        head = self._head
        assert head is not None
        try:
            self._check_size(head)
        except BadMessage as refusal:
            self._abandon(exchange, refusal.status, refusal.reason)
            return
        if end:
            self.deadline = 0.0
        else:
            self._await_body()
        self._unconsumed += len(data)
        try:
            exchange.on_request_body(self._framed(data), end)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash(exchange)
        if not self._held:
            self._consume(0)

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:
        self.on_data(stream, b"", True)

    def _framed(self, data: bytes) -> bytes:
        """As exchanges pass bodies on: in chunks where no length was told."""
        head = self._head
        if head is None or not head.chunked:
            return data
        framed = encode_chunk(data) if data else b""
        return framed + LAST_CHUNK if self._ended else framed

    def _consume(self, more: int) -> None:
        """The client may send as much again as was passed on."""
        count = self._unconsumed + more
        self._unconsumed = 0
        if count:
            self.codec.consumed(self.stream, count)
            self.host.touch()

    def _await_body(self) -> None:
        self.deadline = self.host.arm(self.settings.body_idle_s)

    def hold_body(self) -> None:
        self._held = True
        if not self._pending:
            self.deadline = 0.0

    def take_body(self) -> None:
        if self._held:
            self._held = False
            self._consume(0)
            self._await_body()

    def continue_body(self) -> None:
        self._await_body()

    # --- the response (Front) ---------------------------------------------------------------

    def frame(self, head: ResponseHead, rewritten: bool) -> bool:
        self._rewritten = rewritten
        return False

    def respond(
        self,
        head: ResponseHead,
        rules: ResponseRules,
        request_id: bytes,
        cookie: bytes,
        decoded: bool,
        body: bytes,
        complete: bool,
    ) -> bool:
        # Built once for each distinct head, as HTTP/1.1's.
        flags = decoded * 2 + self._rewritten
        if head.block_for is not rules or head.block_flags != flags:
            fields = forwarded_fields(head, rules, request_id, decoded)
            if head.content_length >= 0 and head.status != 204 and not self._rewritten:
                length = b"%d" % head.content_length
                fields.append((b"content-length", b"content-length", length))
            head.rewritten_block = response_block(head.status, fields)
            head.block_for = rules
            head.block_flags = flags
            head.lacks_date = lacks_date(head, rules)
        block = head.rewritten_block
        assert isinstance(block, HeaderBlock)
        extra: list[Field] = [(b"x-request-id", b"x-request-id", request_id)]
        if head.lacks_date:
            extra.append((b"date", b"date", self.context.date))
        if cookie:
            extra.append((b"set-cookie", b"set-cookie", cookie))
        request = self._head
        assert request is not None
        bodiless = request.bodiless or head.status in _BODILESS
        ends = bodiless or (complete and not body)
        self.codec.send_head(self.stream, block, ends, extra)
        self.host.touch()
        if ends or not body:
            return True
        return self._send(body, complete)

    def send_body(self, data: bytes) -> bool:
        return self._send(data, False)

    def _send(self, data: bytes, end: bool) -> bool:
        self._response_bytes += len(data)
        self.host.touch()
        if self._pending:
            self._pending = self._pending[self._pending_at :] + data
            self._pending_at = 0
            self._ends_after = end
            return False
        taken = self.codec.send_data(self.stream, data, end)
        if taken == len(data):
            return True
        self._pending = data
        self._pending_at = taken
        self._ends_after = end
        self.deadline = self.host.arm(self.settings.write_idle_s)
        return False

    def on_room(self, stream: Stream) -> None:
        pending = self._pending
        if not pending:
            return
        at = self._pending_at
        taken = self.codec.send_data(stream, pending, self._ends_after, at)
        if at + taken < len(pending):
            self._pending_at = at + taken
            if taken:
                self.deadline = self.host.arm(self.settings.write_idle_s)
            return
        self._pending = b""
        self._pending_at = 0
        self.deadline = 0.0
        exchange = self.exchange
        if exchange is None:
            self._finish_stream()
            return
        try:
            exchange.on_client_drained()
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash(exchange)

    def trailers(self, fields: list[Field]) -> None:
        self._trailers = trailer_block([(lower, lower, value) for lower, _, value in fields])

    def finish(self) -> None:
        self.exchange = None
        if self._pending:
            self._ends_after = self._trailers is None
            return
        self.deadline = 0.0
        self._finish_stream()

    def _finish_stream(self) -> None:
        trailers = self._trailers
        if trailers is not None:
            self.codec.send_trailers(self.stream, trailers)
        elif self.stream.local_open:
            self.codec.send_data(self.stream, b"", True)
        self.host.touch()
        self._conclude()

    def _conclude(self) -> None:
        """The response has left: a client that still sends is told to stop (RFC 9113, 8.1)."""
        if self.stream.remote_open:
            self.codec.reset(self.stream, NO_ERROR)
        self._let_go()

    def interim(self, head: ResponseHead) -> None:
        fields = [field for field in head.fields if field[0] not in head.connection]
        self.codec.send_interim(self.stream, response_block(head.status, fields))
        self.host.touch()

    def send_continue(self) -> None:
        self.codec.send_interim(self.stream, _CONTINUE)
        self.host.touch()
        self.continue_body()

    def answer(self, answer: Answer, request_id: bytes, edits: list[Edit]) -> None:
        fields = answer_fields(answer, self.context.date, request_id, edits)
        head = self._head
        bodiless = head is not None and head.bodiless
        body = b"" if bodiless or answer.status in _BODILESS else answer.body
        self._response_bytes = 0
        self.codec.send_head(self.stream, response_block(answer.status, fields), not body)
        if body:
            self._send(body, True)
        self.host.touch()

    def switch(
        self,
        head: ResponseHead,
        protocol: bytes,
        rules: ResponseRules,
        request_id: bytes,
        cookie: bytes,
    ) -> Connection:
        raise NotImplementedError("HTTP/2 has no Upgrade")

    def take_received(self) -> bytes:
        return b""

    def proxy_header(self) -> ProxyHeader:
        return self.host.proxy_header()

    def response_bytes(self) -> int:
        return self._response_bytes

    def close_after(self) -> None:
        """A stream's bug says nothing of the others."""

    def cut(self, by_reset: bool) -> None:
        self.exchange = None
        self.codec.reset(self.stream, INTERNAL_ERROR)
        self._let_go()

    # --- ends -------------------------------------------------------------------------------

    def on_reset(self, stream: Stream, code: int) -> None:
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            try:
                exchange.on_client_gone()
            except Exception:  # noqa: BLE001 - one stream's bug must not end the others
                report_bug(f"as stream {stream.id} of {self.address} was reset")
        self._let_go()

    def run_out_of_time(self) -> None:
        """Its deadline passed."""
        settings = self.settings
        self.deadline = 0.0
        exchange = self.exchange
        if self._pending:
            self.cut_off(CLIENT_GONE, f"the client took nothing for {settings.write_idle_s:g} s")
            self.codec.reset(self.stream, CANCEL)
        elif exchange is not None and not self._ended:
            why = f"no byte of the body came for {settings.body_idle_s:g} s"
            self._abandon(exchange, 408, why)

    def cut_off(self, outcome: int, why: str) -> None:
        """We end it."""
        exchange = self.exchange
        self.exchange = None
        self._pending = b""
        if exchange is not None:
            exchange.cut_off(outcome, why)
        self._let_go()

    def _abandon(self, exchange: Exchange, status: int, reason: str) -> None:
        """The body under way is bad or late."""
        self.exchange = None
        answered = exchange.status != 0
        exchange.abandon(exchange.status or status, reason)
        if answered:
            self.codec.reset(self.stream, CANCEL)
            self._let_go()
        else:
            self._answer_refusal(status, reason, exchange.family(), exchange.own_edits())

    def _refuse(self, status: int, reason: str) -> None:
        """Answer a request that is none."""
        log = self.context.log
        block = self._block
        if log.enabled and block is not None:
            line = b"%b %b HTTP/2" % (block.method, block.path)
            log.write(refusal_line(self.address, line, status, reason))
        self._answer_refusal(status, reason)

    def _answer_refusal(
        self, status: int, reason: str, family: int = OPENAI, edits: list[Edit] | None = None
    ) -> None:
        self.context.counters.bump(W_BAD_REQUESTS)
        self.answer(answers.refusal(status, reason, family=family), b"", edits or [])
        self.finish()

    def _crash(self, exchange: Exchange) -> None:
        report_bug(f"while serving stream {self.stream.id} of {self.address}")
        exchange.on_crash()

    def _let_go(self) -> None:
        self._over = True
        self.deadline = 0.0
        self._pending = b""
        self.host.touch()
        self.host.stream_over(self.stream)
