"""A client's connection: HTTP/1.1 requests in, one at a time, and their responses out in order."""

from typing import Final

from penstock.core.ticket import ABANDONED, CLIENT_GONE
from penstock.dataplane.board.layout import (
    W_TLS_FAILURES,
    W_TLS_HANDSHAKES,
)
from penstock.dataplane.client.alike_heads import AlikeHeads
from penstock.dataplane.client.awaited_body import AwaitedBody
from penstock.dataplane.client.http1_body import IncomingBody
from penstock.dataplane.client.http1_stream import AWAIT, BODY, BUSY, LINGER, ClientStream
from penstock.dataplane.client.http2 import Http2Client
from penstock.dataplane.client.identity import header_of
from penstock.dataplane.client.own_answer import encoded
from penstock.dataplane.client.pending_head import PendingHead
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.exchange import Exchange
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.io.handed_stream import Handed
from penstock.dataplane.io.loop import READABLE
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.dataplane.route.plan import Plan
from penstock.wire.forwarding import (
    CHUNKED,
    CONTINUE,
    LENGTH,
    NO_BODY,
    UNTIL_CLOSE,
    Edit,
    ResponseRules,
    forwarded_response,
    interim_response,
    lacks_date,
    switched_response,
)
from penstock.wire.http1 import BadMessage, Field, RequestHead, ResponseHead
from penstock.wire.http2.codes import CLIENT_PREFACE
from penstock.wire.proxy_protocol import ProxyHeader

# Pipelined bytes taken in until the client has taken a response; the rest stays in the kernel.
_MAX_PIPELINED_BYTES: Final = 65536
# An idle connection forgets its last head after this long, to stay small.
_FORGET_AFTER_S: Final = 2.0
# How long a client that has just come may take to begin its first request when the worker stops.
_FIRST_REQUEST_S: Final = 1.0


