"""The content of a client's request over HTTP/2, while it comes."""

from penstock.dataplane.client.awaited_body import AwaitedBody
from penstock.dataplane.client.http2_host import Http2Host
from penstock.dataplane.client.settings import ClientSettings
from penstock.wire.chunked import LAST_CHUNK, encode_chunk, last_chunk, passable_trailers
from penstock.wire.http1 import Field, RequestHead
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.stream import Stream


class IncomingContent:
    """Of one stream that has any. The client may send as much again as was passed on."""

    ended: bool = False  # all of it came
    size: int = 0  # of what came
    held: bool = False  # the endpoint takes no more of it, or nobody has it yet
    until: float = 0.0  # more of it is due then; 0.0: at any time
    _kept: bytes = b""  # came before anybody could take it
    _unconsumed: int = 0
    _chunked: bool = False
    _trailers: list[Field] | None = None  # came behind it
    _awaited: AwaitedBody | None = None  # of one that was not whole as it began

    def __init__(self, host: Http2Host, stream: Stream, settings: ClientSettings) -> None:
        self._host: Http2Host = host
        self._codec: Http2Connection = host.http2()
        self._stream: Stream = stream
        self._settings: ClientSettings = settings

    def is_empty(self) -> bool:
        """Whether none came, nor will."""
        return self.ended and self.size == 0

    def is_too_long(self) -> bool:
        """Whether more came than clients may send."""
        limit = self._settings.body_bytes
        return limit > 0 and self.size > limit

    def keep(self, data: bytes) -> None:
        """Nobody can take it yet."""
        self._kept = self._kept + data if self._kept else data

    def take_kept(self) -> bytes:
        """All that was kept, once."""
        kept = self._kept
        self._kept = b""
        return kept

    def begin(self, head: RequestHead) -> None:
        """The exchange of that head begins."""
        self._chunked = head.chunked
        self._unconsumed = len(self._kept)
        if not self.ended and not head.extended_connect:
            self._awaited = AwaitedBody(self._settings)
            self._awaited.begin(head, self._kept)

    def came(self, size: int, now: float) -> None:
        """So many bytes are passed on at once."""
        self._unconsumed += size
        if self._awaited is not None:
            self._awaited.came(size, now)
        self.look_at(now)

    def note_unconsumed(self, size: int) -> None:
        """So many bytes that came are kept for a tunnel."""
        self._unconsumed += size

    def note_trailers(self, fields: list[Field]) -> None:
        """Behind a body whose length was told there is no place for them in HTTP/1.1: they are
        dropped, as they may be (RFC 9110, 6.5.1)."""
        self._trailers = passable_trailers(fields, self._settings.taken_out)

    def framed(self, data: bytes) -> bytes:
        """As exchanges pass bodies on: in chunks where no length was told."""
        if not self._chunked:
            return data
        framed = encode_chunk(data) if data else b""
        if not self.ended:
            return framed
        trailers = self._trailers
        return framed + (last_chunk(trailers) if trailers is not None else LAST_CHUNK)

    def give_back(self) -> None:
        """What came was passed on."""
        count = self._unconsumed
        self._unconsumed = 0
        if count:
            self._codec.consumed(self._stream, count)
            self._host.touch()

    def await_no_more(self) -> None:
        """Nobody waits for more of it."""
        self.until = 0.0
        self.give_back()

    def hand_over(self) -> bytes:
        """To a tunnel, which gives it back: what was kept."""
        self._unconsumed = 0
        return self.take_kept()

    # --- whose turn it is -------------------------------------------------------------------

    def look_at(self, now: float) -> None:
        """The client's turn, if it is: for the next piece, and at a rate over all of them."""
        awaited = self._awaited
        if awaited is None or self.ended or self.held or awaited.awaits_continue:
            self.until = 0.0
        else:
            self.until = awaited.due(now)

    def is_late(self, now: float) -> bool:
        """Whether more of it was due before."""
        return 0.0 < self.until <= now

    def hold(self, now: float) -> None:
        """The endpoint takes no more."""
        self.held = True
        if self._awaited is not None:
            self._awaited.hold(now)
        self.look_at(now)

    def go_on(self, now: float) -> None:
        """It takes more."""
        self.held = False
        self.give_back()
        self.look_at(now)

    def is_continued(self, now: float) -> None:
        """The client was told to send it."""
        if self._awaited is not None:
            self._awaited.awaits_continue = False
        self.look_at(now)
