"""The answer on a client's HTTP/2 stream, as its windows have room for it."""

from typing import Final

from penstock.dataplane.client.http2_answer import build_block, fields_of_one
from penstock.dataplane.client.http2_host import Http2Host
from penstock.dataplane.client.own_answer import answer_fields
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.wire.chunked import passable_trailers
from penstock.wire.forwarding import Edit, ResponseRules, forwarded_fields, lacks_date
from penstock.wire.http1 import Field, ResponseHead
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.header_block import HeaderBlock, response_block, trailer_block
from penstock.wire.http2.heads import consent_block
from penstock.wire.http2.stream import Stream
from penstock.wire.http2.unsent import Unsent

_CONTINUE: Final = response_block(100, [])
_NOTHING_TOLD: Final[list[Field]] = []  # shared, never changed


class OutgoingAnswer:
    """Of one stream. What has no room waits here, and counts with its connection."""

    until: float = 0.0  # the client is to have taken something, or made room for it; 0.0: any time
    size: int = 0  # of what was given to the codec, or waits
    trailers: HeaderBlock | None = None
    rewritten: bool = False  # its length is another than its head says
    _told: list[Field] = _NOTHING_TOLD  # further fields of its head
    _unsent: Unsent | None = None
    _ends_after: bool = False  # with what is unsent

    def __init__(
        self, context: Context, host: Http2Host, stream: Stream, settings: ClientSettings
    ) -> None:
        self._context: Context = context
        self._host: Http2Host = host
        self._codec: Http2Connection = host.http2()
        self._stream: Stream = stream
        self._settings: ClientSettings = settings

    # --- its head ---------------------------------------------------------------------------

    def tell(self, lines: bytes) -> None:
        """Its head has these field lines too, each with its line's end before it."""
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
        ends: bool,
    ) -> None:
        """The head of an endpoint's answer, as of ``Front.respond``. ``ends``: nothing follows."""
        flags = decoded * 2 + self.rewritten
        if head.block_for is not rules or head.block_flags != flags:
            build_block(head, rules, request_id, flags)
        block = head.rewritten_block
        assert isinstance(block, HeaderBlock)
        date = self._context.date if head.lacks_date else b""
        extra = fields_of_one(request_id, date, cookie)
        if self._told:
            extra = extra + self._told
            self._told = _NOTHING_TOLD
        self._send_head(block, ends, extra)

    def begin_own(self, answer: Answer, request_id: bytes, edits: list[Edit], body: bytes) -> None:
        """The head of an answer of our own, which that body follows."""
        fields = answer_fields(answer, self._context.date, request_id, edits)
        if answer.trailers:
            self.trailers = trailer_block(answer.trailers)
        ends = not answer.trailers and not body
        self._send_head(response_block(answer.status, fields), ends, None)

    def consent(
        self, head: ResponseHead, rules: ResponseRules, request_id: bytes, cookie: bytes
    ) -> None:
        """The protocol changes: a tunnel goes on on the stream."""
        date = self._context.date if lacks_date(head, rules) else b""
        extra = fields_of_one(request_id, date, cookie)
        block = consent_block(forwarded_fields(head, rules, request_id, False))
        self._send_head(block, False, extra)

    def interim(self, head: ResponseHead) -> None:
        """A 1xx head before it."""
        fields = [field for field in head.fields if field[0] not in head.connection]
        self._codec.send_interim(self._stream, response_block(head.status, fields))
        self._host.touch()

    def send_continue(self) -> None:
        """A 100 of our own."""
        self._codec.send_interim(self._stream, _CONTINUE)
        self._host.touch()

    def _send_head(self, block: HeaderBlock, ends: bool, extra: list[Field] | None) -> None:
        codec = self._codec
        before = codec.output_bytes
        codec.send_head(self._stream, block, ends, extra)
        self.size = codec.output_bytes - before
        self._host.touch()

    # --- its content ------------------------------------------------------------------------

    def note_trailers(self, fields: list[Field]) -> None:
        """They come behind it."""
        passable = passable_trailers(fields)
        self.trailers = trailer_block([(lower, lower, value) for lower, _, value in passable])

    def send(self, data: bytes, end: bool) -> bool:
        """More of its content; False where some of it waits."""
        self.size += len(data)
        self._host.touch()
        if self._unsent is not None:
            self._unsent.add(data)
            self._ends_after = end
            self._host.note_waiting(len(data))
            return False
        taken = self._codec.send_data(self._stream, data, end)
        if taken == len(data):
            return True
        self._unsent = Unsent(data, taken)
        self._ends_after = end
        self.await_taking()
        self._host.note_waiting(len(data) - taken)
        return False

    def await_taking(self) -> None:
        """The client's turn: to take what is sent, or to make room for it."""
        timeout = self._settings.write_idle_s
        self.until = self._context.env.now + timeout if timeout > 0.0 else 0.0

    def waits(self) -> bool:
        """Whether some of it has no room."""
        return self._unsent is not None

    def go_on(self) -> bool:
        """There is room for what waits; whether nothing waits any more."""
        unsent = self._unsent
        if unsent is None:
            return False
        taken = unsent.send(self._codec, self._stream, self._ends_after)
        waits = unsent.waiting() > 0
        if not waits:
            self._unsent = None
            self.until = 0.0
        elif taken:
            self.await_taking()
        if taken:
            self._host.note_waiting(-taken)
        return not waits

    def is_whole(self) -> bool:
        """All of its content was given; whether that has left."""
        if self._unsent is not None:
            self._ends_after = self.trailers is None
            return False
        return True

    def finish(self) -> None:
        """Say that it is whole, by its trailers where it has any."""
        if self.trailers is not None:
            self._codec.send_trailers(self._stream, self.trailers)
        elif self._stream.local_open:
            self._codec.send_data(self._stream, b"", True)
        self._host.touch()

    def drop(self) -> None:
        """Nobody takes what waits."""
        unsent = self._unsent
        self._unsent = None
        self.until = 0.0
        if unsent is not None and unsent.waiting():
            self._host.note_waiting(-unsent.waiting())
