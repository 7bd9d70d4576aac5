"""One stream of a client's HTTP/2 connection, as the front of its exchange."""

from typing import Final

from penstock.core.ticket import CLIENT_GONE
from penstock.dataplane.board.layout import W_BAD_REQUESTS
from penstock.dataplane.client.awaited_body import AwaitedBody
from penstock.dataplane.client.http2_answer import build_block, fields_of_one
from penstock.dataplane.client.http2_host import Http2Host
from penstock.dataplane.client.http2_remembered import remembered
from penstock.dataplane.client.own_answer import answer_fields
from penstock.dataplane.client.refusing import log_refusal, refusal_page
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.exchange import Exchange
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.io.handed_stream import Handed, HandedStream, StreamKeeper, StreamUser
from penstock.dataplane.io.loop import report_bug
from penstock.wire.chunked import LAST_CHUNK, encode_chunk, last_chunk, passable_trailers
from penstock.wire.forwarding import Edit, ResponseRules, forwarded_fields, lacks_date
from penstock.wire.grpc import NOT_GRPC, grpc_kind
from penstock.wire.http1 import BadMessage, Field, RequestHead, ResponseHead, all_values
from penstock.wire.http2.codes import CANCEL, INTERNAL_ERROR, NO_ERROR
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.header_block import HeaderBlock, response_block, trailer_block
from penstock.wire.http2.heads import consent_block
from penstock.wire.http2.stream import NOBODY, Stream, StreamReceiver
from penstock.wire.http2.unsent import Unsent
from penstock.wire.proxy_protocol import ProxyHeader

_CONTINUE: Final = response_block(100, [])
_NOTHING_TOLD: Final[list[Field]] = []  # shared, never changed
_BODILESS: Final = frozenset((204, 304))
_LEAST_READ_BYTES: Final = 1024  # a client that gives room by the byte is not worth more calls


