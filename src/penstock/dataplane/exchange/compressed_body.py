"""An answer's body on its way through compression: a stage between endpoint and client."""

from typing import Final

from penstock.dataplane.board.layout import CODINGS
from penstock.dataplane.route.compression import (
    BUSY,
    COMPRESSED,
    COMPRESSED_IF_LARGE,
    PASSED,
    PASSED_PRIVATE,
    PASSED_SMALL,
    PASSED_TYPE,
    PRIVATE,
    SMALL,
    TYPE,
    UNSUITABLE,
    VALIDATED,
    Compression,
    passed_head,
)
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.chunked import LAST_CHUNK, encode_chunk
from penstock.wire.content_encoding import ContentEncoder, encoder_of
from penstock.wire.encoded_head import encoded_head
from penstock.wire.http1 import RequestHead, ResponseHead

# Read at a time of an answer that is compressed: about a millisecond's work.
SLICE_BYTES: Final = 16384
# At once in one worker; further answers pass as they come. Each holds up to 400 KiB.
MOST_AT_ONCE: Final = 256
_WHY: Final[dict[int, int]] = {
    PASSED: UNSUITABLE,
    VALIDATED: UNSUITABLE,
    PASSED_TYPE: TYPE,
    PASSED_SMALL: SMALL,
    PASSED_PRIVATE: PRIVATE,
}


class CompressedBody:
    """Pieces come as bare payload, and go as their client's connection frames them."""

    def __init__(self, coding: bytes) -> None:
        self.coding: bytes = coding
        self.in_chunks: bool = False  # pieces go in chunks of HTTP/1.1
        self.bytes_in: int = 0  # that came to be compressed
        self.bytes_out: int = 0
        self._encoder: ContentEncoder | None = None  # None: passed as it came

    def begin(self, length: int) -> None:
        """Compress from here on; ``length`` of the body, -1 where it is not known."""
        self._encoder = encoder_of(self.coding, length)

    def compresses(self) -> bool:
        """Whether it does more than frame."""
        return self._encoder is not None

    def coding_number(self) -> int:
        """Which of ``CODINGS`` it is."""
        return CODINGS.index(self.coding.decode("ascii"))

    def pass_on(self, data: bytes, complete: bool) -> bytes:
        """What goes to the client for the next bytes."""
        encoder = self._encoder
        if encoder is not None:
            self.bytes_in += len(data)
            if complete:
                data = encoder.end(data)
            elif data:
                data = encoder.feed(data)
            self.bytes_out += len(data)
        if not self.in_chunks:
            return data
        framed = encode_chunk(data) if data else b""
        return framed + LAST_CHUNK if complete else framed


def body_for(
    pool_plan: PoolPlan, compression: Compression, head: ResponseHead, under_way: int
) -> CompressedBody | None:
    """Of an answer that is compressed, or may be; None where it passes as it comes.

    ``under_way``: other answers of the worker that are compressed at present.
    """
    if not pool_plan.client_coding or under_way >= MOST_AT_ONCE:
        return None
    verdict = compression.verdict(head)
    if verdict != COMPRESSED and verdict != COMPRESSED_IF_LARGE:
        return None
    return CompressedBody(pool_plan.client_coding)


def why_passed(
    body: CompressedBody | None,
    pool_plan: PoolPlan,
    compression: Compression,
    head: ResponseHead,
    came: int,
) -> int:
    """Why the answer is not compressed, of ``UNCOMPRESSED``; -1: it is, by ``begun_head``."""
    verdict = compression.verdict(head)
    if verdict != COMPRESSED and verdict != COMPRESSED_IF_LARGE:
        return _WHY[verdict]
    if body is None:
        return pool_plan.why_no_coding if not pool_plan.client_coding else BUSY
    return SMALL if verdict == COMPRESSED_IF_LARGE and came < compression.minimum_bytes else -1


def begun_head(
    body: CompressedBody | None,
    compression: Compression,
    head: ResponseHead,
    request: RequestHead,
    came: int,
    whole: bool,
) -> ResponseHead:
    """Begin to compress, or not; the head that the client gets.

    ``came``: bytes of the body so far; ``whole``: there are no others. An answer that does not tell
    its length, and of which too little came, may be a stream.
    """
    verdict = compression.verdict(head)
    if verdict == PASSED or verdict > VALIDATED:
        return head
    if body is None or (verdict == COMPRESSED_IF_LARGE and came < compression.minimum_bytes):
        return passed_head(head, request, verdict)
    body.begin(came if whole else head.content_length)
    return encoded_head(head, body.coding, True)
