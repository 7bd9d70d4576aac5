"""The body of a client's request over HTTP/1.1, which did not come whole along with its head."""

from penstock.dataplane.client.settings import ClientSettings
from penstock.wire.chunked import ChunkedReader
from penstock.wire.http1 import BadMessage, RequestHead


class IncomingBody:
    """By length, or in chunks, which are checked and passed on as they came."""

    whole: bool = False
    rest: bytes = b""  # that came behind it

    def __init__(self, head: RequestHead, settings: ClientSettings) -> None:
        self._left: int = head.content_length
        self._limit: int = settings.body_bytes
        self._reader: ChunkedReader | None = None
        if head.chunked:
            self._reader = ChunkedReader(True, 400, taken_out=settings.taken_out)

    def take(self, data: bytes) -> bytes:
        """The next bytes; what of them is passed on. Raises BadMessage."""
        reader = self._reader
        if reader is not None:
            return self._take_chunks(reader, data)
        left = self._left - len(data)
        self._left = left
        if left > 0:
            return data
        self.whole = True
        if left == 0:
            return data
        self.rest = data[left:]
        return data[:left]

    def _take_chunks(self, reader: ChunkedReader, data: bytes) -> bytes:
        out = reader.feed(data)
        if self._limit and reader.payload_bytes > self._limit:
            raise BadMessage(413, f"the body is over {self._limit} bytes")
        if reader.done:
            self.whole = True
            self.rest = reader.rest
        return out
