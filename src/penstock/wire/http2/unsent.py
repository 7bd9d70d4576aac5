"""Content of a stream that waits because its peer made no room for it yet."""

from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.stream import Stream


class Unsent:
    """Made with what was left of a piece, of which ``sent`` bytes were taken."""

    def __init__(self, data: bytes, sent: int) -> None:
        self._data: bytes = data
        self._sent: int = sent

    def add(self, data: bytes) -> None:
        """More comes behind it."""
        self._data = self._data[self._sent :] + data
        self._sent = 0

    def waiting(self) -> int:
        """How many bytes wait."""
        return len(self._data) - self._sent

    def send(self, codec: Http2Connection, stream: Stream, ends: bool) -> int:
        """As many as there is room for; how many that were. ``ends``: the last ends the content."""
        taken = codec.send_data(stream, self._data, ends, self._sent)
        self._sent += taken
        return taken
