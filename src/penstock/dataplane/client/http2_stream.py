"""One stream of a client's HTTP/2 connection, as the front of its exchange."""

from typing import Final

from penstock.core.ticket import CLIENT_GONE
from penstock.dataplane.board.layout import W_BAD_REQUESTS
from penstock.dataplane.client.guarded_exchange import GuardedExchange
from penstock.dataplane.client.http2_content import IncomingContent
from penstock.dataplane.client.http2_host import Http2Host
from penstock.dataplane.client.http2_outgoing import OutgoingAnswer
from penstock.dataplane.client.http2_remembered import remembered
from penstock.dataplane.client.http2_tunnel import StreamTunnel, TunnelOpener, readable
from penstock.dataplane.client.refusing import refusal_of
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.exchange import Exchange
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.io.handed_stream import Handed
from penstock.wire.forwarding import Edit, ResponseRules
from penstock.wire.http1 import BadMessage, Field, RequestHead, ResponseHead
from penstock.wire.http2.codes import CANCEL, INTERNAL_ERROR, NO_ERROR
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.stream import NOBODY, Stream, StreamReceiver
from penstock.wire.proxy_protocol import ProxyHeader

_BODILESS: Final = frozenset((204, 304))


class Http2Stream(StreamReceiver, Front, TunnelOpener):
    """Its exchange owns the response; the codec owns windows and order."""

    exchange: GuardedExchange | None = None
    deadline: float = 0.0  # the next of its content's and its answer's
    _content: IncomingContent | None = None  # of the request, if it has any
    _block: HeaderBlock | None = None
    _begun: bool = False
    _over: bool = False
    _head: RequestHead | None = None
    _tunnel: StreamTunnel | None = None  # that goes on on it

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
        self._answer: OutgoingAnswer = OutgoingAnswer(context, host, stream, settings)

    # --- the request ------------------------------------------------------------------------

    def on_head(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        self._block = block
        if not end:
            self._content = IncomingContent(self.host, stream, self.settings)

    def begin(self) -> None:
        """All that came along with the head is there."""
        if self._over:
            return  # reset in the same breath
        self._begun = True
        block = self._block
        assert block is not None
        # Content that came along with the head is none less of a body.
        content = self._content
        bodiless = content is None or content.is_empty()
        try:
            known = remembered(block, bodiless, self.settings)
            head = known.head
            self._head = head
            limit = self.settings.body_bytes
            if limit and head.content_length > limit:
                raise BadMessage(413, f"the body is over {limit} bytes")
        except BadMessage as refusal:
            self._answer_refusal(refusal_of(self.context, self.address, block, refusal), [])
            return
        self.context.counters.requests += 1
        plan = known.planned(self.context, self.host, self.settings, self.address)
        exchange = Exchange(self.context, self, head, plan)
        guarded = self.exchange = GuardedExchange(exchange, self.stream, self.address)
        if content is not None:
            content.begin(head)
        if self.host.is_short():
            self.fit()
        if content is None or head.extended_connect:
            # One for a tunnel is whole without its stream's end; what the client sends already is
            # kept, as much as the stream's window lets it, until there is one.
            guarded.start(b"", True)
            return
        content.look_at(self.context.env.now)
        self._tell_deadline()
        if content.is_too_long():
            self._abandon_too_long(exchange)
            return
        guarded.start(content.framed(content.take_kept()), content.ended)
        if content.ended or not content.held:
            content.give_back()

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        content = self._content
        assert content is not None
        content.size += len(data)
        content.ended = end
        if not self._begun:
            content.keep(data)
            return
        exchange = self.exchange
        if exchange is None:
            self.codec.consumed(stream, len(data))
            return
        if self._head is not None and self._head.extended_connect:
            content.keep(data)
            content.note_unconsumed(len(data))
            return
        if content.is_too_long():
            self._abandon_too_long(exchange.exchange)
            return
        content.came(len(data), self.context.env.now)
        self._tell_deadline()
        exchange.on_request_body(content.framed(data), end)
        if end or not content.held:  # one that is whole may be kept long: others go on meanwhile
            content.give_back()

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:
        if self._content is not None:
            self._content.note_trailers(block.fields)
        self.on_data(stream, b"", True)

    def _tell_deadline(self) -> None:
        deadline = self._content.until if self._content is not None else 0.0
        until = self._answer.until
        if until > 0.0 and (deadline == 0.0 or until < deadline):
            deadline = until
        self.deadline = deadline
        if deadline > 0.0:
            self.host.watch_until(deadline)

    def hold_body(self) -> None:
        if self._content is not None:
            self._content.hold(self.context.env.now)
            self._tell_deadline()

    def take_body(self) -> None:
        if self._content is not None and self._content.held:
            self._content.go_on(self.context.env.now)
            self._tell_deadline()

    def continue_body(self) -> None:
        if self._content is not None:
            self._content.is_continued(self.context.env.now)
            self._tell_deadline()

    # --- the response (Front) ---------------------------------------------------------------

    def frame(self, head: ResponseHead, rewritten: bool) -> bool:
        self._answer.rewritten = rewritten
        return False

    def tell(self, lines: bytes) -> None:
        self._answer.tell(lines)

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
        ends = request.bodiless or head.status in _BODILESS or (complete and not body)
        self._answer.respond(head, rules, request_id, cookie, decoded, ends)
        if ends or not body:
            return True
        return self._send(body, complete)

    def send_body(self, data: bytes) -> bool:
        # ``_send``, without one more call for every chunk.
        if not self._answer.send(data, False):
            self._tell_deadline()
            return False
        if self.host.is_short():
            self.fit()
        return True

    def _send(self, data: bytes, end: bool) -> bool:
        if not self._answer.send(data, end):
            self._tell_deadline()
            return False
        if self.host.is_short():
            self.fit()
        return True

    def fit(self) -> None:
        """Too much waits on the connection: let no more be read than has room."""
        if self._tunnel is not None:
            self._tunnel.fit()
            return
        exchange = self.exchange
        answer = self._answer
        if exchange is None or answer.waits():
            return  # it is told already
        room = self.host.room(self.stream)
        if room > 0:
            answer.until = 0.0
        elif answer.until == 0.0:
            answer.await_taking()
            self._tell_deadline()
        exchange.limit_answer(readable(room))

    def be_free(self) -> None:
        """There is room on the connection again."""
        if self._tunnel is not None:
            self._tunnel.be_free()
            return
        exchange = self.exchange
        if exchange is None or self._answer.waits():
            return
        self._answer.until = 0.0
        self._tell_deadline()
        exchange.limit_answer(READ_BYTES)

    def on_room(self, stream: Stream) -> None:
        if not self._answer.waits():
            return
        left = self._answer.go_on()
        self._tell_deadline()
        exchange = self.exchange
        if not left:
            return
        if exchange is None:
            self._finish_stream()
        else:
            exchange.on_client_drained()

    def trailers(self, fields: list[Field]) -> None:
        self._answer.note_trailers(fields)

    def finish(self) -> None:
        self.exchange = None
        if self._content is not None:
            self._content.await_no_more()
        if self._answer.is_whole():
            self.deadline = 0.0
            self._finish_stream()

    def _finish_stream(self) -> None:
        """A client that still sends is told to stop (RFC 9113, 8.1)."""
        self._answer.finish()
        if self.stream.remote_open:
            self.codec.reset(self.stream, NO_ERROR)
        self._let_go()

    def interim(self, head: ResponseHead) -> None:
        self._answer.interim(head)

    def send_continue(self) -> None:
        self._answer.send_continue()
        self.continue_body()

    def answer(self, answer: Answer, request_id: bytes, edits: list[Edit]) -> None:
        block = self._block
        bodiless = block is not None and block.method == b"HEAD"
        body = b"" if bodiless or answer.status in _BODILESS else answer.body
        self._answer.begin_own(answer, request_id, edits, body)
        if body:
            self._send(body, not answer.trailers)

    def switch(
        self,
        head: ResponseHead,
        protocol: bytes,
        rules: ResponseRules,
        request_id: bytes,
        cookie: bytes,
    ) -> Handed:
        self._answer.consent(head, rules, request_id, cookie)
        self.exchange = None
        tunnel = self._tunnel = StreamTunnel(self.host, self.stream, self)
        return tunnel.hand_over()

    def take_received(self) -> bytes:
        return self._content.hand_over() if self._content is not None else b""

    def on_tunnel_due(self, at: float) -> None:
        self.deadline = at
        if at > 0.0:
            self.host.watch_until(at)

    def on_tunnel_over(self) -> None:
        self._tunnel = None
        self._let_go()

    def go_away(self) -> None:
        """The worker stops, and its deadline is near: a tunnel is asked to end."""
        if self._tunnel is not None:
            self._tunnel.go_away()

    def proxy_header(self) -> ProxyHeader:
        return self.host.proxy_header()

    def response_bytes(self) -> int:
        return self._answer.size

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
            exchange.on_client_gone()
        self._let_go()

    def run_out_of_time(self) -> None:
        """Its deadline passed."""
        if self._tunnel is not None:
            self.deadline = 0.0
            self._tunnel.run_out_of_time()
            return
        settings = self.settings
        now = self.context.env.now
        exchange = self.exchange
        answer = self._answer
        if 0.0 < answer.until <= now:
            # One whose own window is open may have waited for others, which had their turns.
            moved_until = self.host.progressed_at() + settings.write_idle_s
            if self.stream.send_window > 0 and moved_until > now:
                answer.until = moved_until
                self._tell_deadline()
                return
            self.cut_off(CLIENT_GONE, f"the client took nothing for {settings.write_idle_s:g} s")
            self.codec.reset(self.stream, CANCEL)
        elif exchange is not None and self._content is not None and self._content.is_late(now):
            why = f"no byte of the body came for {settings.body_idle_s:g} s"
            self._abandon(exchange.exchange, 408, why)

    def cut_off(self, outcome: int, why: str) -> None:
        """We end it."""
        if self._tunnel is not None and self._tunnel.cuts_off():
            return
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.exchange.cut_off(outcome, why)
        self._let_go()

    def _abandon_too_long(self, exchange: Exchange) -> None:
        self._abandon(exchange, 413, f"the body is over {self.settings.body_bytes} bytes")

    def _abandon(self, exchange: Exchange, status: int, reason: str) -> None:
        """The body under way is bad or late."""
        self.exchange = None
        answered = exchange.status != 0
        exchange.abandon(exchange.status or status, reason)
        if answered:
            self.codec.reset(self.stream, CANCEL)
            self._let_go()
        else:
            own = exchange.own()
            self._answer_refusal(own.bad_request(status, reason), own.edits())

    def _answer_refusal(self, told: Answer, edits: list[Edit]) -> None:
        self.context.counters.bump(W_BAD_REQUESTS)
        self.answer(told, b"", edits)
        self.finish()

    def _let_go(self) -> None:
        if self._over:
            return
        self._over = True
        self._tunnel = None
        if self._content is not None:
            self._content.await_no_more()
        self.deadline = 0.0
        self._answer.drop()
        self.host.touch()
        self.host.stream_over(self.stream)
        self.stream.receiver = NOBODY
