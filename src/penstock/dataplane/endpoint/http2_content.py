"""The body of a request on its way over HTTP/2: made for requests that have one."""

from penstock.wire.chunked import ChunkedReader
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.header_block import HeaderBlock, trailer_block
from penstock.wire.http2.stream import Stream
from penstock.wire.http2.unsent import Unsent


class RequestContent:
    """It comes in the chunks of HTTP/1.1 where its length was not told, and leaves as the
    endpoint's windows have room for it."""

    _complete: bool = False  # all of it came
    _trailers: HeaderBlock | None = None  # behind the rest of it
    _unsent: Unsent | None = None

    def __init__(self, chunked: bool) -> None:
        self._reader: ChunkedReader | None = ChunkedReader(False, 400) if chunked else None

    def read(self, data: bytes, complete: bool) -> bytes:
        """The content in the next bytes."""
        self._complete = complete
        reader = self._reader
        if reader is None or not data:
            return data
        payload = reader.feed(data)
        if reader.trailers and reader.done:
            fields = [(lower, lower, value) for lower, _, value in reader.trailers]
            self._trailers = trailer_block(fields)
        return payload

    def ends(self) -> bool:
        """Whether nothing stands behind what was read."""
        return self._complete and self._trailers is None

    def send(self, codec: Http2Connection, stream: Stream, payload: bytes) -> bool:
        """Send what was read; whether all of it was taken."""
        if self._unsent is not None:
            self._unsent.add(payload)
            return False
        taken = codec.send_data(stream, payload, self.ends())
        if taken == len(payload):
            self._send_trailers(codec, stream)
            return True
        self._unsent = Unsent(payload, taken)
        return False

    def go_on(self, codec: Http2Connection, stream: Stream) -> bool:
        """There is room: whether nothing waits any more that waited."""
        unsent = self._unsent
        if unsent is None:
            return False
        unsent.send(codec, stream, self.ends())
        if unsent.waiting():
            return False
        self._unsent = None
        self._send_trailers(codec, stream)
        return True

    def waiting(self) -> int:
        """How many bytes wait for room."""
        return self._unsent.waiting() if self._unsent is not None else 0

    def _send_trailers(self, codec: Http2Connection, stream: Stream) -> None:
        trailers = self._trailers
        if trailers is not None:
            self._trailers = None
            codec.send_trailers(stream, trailers)
