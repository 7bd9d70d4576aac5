"""The model that a body names, looked for while the body comes, and not read otherwise.

Forms with files (transcriptions, edits of images) name it in a part of its own, before the file or
behind it; of JSON over the bound of what is read, it is looked for at the front.
"""

from typing import Final

from penstock.wire.chunked import ChunkedReader, encode_chunk
from penstock.wire.content_coding import BadCoding, ContentDecoder, OverBound
from penstock.wire.http1 import RequestHead
from penstock.wire.model_name import FRONT_BYTES, FormScanner, ModelPlace, model_at_front

_FIRST_TRY_BYTES: Final = 256


class BodySkimming:
    """Of one request."""

    def __init__(self, head: RequestHead, boundary: bytes) -> None:
        """``boundary`` is a form's; empty for JSON."""
        self.place: ModelPlace | None = None
        self.done: bool = False  # it was found, or will not be
        # What it feeds was read before, so it cannot be refused.
        self._reader: ChunkedReader | None = ChunkedReader(False, 400) if head.chunked else None
        self._form: FormScanner | None = FormScanner(boundary) if boundary else None
        self._front: bytes = b""
        self._try_at: int = _FIRST_TRY_BYTES

    def feed(self, data: bytes) -> None:
        """The next bytes of the body, in the client's framing."""
        if self._reader is not None:
            data = self._reader.feed(data)
        form = self._form
        if form is not None:
            form.feed(data)
            self.place = form.found
            self.done = form.done
            return
        self._front += data
        size = len(self._front)
        if size >= self._try_at or size >= FRONT_BYTES:
            self._try_at = 2 * size  # so that a body that trickles costs no more
            self.place = model_at_front(self._front)
            self.done = self.place is not None or size >= FRONT_BYTES


def renamed(head: RequestHead, pieces: list[bytes], place: ModelPlace, name: str) -> bytes:
    """The beginning of a body, in the client's framing, with another model in that place."""
    begun = b"".join(pieces)
    if not head.chunked:
        return place.renamed(begun, name)
    reader = ChunkedReader(False, 400)
    chunk = encode_chunk(place.renamed(reader.feed(begun), name))
    return chunk + reader.ending() if reader.done else chunk


class CodedBody:
    """A body whose content coding is taken off while it comes."""

    def __init__(self, head: RequestHead, decoder: ContentDecoder) -> None:
        self.problem: str = ""
        self.is_over: bool = False  # more came out than may
        self._reader: ChunkedReader | None = ChunkedReader(False, 400) if head.chunked else None
        self._decoder: ContentDecoder = decoder
        self._pieces: list[bytes] = []

    def feed(self, data: bytes, complete: bool) -> int:
        """The next bytes of the body, in the client's framing; how many came out."""
        if self.problem or self.is_over:
            return 0
        if self._reader is not None:
            data = self._reader.feed(data)
        try:
            piece = self._decoder.feed(data)
            if complete:
                self._decoder.end()
        except OverBound:
            self.is_over = True
            self._pieces = []
            return 0
        except BadCoding as error:
            self.problem = f"the body's content coding is broken: {error}"
            self._pieces = []
            return 0
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        """All that came out."""
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]