class Http2Stream(StreamReceiver, Front, StreamKeeper):
    """Its exchange owns the response; the codec owns windows and order."""

    exchange: Exchange | None = None
    deadline: float = 0.0  # the next of the two
    _send_until: float = 0.0  # the client: more of the body
    _take_until: float = 0.0  # the client: more of the response
    _awaited: AwaitedBody | None = None  # the body, if there is one
    _block: HeaderBlock | None = None
    _ended: bool = False  # the request is whole
    _begun: bool = False
    _over: bool = False
    _head: RequestHead | None = None
    _body: bytes = b""  # that came before the exchange began
    _told_behind: list[Field] | None = None  # trailers of the request
    _body_bytes: int = 0
    _held: bool = False  # the endpoint takes no more of the body, or nobody has it yet
    _unconsumed: int = 0
    _rewritten: bool = False  # the response's length is another than its head says
    _unsent: Unsent | None = None  # of the response, as the client's windows had no room for it
    _ends_after: bool = False  # the response ends with what is unsent
    _trailers: HeaderBlock | None = None  # of the response
    _response_bytes: int = 0
    _told: list[Field] = _NOTHING_TOLD  # further fields of the response's head
    _awaits_tunnel: bool = False  # what the client sends is for nobody before it has one
    _handed: HandedStream | None = None  # to a tunnel

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
        block = self._block
        assert block is not None
        # Content that came along with the head is none less of a body.
        bodiless = self._ended and self._body_bytes == 0
        try:
            known = remembered(block, bodiless, self.settings)
            head = known.head
            self._head = head
            self._check_length(head)
        except BadMessage as refusal:
            self._refuse(refusal.status, refusal.reason)
            return
        self.context.counters.requests += 1
        planner = self.context.planner
        plan = known.plan
        if plan is None or plan.generation != planner.generation:
            scheme = "https" if self.host.is_secure() else "http"
            certificate = self.host.shown_certificate()
            plan = planner.plan(head, self.settings.listener, self.address, scheme, certificate)
            known.plan = plan
        exchange = Exchange(self.context, self, head, plan)
        self.exchange = exchange
        body = self._body
        self._body = b""
        self._unconsumed = len(body)
        if self.host.is_short():
            self.fit()
        if head.extended_connect:
            self._begin_tunnel(exchange, body)
            return
        if not self._ended:
            self._awaited = AwaitedBody(self.settings)
            self._awaited.begin(head, body)
            self._await_body()
        limit = self.settings.body_bytes
        if limit and self._body_bytes > limit:
            self._abandon(exchange, 413, f"the body is over {limit} bytes")
            return
        try:
            exchange.start(self._framed(body), self._ended)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash(exchange)
        if self._ended or not self._held:
            self._consume()

    def _begin_tunnel(self, exchange: Exchange, begun: bytes) -> None:
        """The request is whole without its stream's end; what the client sends already is kept, as
        much as the stream's window lets it, until there is a tunnel."""
        self._awaits_tunnel = True
        self._body = begun
        try:
            exchange.start(b"", True)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash(exchange)

    def _check_length(self, head: RequestHead) -> None:
        limit = self.settings.body_bytes
        if limit and head.content_length > limit:
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
        if self._awaits_tunnel:
            self._body += data
            self._unconsumed += len(data)
            return
        limit = self.settings.body_bytes
        if limit and self._body_bytes > limit:
            self._abandon(exchange, 413, f"the body is over {limit} bytes")
            return
        if self._awaited is not None:
            self._awaited.came(len(data), self.context.env.now)
        self._await_body()
        self._unconsumed += len(data)
        try:
            exchange.on_request_body(self._framed(data), end)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash(exchange)
        if end or not self._held:  # one that is whole may be kept for long: others go on meanwhile
            self._consume()

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:
        """Behind a body whose length was told there is no place for them in HTTP/1.1: they are
        dropped, as they may be (RFC 9110, 6.5.1)."""
        self._told_behind = passable_trailers(block.fields, self.settings.taken_out)
        self.on_data(stream, b"", True)

    def _framed(self, data: bytes) -> bytes:
        """As exchanges pass bodies on: in chunks where no length was told."""
        head = self._head
        if head is None or not head.chunked:
            return data
        framed = encode_chunk(data) if data else b""
        if not self._ended:
            return framed
        trailers = self._told_behind
        return framed + (last_chunk(trailers) if trailers is not None else LAST_CHUNK)

    def _consume(self) -> None:
        """The client may send as much again as was passed on."""
        count = self._unconsumed
        self._unconsumed = 0
        if count:
            self.codec.consumed(self.stream, count)
            self.host.touch()

    def _await_body(self) -> None:
        """The client's turn, if it is: for the next piece, and at a rate over all of them."""
        awaited = self._awaited
        if awaited is None or self._ended or self._held or awaited.awaits_continue:
            self._send_until = 0.0
        else:
            self._send_until = awaited.due(self.context.env.now)
        self._tell_deadline()

    def _tell_deadline(self) -> None:
        deadline = self._send_until
        if self._take_until > 0.0 and (deadline == 0.0 or self._take_until < deadline):
            deadline = self._take_until
        self.deadline = deadline
        if deadline > 0.0:
            self.host.watch_until(deadline)

    def hold_body(self) -> None:
        self._held = True
        if self._awaited is not None:
            self._awaited.hold(self.context.env.now)
        self._await_body()

    def take_body(self) -> None:
        if self._held:
            self._held = False
            self._consume()
            self._await_body()

    def continue_body(self) -> None:
        if self._awaited is not None:
            self._awaited.awaits_continue = False
        self._await_body()

    # --- the response (Front) ---------------------------------------------------------------

    def frame(self, head: ResponseHead, rewritten: bool) -> bool:
        self._rewritten = rewritten
        return False

    def tell(self, lines: bytes) -> None:
        for line in lines.split(b"\r\n")[1:]:
            name, _, value = line.partition(b": ")
            self._told = [*self._told, (name, name, value)]

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
        flags = decoded * 2 + self._rewritten
        if head.block_for is not rules or head.block_flags != flags:
            build_block(head, rules, request_id, flags)
        block = head.rewritten_block
        assert isinstance(block, HeaderBlock)
        extra = fields_of_one(request_id, self.context.date if head.lacks_date else b"", cookie)
        if self._told:
            extra = extra + self._told
            self._told = _NOTHING_TOLD
        request = self._head
        assert request is not None
        bodiless = request.bodiless or head.status in _BODILESS
        ends = bodiless or (complete and not body)
        self._send_head(block, ends, extra)
        if ends or not body:
            return True
        return self._send(body, complete)

    def _send_head(self, block: HeaderBlock, ends: bool, extra: list[Field] | None) -> None:
        codec = self.codec
        before = codec.output_bytes
        codec.send_head(self.stream, block, ends, extra)
        self._response_bytes = codec.output_bytes - before
        self.host.touch()

    def send_body(self, data: bytes) -> bool:
        return self._send(data, False)

    def _send(self, data: bytes, end: bool) -> bool:
        self._response_bytes += len(data)
        self.host.touch()
        if self._unsent is not None:
            self._unsent.add(data)
            self._ends_after = end
            self.host.note_waiting(len(data))
            return False
        taken = self.codec.send_data(self.stream, data, end)
        if taken == len(data):
            if self.host.is_short():
                self.fit()
            return True
        self._unsent = Unsent(data, taken)
        self._ends_after = end
        self._await_taking()
        self.host.note_waiting(len(data) - taken)
        return False

    def _await_taking(self) -> None:
        """The client's turn: to take what is sent, or to make room for it."""
        timeout = self.settings.write_idle_s
        self._take_until = self.context.env.now + timeout if timeout > 0.0 else 0.0
        self._tell_deadline()

    def fit(self) -> None:
        """Too much waits on the connection: let no more be read than has room."""
        exchange = self.exchange
        user = self._user()
        room = self.host.room(self.stream)
        if user is not None:
            user.limit_other(_readable(room))
            return
        if exchange is None or self._unsent is not None:
            return  # it is told already
        if room > 0:
            self._take_until = 0.0
        elif self._take_until == 0.0:
            self._await_taking()
        self._limit_answer(exchange, _readable(room))

    def be_free(self) -> None:
        """There is room on the connection again."""
        user = self._user()
        if user is not None:
            user.limit_other(READ_BYTES)
            return
        exchange = self.exchange
        if exchange is None or self._unsent is not None:
            return
        self._take_until = 0.0
        self._tell_deadline()
        self._limit_answer(exchange, READ_BYTES)

    def _limit_answer(self, exchange: Exchange, most: int) -> None:
        try:
            exchange.limit_answer(most)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash(exchange)

    def on_room(self, stream: Stream) -> None:
        unsent = self._unsent
        if unsent is None:
            return
        taken = unsent.send(self.codec, stream, self._ends_after)
        if unsent.waiting():
            if taken:
                self._await_taking()
                self.host.note_waiting(-taken)
            return
        self._unsent = None
        self._take_until = 0.0
        self._tell_deadline()
        exchange = self.exchange
        if exchange is None:
            self._finish_stream()
        else:
            try:
                exchange.on_client_drained()
            except Exception:  # noqa: BLE001 - one stream's bug must not end the others
                self._crash(exchange)
        self.host.note_waiting(-taken)

    def trailers(self, fields: list[Field]) -> None:
        passable = passable_trailers(fields)
        self._trailers = trailer_block([(lower, lower, value) for lower, _, value in passable])

    def finish(self) -> None:
        self.exchange = None
        self._send_until = 0.0
        self._consume()
        if self._unsent is not None:
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
        block = self._block
        bodiless = block is not None and block.method == b"HEAD"
        body = b"" if bodiless or answer.status in _BODILESS else answer.body
        ends = not answer.trailers
        if not ends:
            self._trailers = trailer_block(answer.trailers)
        self._send_head(response_block(answer.status, fields), ends and not body, None)
        if body:
            self._send(body, ends)

    def switch(
        self,
        head: ResponseHead,
        protocol: bytes,
        rules: ResponseRules,
        request_id: bytes,
        cookie: bytes,
    ) -> Handed:
        date = self.context.date if lacks_date(head, rules) else b""
        extra = fields_of_one(request_id, date, cookie)
        block = consent_block(forwarded_fields(head, rules, request_id, False))
        self._send_head(block, False, extra)
        self.exchange = None
        handed = HandedStream(self.codec, self.stream, self)
        self._handed = handed
        return handed

    def take_received(self) -> bytes:
        received = self._body
        self._body = b""
        self._unconsumed = 0  # the tunnel gives it back
        return received

    # --- of a tunnel that goes on on it (StreamKeeper) ----------------------------------------

    def given(self) -> None:
        self.host.touch()
        if self.host.is_short():
            self.fit()

    def note_waiting(self, more: int) -> None:
        self.host.note_waiting(more)

    def look_at(self, at: float) -> None:
        self.deadline = at
        if at > 0.0:
            self.host.watch_until(at)

    def tunnel_over(self) -> None:
        self._handed = None
        self._let_go()

    def _user(self) -> StreamUser | None:
        handed = self._handed
        return handed.user if handed is not None else None

    def go_away(self) -> None:
        """The worker stops, and its deadline is near: a tunnel is asked to end."""
        user = self._user()
        if user is not None:
            user.go_away()

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
        user = self._user()
        if user is not None:
            self.deadline = 0.0
            user.run_out_of_time()
            return
        settings = self.settings
        now = self.context.env.now
        exchange = self.exchange
        if 0.0 < self._take_until <= now:
            # One whose own window is open may have waited for others, which had their turns.
            moved_until = self.host.progressed_at() + settings.write_idle_s
            if self.stream.send_window > 0 and moved_until > now:
                self._take_until = moved_until
                self._tell_deadline()
                return
            self.cut_off(CLIENT_GONE, f"the client took nothing for {settings.write_idle_s:g} s")
            self.codec.reset(self.stream, CANCEL)
        elif 0.0 < self._send_until <= now and exchange is not None:
            why = f"no byte of the body came for {settings.body_idle_s:g} s"
            self._abandon(exchange, 408, why)

    def cut_off(self, outcome: int, why: str) -> None:
        """We end it."""
        user = self._user()
        if user is not None:
            user.cut_off()
            return
        exchange = self.exchange
        self.exchange = None
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
            own = exchange.own()
            self._answer_refusal(own.bad_request(status, reason), own.edits())

    def _refuse(self, status: int, reason: str) -> None:
        """Answer a request that is none."""
        block = self._block
        fields: list[Field] = []
        if block is not None:
            line = b"%b %b HTTP/2" % (block.method, block.path)
            log_refusal(self.context, self.address, line, status, reason)
            fields = block.fields
        if grpc_kind(all_values(fields, b"content-type")) != NOT_GRPC:
            told = answers.refusal(status, reason)
        else:
            accepted = all_values(fields, b"accept")
            told = refusal_page(self.context, status, reason, accepted)
        self._answer_refusal(told, [])

    def _answer_refusal(self, told: Answer, edits: list[Edit]) -> None:
        self.context.counters.bump(W_BAD_REQUESTS)
        self.answer(told, b"", edits)
        self.finish()

    def _crash(self, exchange: Exchange) -> None:
        report_bug(f"while serving stream {self.stream.id} of {self.address}")
        exchange.on_crash()

    def _let_go(self) -> None:
        if self._over:
            return
        self._over = True
        self._consume()
        self._send_until = 0.0
        self._take_until = 0.0
        self.deadline = 0.0
        waiting = self._unsent.waiting() if self._unsent is not None else 0
        self._unsent = None
        self.host.touch()
        self.host.stream_over(self.stream)
        self.stream.receiver = NOBODY
        if waiting:
            self.host.note_waiting(-waiting)


def _readable(room: int) -> int:
    """How much of an answer is read at a time where there is so much room for it."""
    return min(max(room, _LEAST_READ_BYTES), READ_BYTES) if room > 0 else 0