class ClientConnection(ClientStream, Front):
    """One client. It owns the reading of requests; its exchange owns the response."""

    def __init__(
        self,
        context: Context,
        sock: Socket,
        tls: TlsChannel | None,
        address: str,
        settings: ClientSettings,
    ) -> None:
        super().__init__(context, sock, tls, address, settings)
        self.exchange: Exchange | None = None
        self.requests: int = 0
        self._head: RequestHead | None = None  # the last one, remembered with its plan
        self._plan: Plan | None = None
        self._alike: AlikeHeads | None = None  # to it
        self._pending: PendingHead | None = None  # a head that does not come in one piece
        self._body: IncomingBody | None = None  # that is under way
        self._awaited: AwaitedBody | None = None  # it is, and further ones
        self._idle_since: float = 0.0
        self._framing: int = LENGTH  # of the response under way
        self._told: bytes = b""  # further lines of its head
        self._advancing: bool = False

    # --- reading ----------------------------------------------------------------------------

    def on_readable(self) -> None:
        tls = self.tls
        if tls is not None and not tls.established:
            data = self._handshake(tls)
        else:
            data = self.receive()
        if data is None:
            return
        if data == b"":
            self._on_gone()
            return
        self.context.counters.bytes_from_clients += len(data)
        state = self._state
        if state == AWAIT and self.unsent is None:
            self._inbox = self._inbox + data if self._inbox else data
            self._advance()
        elif state == BODY:
            self._take_body(data)
        elif state != LINGER:  # an answer is under way, or not all taken yet
            self._inbox += data
            if len(self._inbox) > _MAX_PIPELINED_BYTES:
                self.pause_reading()
        else:
            self._left -= len(data)
            if self._left < 0:
                self.close()

    def begin_with(self, first: bytes) -> None:
        """The first bytes came behind the PROXY header, before this had the socket."""
        tls = self.tls
        data: bytes | None = first
        if tls is not None:
            data = self._after_handshake(tls, self.unseal(first))
        if data == b"":
            self._on_gone()
        elif data is not None:
            self.context.counters.bytes_from_clients += len(data)
            self._inbox = data
            self._advance()

    def _handshake(self, tls: TlsChannel) -> bytes | None:
        return self._after_handshake(tls, self.receive())

    def _after_handshake(self, tls: TlsChannel, data: bytes | None) -> bytes | None:
        if tls.established:
            self.context.counters.bump(W_TLS_HANDSHAKES)
            if self.settings.asks_certificates:
                self.certificate = tls.client_certificate(self.settings.tells_chain)
            self._arm(self.settings.headers_s)
            if tls.agreed_protocol() == "h2":
                self._speak_http2(data or b"")
                return None
        elif tls.failure:
            self.context.counters.bump(W_TLS_FAILURES)
            if tls.plaintext:
                self.tls = None
                self._inbox = tls.plaintext
                self._refuse(400, "plain HTTP came to a port that speaks TLS: write https://")
            else:
                self._refuse_handshake(tls.failure)
            return None
        return data

    def _advance(self) -> None:
        """Take requests out of the inbox while no exchange is under way."""
        if self._advancing:
            return
        self._advancing = True
        while self._inbox and self._state == AWAIT and self.open and self.unsent is None:
            if self.requests == 0 and self._begins_http2():
                break
            try:
                taken = self._take_request()
            except BadMessage as refusal:
                self._refuse(refusal.status, refusal.reason)
                break
            if not taken:
                break
        self._advancing = False

    def _begins_http2(self) -> bool:
        """Whether the client speaks HTTP/2 with prior knowledge (RFC 9113, 3.3)."""
        data = self._inbox
        if data[:1] != b"P" or not self.settings.http2 or self.tls is not None:
            return False
        size = len(data)
        if size < len(CLIENT_PREFACE):
            return CLIENT_PREFACE.startswith(data)  # more is to come
        if not data.startswith(CLIENT_PREFACE):
            return False
        self._inbox = b""
        self._speak_http2(data)
        return True

    def _speak_http2(self, data: bytes) -> None:
        client = Http2Client(self.context, self, self.address, self.settings)
        client.told = self.told
        client.certificate = self.certificate
        if data:
            client.take(data)

    def _take_request(self) -> bool:
        """Begin the exchange of the request at the head of the inbox; False if it is not whole."""
        data = self._inbox
        head = self._head
        plan = self._plan
        context = self.context
        planner = context.planner
        if head is None or not data.startswith(head.raw):
            known = head
            head = None
            if known is not None and plan is not None and self._pending is None:
                if self._alike is None:
                    self._alike = AlikeHeads(known, plan, planner.heeds_length)
                head = self._alike.head_of(data, self.settings)
            if head is None:
                head = self._parse(data)
                if head is None:
                    return False
                data = self._inbox
                self._plan = plan = None
                self._alike = None
            self._head = head
        if plan is None or plan.generation != planner.generation:
            scheme = "http" if self.tls is None else "https"
            plan = planner.plan(
                head, self.settings.listener, self.address, scheme, self.certificate
            )
            self._plan = plan
        self.deadline = 0.0
        self.requests += 1
        context.counters.requests += 1
        self._keep_alive = head.keep_alive
        self._response_bytes = 0
        length = head.length
        rest = data[length:] if len(data) > length else b""
        exchange = Exchange(context, self, head, plan)
        self.exchange = exchange
        if self._pending is not None:
            exchange.parse_s = exchange.began - self._pending.began
            self._pending = None
        body_bytes = head.content_length
        if len(rest) == body_bytes:  # as it comes mostly
            self._inbox = b""
            self._state = BUSY
            exchange.start(rest, True)
            return True
        if head.chunked or body_bytes > len(rest):
            self._inbox = b""
            self._begin_body(exchange, head, rest)
        else:
            body_bytes = max(body_bytes, 0)
            self._inbox = rest[body_bytes:]
            self._state = BUSY
            exchange.start(rest[:body_bytes], True)
        return True

    def _parse(self, data: bytes) -> RequestHead | None:
        """A head of these bytes; None when more must come. Raises BadMessage."""
        anew = data.startswith(b"\r\n")
        if anew:  # RFC 9112, 2.2: an empty line before a request is ignored
            data = data[2:]
            self._inbox = data
        pending = self._pending
        if pending is None:
            pending = PendingHead(self.settings, self.loop.env.now)
        head = pending.parse(data, anew)
        if head is None:
            self._pending = pending
            if self._idle_since > 0.0:
                self._idle_since = 0.0
                self._arm(self.settings.headers_s)  # total, from the first byte on
        return head

    # --- the body ---------------------------------------------------------------------------

    def _begin_body(self, exchange: Exchange, head: RequestHead, rest: bytes) -> None:
        body = IncomingBody(head, self.settings)
        self._body = body
        self._state = BODY
        awaited = self._awaited
        if awaited is None:
            awaited = self._awaited = AwaitedBody(self.settings)
        awaited.begin(head, rest)
        self._await_more_body()
        try:
            out = body.take(rest) if rest else b""
        except BadMessage as refusal:
            self._abandon(refusal.status, refusal.reason)
            return
        if body.whole:
            self._body_is_whole(body.rest)
        exchange.start(out, body.whole)

    def _await_more_body(self) -> None:
        """The client's turn, if it is."""
        awaited = self._awaited
        if self._state != BODY or awaited is None or not self.events & READABLE:
            return
        if not awaited.awaits_continue:
            self.deadline = awaited.due(self.loop.env.now)

    def continue_body(self) -> None:
        if self._awaited is not None:
            self._awaited.awaits_continue = False
        self._await_more_body()

    def _take_body(self, data: bytes) -> None:
        exchange = self.exchange
        awaited = self._awaited
        body = self._body
        if exchange is None or awaited is None or body is None:
            return
        now = self.loop.env.now
        awaited.came(len(data), now)
        try:
            out = body.take(data)
        except BadMessage as refusal:
            self._abandon(refusal.status, refusal.reason)
            return
        if body.whole:
            self._body_is_whole(body.rest)
        else:
            self.deadline = awaited.due(now)
        if out or body.whole:
            exchange.on_request_body(out, body.whole)

    def _body_is_whole(self, rest: bytes) -> None:
        self._body = None
        self._inbox = rest
        self._state = BUSY
        if self.unsent is None:
            self.deadline = 0.0
        else:  # an answer came before, and the client is to take it
            self._arm(self.settings.write_idle_s)

    # --- the response (Front) ---------------------------------------------------------------

    def frame(self, head: ResponseHead, rewritten: bool) -> bool:
        request = self._head
        assert request is not None
        status = head.status
        if request.bodiless or status == 204 or status == 304:
            self._framing = NO_BODY
        elif head.content_length >= 0 and not rewritten:
            self._framing = LENGTH
        elif request.minor == 1:
            self._framing = CHUNKED
            return True
        else:
            self._framing = UNTIL_CLOSE
        return False

    def tell(self, lines: bytes) -> None:
        self._told = lines

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
        request = self._head
        assert request is not None
        framing = self._framing
        if framing == UNTIL_CLOSE:
            self._keep_alive = False
        keep_alive = self._keeps_alive()
        # Built once for each distinct head; what it depends on besides is kept beside it.
        flags = decoded * 16 + framing * 4 + keep_alive * 2 + request.minor
        if head.rewritten_for is not rules or head.rewritten_flags != flags:
            head.rewritten = forwarded_response(
                head, framing, keep_alive, request.minor, rules, request_id, decoded
            )
            head.rewritten_for = rules
            head.rewritten_flags = flags
            head.lacks_date = lacks_date(head, rules)
        if head.lacks_date:
            request_id += self.context.date_line
        if cookie:
            request_id += b"\r\nSet-Cookie: " + cookie
        if self._told:
            request_id += self._told
            self._told = b""
        return self.write(b"%b%b\r\n\r\n%b" % (head.rewritten, request_id, body))

    def send_body(self, data: bytes) -> bool:
        # ``write``, without one more call for every chunk.
        size = len(data)
        self.context.counters.bytes_to_clients += size
        self._response_bytes += size
        if self.send(data):
            return True
        self._arm(self.settings.write_idle_s)
        return False

    def trailers(self, fields: list[Field]) -> None:
        """They come in the last chunk, where the body comes in chunks."""

    def interim(self, head: ResponseHead) -> None:
        self.write(interim_response(head))

    def switch(
        self,
        head: ResponseHead,
        protocol: bytes,
        rules: ResponseRules,
        request_id: bytes,
        cookie: bytes,
    ) -> Handed:
        lines = switched_response(head, protocol, rules, request_id) + request_id
        if lacks_date(head, rules):
            lines += self.context.date_line
        if cookie:
            lines += b"\r\nSet-Cookie: " + cookie
        self.write(lines + b"\r\n\r\n")
        self.exchange = None
        return self

    def take_received(self) -> bytes:
        received = self._inbox
        self._inbox = b""
        return received

    def send_continue(self) -> None:
        self.write(CONTINUE)
        self.continue_body()

    def answer(self, answer: Answer, request_id: bytes, edits: list[Edit]) -> None:
        request = self._head
        data = encoded(
            answer,
            self._keeps_alive(),
            self.context.date,
            without_body=request is not None and request.bodiless,
            request_id=request_id,
            edits=edits,
        )
        self._response_bytes = 0
        self.write(data)

    def proxy_header(self) -> ProxyHeader:
        return header_of(self, self.address, self.told, self.certificate)

    def response_bytes(self) -> int:
        return self._response_bytes

    def _keeps_alive(self) -> bool:
        """Whether the connection will take another request after this response."""
        limit = self.settings.requests
        if self._state != BUSY or self.context.stopping or (limit != 0 and self.requests >= limit):
            self._keep_alive = False
        return self._keep_alive

    def close_after(self) -> None:
        self._keep_alive = False

    def finish(self) -> None:
        self.exchange = None
        if self._state == BODY or not self._keep_alive:
            self._end_connection()
            return
        self._state = AWAIT
        if self.unsent is not None:
            return  # goes on when drained
        self._await_request()

    def cut(self, by_reset: bool) -> None:
        self.exchange = None
        if by_reset or self._framing == UNTIL_CLOSE:
            self.reset()
        else:
            self.tls = None  # what still waits is ciphertext already, and no farewell follows
            self._state = LINGER
            self._left = 0
            if self.unsent is None:
                self.close()

    def hold_body(self) -> None:
        self.pause_reading()
        if self._awaited is not None:
            self._awaited.hold(self.loop.env.now)
        if self.unsent is None:
            self.deadline = 0.0  # the endpoint's turn: its own timeout runs

    def take_body(self) -> None:
        if not self.events & READABLE:
            self.resume_reading()
            self._await_more_body()

    # --- ends -------------------------------------------------------------------------------

    def _await_request(self) -> None:
        if not self.events & READABLE:
            self.resume_reading()
        if self.context.stopping and not self._inbox:
            self._end_connection()
            return
        now = self.loop.env.now
        self._idle_since = now
        timeout = self.settings.keep_alive_s
        if self.requests == 1:
            self._forget()  # a client's second request tells that it is one that repeats itself
        elif timeout == 0.0 or timeout > _FORGET_AFTER_S:
            timeout = _FORGET_AFTER_S
        self.deadline = now + timeout if timeout > 0.0 else 0.0
        if self._inbox:
            self._advance()

    def on_drained(self) -> None:
        if self._state == LINGER:
            if self._left == 0:
                self.close()
            else:
                self._shut_down()
            return
        self.deadline = 0.0
        exchange = self.exchange
        if exchange is not None:
            self._await_more_body()
            exchange.on_client_drained()
        elif self._state == AWAIT:
            self._await_request()

    def on_progress(self) -> None:
        if self._state != LINGER:
            self._arm(self.settings.write_idle_s)

    def on_peer_closed(self) -> None:
        self._on_gone()

    def on_deadline(self) -> None:
        state = self._state
        settings = self.settings
        if self.unsent is not None and self.exchange is not None:
            self._cut_off(CLIENT_GONE, f"the client took nothing for {settings.write_idle_s:g} s")
        elif state == LINGER or self.unsent is not None:
            self.close()
        elif state == BODY:
            self._abandon(
                408,
                f"no byte of the body came for {settings.body_idle_s:g} s, or under "
                f"{settings.body_rate} bytes a second",
            )
        elif state == AWAIT and self._inbox and self._inbox != b"\r":  # half an empty line
            self._refuse(408, f"the headers took over {settings.headers_s:g} s")
        elif self._head is not None:
            self._forget()
            if settings.keep_alive_s > 0.0:
                self.deadline = max(self._idle_since + settings.keep_alive_s, self.loop.env.now)
            else:
                self.deadline = 0.0
        else:
            self.close_in_order()

    def on_crash(self) -> None:
        exchange = self.exchange
        try:
            if exchange is not None:
                exchange.on_crash()  # lets go of this connection, unless it had ended
        finally:
            if exchange is None or self.exchange is not None:
                self.exchange = None
                self.reset()

    def listener_gone(self, listener: str) -> None:
        if self.settings.listener == listener:
            self.distrust()

    def distrust(self) -> None:
        self.close_after()
        self.close_if_idle()

    def cut_off(self) -> None:
        """Time is up: what runs is given up."""
        self._cut_off(ABANDONED, "the balancer stopped, and its deadline passed")

    def _cut_off(self, outcome: int, why: str) -> None:
        """By a reset, so that no client can take what it has for the whole."""
        exchange = self.exchange
        self.exchange = None
        try:
            if exchange is not None:
                exchange.cut_off(outcome, why)
        finally:
            self.reset()

    def _forget(self) -> None:
        self._head = None
        self._alike = None
        self._plan = None

    def close_if_idle(self) -> None:
        """The worker stops: a client between two requests is let go, unless its next one is here.

        One that has just come is likely to be sending its first, and gets a moment for it.
        """
        if self._is_idle():
            self.on_readable()
        if not self.open or not self._is_idle():
            return
        if self.requests > 0:
            self.close_in_order()
        else:
            self._arm(_FIRST_REQUEST_S)

    def _is_idle(self) -> bool:
        return self._state == AWAIT and not self._inbox and self.unsent is None

    def _on_gone(self) -> None:
        """The client closed its connection, or its side of it: it waits for nothing any more."""
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.on_client_gone()
        if exchange is not None or self.unsent is not None:
            self._close_unfinished()
        else:
            self.close()

    def _close_unfinished(self) -> None:
        """A client that still reads must not take what it has of a response for the whole."""
        if self._framing == UNTIL_CLOSE:
            self.reset()
        else:
            self.close()

    def _abandon(self, status: int, reason: str) -> None:
        """The body under way is bad or late."""
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            answered = exchange.status != 0
            exchange.abandon(exchange.status or status, reason)
            if answered:
                self._close_unfinished()  # a second status cannot follow the first
            else:
                bodiless = exchange.head.bodiless
                own = exchange.own()
                told = own.bad_request(status, reason)
                self._answer_refusal(told, own.edits(), bodiless=bodiless)
