"""One request on an HTTP/2 connection to an endpoint."""

from typing import Final

from penstock.core.ticket import CONNECT_FAILED, RESET, TIMEOUT
from penstock.dataplane.endpoint.answer_credit import AnswerCredit
from penstock.dataplane.endpoint.guarded_sink import GuardedSink
from penstock.dataplane.endpoint.http2_asking import Asking
from penstock.dataplane.endpoint.http2_content import RequestContent
from penstock.dataplane.endpoint.http2_failures import why_late, why_reset
from penstock.dataplane.endpoint.http2_owner import Http2Owner, OwnedStream
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.io.handed_stream import Handed, HandedStream, StreamKeeper
from penstock.wire.chunked import LAST_CHUNK, encode_chunk, last_chunk, passable_trailers
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.grpc import format_timeout
from penstock.wire.http1 import Field, ResponseHead
from penstock.wire.http2.codes import CANCEL, REFUSED_STREAM
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.heads import GRPC_TIMEOUT, request_block_of, response_head_of
from penstock.wire.http2.stream import NOBODY, Stream, StreamReceiver
from penstock.wire.upgrade import Upgrade

_NO_TRAILERS: Final[list[Field]] = []
_REQUEST_ID: Final = b"x-request-id"


class Http2EndpointStream(StreamReceiver, EndpointStream, OwnedStream, StreamKeeper):
    """The codec owns windows and order; its sink is told what comes."""

    _deadline: float = 0.0
    _sink: GuardedSink | None = None
    _stream: Stream | None = None  # once its head was sent
    _expires_at: float = 0.0
    _content: RequestContent | None = None  # of the request, if it has any
    _complete: bool = False  # all of the request came
    _head: ResponseHead | None = None  # came, and is not passed on yet
    _first: bytes = b""  # of the body, that came along
    _ended: bool = False  # the response is whole
    _answered: bool = False
    _refused: bool = False  # the endpoint said that it did not process it
    _late: bool = False  # for the time that connecting may take
    _asking: Asking | None = None  # of one that asks for a change of protocol
    _handed: HandedStream | None = None  # to a tunnel

    def __init__(self, owner: Http2Owner, first: bool, peer: bytes) -> None:
        self._owner: Http2Owner = owner
        self._codec: Http2Connection = owner.http2()
        self._is_first: bool = first
        self._peer: bytes = peer
        self._credit: AnswerCredit = AnswerCredit(owner)

    # --- the request (EndpointStream) -------------------------------------------------------

    def await_connection(self, sink: ResponseSink, expires_at: float) -> None:
        self._sink = GuardedSink(sink, self)
        self._expires_at = expires_at

    def leave(self) -> ResponseSink | None:
        guarded = self._sink
        self._sink = None
        return guarded.sink if guarded is not None else None

    def expires_at(self) -> float:
        return self._expires_at

    def due_at(self) -> float:
        return self._deadline

    def on_connected(self) -> None:
        self._deadline = 0.0
        if self._sink is None:
            self._end_on_connection()
        else:
            self._sink.on_connected()

    def begin(
        self,
        sink: ResponseSink,
        bodiless: bool,
        expires_at: float,
        upgrade: Upgrade | None = None,
    ) -> None:
        self._sink = GuardedSink(sink, self)
        self._expires_at = expires_at
        self._asking = Asking(upgrade) if upgrade is not None else None

    def send_request(
        self, head: ForwardedHead, request_id: bytes, body: bytes, complete: bool
    ) -> bool:
        if self._asking is not None:
            self._ask(self._asking, head, request_id)
            return True
        codec = self._codec
        stream = codec.open(self)
        self._stream = stream
        self._complete = complete
        content: RequestContent | None = None
        payload = b""
        if body or not complete:
            content = self._content = RequestContent(head.chunked)
            payload = content.read(body, complete)
        block = request_block_of(head, self._owner.scheme())
        ends = complete and not payload and (content is None or content.ends())
        extra: list[Field] = [(_REQUEST_ID, _REQUEST_ID, request_id)]
        if head.has_grpc_timeout and self._expires_at > 0.0:
            left = format_timeout(self._expires_at - self._owner.now())
            extra.append((GRPC_TIMEOUT, GRPC_TIMEOUT, left))
        codec.send_head(stream, block, ends, extra)
        self._owner.touch()
        if content is None or ends or not (payload or complete):
            return True
        return self._send(stream, content, payload)

    def _ask(self, asking: Asking, head: ForwardedHead, request_id: bytes) -> None:
        codec = self._codec
        asking.head = head
        asking.request_id = request_id
        if codec.settings_received and codec.peer.connect_protocol:
            self.on_settings()
        else:
            self._owner.await_settings(self)

    def on_settings(self) -> None:
        asking = self._asking
        sink = self._sink
        if asking is None or asking.head is None or sink is None:
            return
        head = asking.head
        asking.head = None
        codec = self._codec
        if not codec.peer.connect_protocol:
            self._end_on_connection()
            self._sink = None
            self._deadline = 0.0
            sink.on_unable("it offers no extended CONNECT (RFC 8441), as WebSockets need")
            return
        if not codec.can_open():
            self._end_on_connection()
            self.turn_away()
            return
        stream = codec.open(self)
        self._stream = stream
        extra: list[Field] = [(_REQUEST_ID, _REQUEST_ID, asking.request_id)]
        codec.send_head(stream, request_block_of(head, self._owner.scheme()), False, extra)
        self._owner.touch()

    def send_more(self, data: bytes, complete: bool) -> None:
        stream = self._stream
        content = self._content
        if stream is None or content is None:
            return
        self._complete = complete
        payload = content.read(data, complete)
        if payload or complete:
            self._send(stream, content, payload)

    def _send(self, stream: Stream, content: RequestContent, payload: bytes) -> bool:
        self._owner.count_sent(len(payload))
        self._owner.touch()
        return content.send(self._codec, stream, payload)

    def on_room(self, stream: Stream) -> None:
        content = self._content
        if content is None or not content.go_on(self._codec, stream):
            return
        if self._sink is not None:
            self._sink.on_drained()

    def is_full(self) -> bool:
        return self._content is not None and self._content.waiting() > 0

    def waiting_bytes(self) -> int:
        return self._content.waiting() if self._content is not None else 0

    def arm(self, timeout: float) -> None:
        at = self._owner.now() + timeout if timeout > 0.0 else 0.0
        expires = self._expires_at
        if expires > 0.0 and (at == 0.0 or expires < at):
            at = expires
        self._deadline = at
        if at > 0.0:
            self._owner.look_at(at)

    def take_answer(self, takes: bool) -> bool:
        return self._credit.hold(self._stream, not takes)

    def limit_reading(self, most: int) -> None:
        """What comes is bounded by the stream's window, which is the same for all."""

    def give_up(self) -> None:
        self._sink = None
        stream = self._stream
        if stream is not None and not (self._ended and self._complete):
            self._codec.reset(stream, CANCEL)
            self._owner.touch()
        self._end_on_connection()

    def peer(self) -> bytes:
        return self._peer

    def is_first(self) -> bool:
        return self._is_first

    def was_reused(self) -> bool:
        return False

    def was_answered(self) -> bool:
        return self._answered

    def ran_out_of_time(self) -> bool:
        return self._late

    def never_arrived(self) -> bool:
        return self._refused

    def hand_over(self) -> Handed:
        stream = self._stream
        assert stream is not None
        self._sink = None
        self._deadline = 0.0
        handed = HandedStream(self._codec, stream, self)
        self._handed = handed
        return handed

    # --- of a tunnel that goes on on it (StreamKeeper) ----------------------------------------

    def given(self) -> None:
        self._owner.touch()

    def note_waiting(self, more: int) -> None:
        """At most one read's worth of the client waits, and less than its window."""

    def look_at(self, at: float) -> None:
        """The client's side times tunnels."""

    def tunnel_over(self) -> None:
        self._handed = None
        self._end_on_connection()

    # --- the response -----------------------------------------------------------------------

    def on_interim(self, stream: Stream, block: HeaderBlock) -> None:
        self._answered = True
        if self._sink is not None:
            self._sink.on_interim(response_head_of(block))

    def on_head(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        self._answered = True
        self._ended = end
        if self._asking is not None and block.status < 300:
            self._asking.agreed = block
        self._head = response_head_of(block)
        self._owner.will_answer(self)

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        self._ended = end
        if self._head is not None:
            self._first = self._first + data if self._first else data
            return
        self._pass_on(data, _NO_TRAILERS)

    def on_trailers(self, stream: Stream, block: HeaderBlock) -> None:
        self._ended = True
        sink = self._sink
        if sink is None:
            return
        if self._head is not None:
            if not self._first and sink.drops(self._head, block.fields):
                return
            self._answer_now(sink, False)
        # Before the body's end, which they are part of.
        if sink.on_trailers(block.fields):
            self._pass_on(b"", passable_trailers(block.fields))

    def answer(self) -> None:
        sink = self._sink
        if sink is None:
            return
        consent = self._asking.take_consent() if self._asking is not None else None
        if consent is not None:
            self._switch(sink, consent)
        elif self._head is not None:
            self._answer_now(sink, self._ended)

    def _switch(self, sink: GuardedSink, head: ResponseHead) -> None:
        rest = self._first
        self._head = None
        self._first = b""
        sink.on_switched(head, rest)

    def _answer_now(self, sink: GuardedSink, complete: bool) -> None:
        head = self._head
        assert head is not None
        self._head = None
        body = self._first
        self._first = b""
        size = len(body)
        if complete:
            self._sink = None
        elif not self._credit.held:
            self.arm(self._owner.stream_idle_s())
        if not sink.frames(head):
            return
        if sink.in_chunks:
            body = encode_chunk(body) if body else b""
            if complete:
                body += LAST_CHUNK
        if not sink.on_response(head, body, complete):
            return
        stream = self._stream
        if stream is not None:
            self._credit.passed_on(stream, size)
        if complete:
            self._done()

    def _pass_on(self, data: bytes, trailers: list[Field]) -> None:
        sink = self._sink
        stream = self._stream
        if sink is None or stream is None:
            return
        complete = self._ended
        size = len(data)
        if complete:
            self._sink = None
        elif not self._credit.held:  # else it is the client's turn
            self.arm(self._owner.stream_idle_s())
        if sink.in_chunks:
            data = encode_chunk(data) if data else b""
            if complete:
                data = data + last_chunk(trailers)
        if not sink.on_body(data, complete):
            return
        self._credit.passed_on(stream, size)
        if complete:
            self._done()

    def _done(self) -> None:
        """The response is whole. What is left of the request nobody reads (RFC 9113, 8.1)."""
        stream = self._stream
        if stream is not None and not self._complete:
            self._codec.reset(stream, CANCEL)
        self._deadline = 0.0
        self._end_on_connection()

    # --- ends -------------------------------------------------------------------------------

    def _end_on_connection(self) -> None:
        """It is over, as far as its connection is concerned."""
        stream = self._stream
        if stream is not None:
            stream.receiver = NOBODY
        self._owner.stream_over(self)

    def on_reset(self, stream: Stream, code: int) -> None:
        if self._head is not None and self._ended:
            return  # it answered whole before; ``answer`` follows
        self._refused = code == REFUSED_STREAM
        self._end_on_connection()
        if self._refused:
            self._owner.on_refused()
        self.fail(RESET, why_reset(code))

    def turn_away(self) -> None:
        self._refused = True
        self.fail(RESET, "the endpoint takes no further streams on that connection")

    def fail(self, outcome: int, reason: str, *, late: bool = False) -> None:
        self._late = late
        handed = self._handed
        if handed is not None and handed.user is not None:
            handed.user.cut_off()
            return
        sink = self._sink
        self._sink = None
        if sink is not None:
            sink.on_failed(outcome, reason)

    def run_out_of_time(self) -> None:
        self._deadline = 0.0
        stream = self._stream
        if stream is not None:
            self._codec.reset(stream, CANCEL)
            self._owner.touch()
        self._end_on_connection()
        expired = 0.0 < self._expires_at <= self._owner.now()
        if stream is None and self._asking is None and not expired:
            why = "it did not say in time how many streams it takes (SETTINGS)"
            self.fail(CONNECT_FAILED, why, late=True)
        else:
            self.fail(TIMEOUT, why_late(expired, self._answered))
