"""An answer's body on its way through compression: a stage between endpoint and client."""

from typing import Final

from penstock.wire.chunked import LAST_CHUNK, encode_chunk
from penstock.wire.content_encoding import ContentEncoder, encoder_of

# Read at a time of an answer that is compressed: about a millisecond's work.
SLICE_BYTES: Final = 16384
# At once in one worker; further answers pass as they come. Each holds up to 400 KiB.
MOST_AT_ONCE: Final = 256


class CompressedBody:
    """Pieces come as bare payload, and go as their client's connection frames them."""

    def __init__(self, coding: bytes) -> None:
        self.coding: bytes = coding
        self.in_chunks: bool = False  # pieces go in chunks of HTTP/1.1
        self._encoder: ContentEncoder | None = None  # None: passed as it came

    def begin(self, length: int) -> None:
        """Compress from here on; ``length`` of the body, -1 where it is not known."""
        self._encoder = encoder_of(self.coding, length)

    def compresses(self) -> bool:
        """Whether it does more than frame."""
        return self._encoder is not None

    def pass_on(self, data: bytes, complete: bool) -> bytes:
        """What goes to the client for the next bytes."""
        encoder = self._encoder
        if encoder is not None:
            if complete:
                data = encoder.end(data)
            elif data:
                data = encoder.feed(data)
        if not self.in_chunks:
            return data
        framed = encode_chunk(data) if data else b""
        return framed + LAST_CHUNK if complete else framed
