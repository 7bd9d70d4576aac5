"""The chunked transfer coding (RFC 9112, 7.1), decoded and written anew in one pass.

Strictly, but for blanks between the size of a server's chunk and the end of its line.

Chunk extensions are dropped, sizes are written in plain lower-case hexadecimal, and trailers that
would change framing, routing or authority are left out.
"""

import re
from typing import Final

from penstock.wire.client_certificate import RESERVED
from penstock.wire.http1 import BadMessage, Field, has_bare_lf

MAX_EXTENSION_BYTES: Final = 256
_MAX_SIZE_DIGITS: Final = 15  # 2^60 bytes
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]+)(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_PADDED_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]+)[ \t]+")
_TRAILER: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)")

# Never passed on in a trailer (RFC 9110, 6.5.1): framing, routing, connection, authentication.
_FORBIDDEN_TRAILERS: Final = frozenset(
    (
        b"transfer-encoding",
        b"content-length",
        b"host",
        b"trailer",
        b"te",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"upgrade",
        b"expect",
        b"max-forwards",
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"set-cookie",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"cache-control",
        b"range",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-request-id",
        b"via",
        *RESERVED,  # RFC 9440, 2.4
    )
)

# Size lines in the form that we write ourselves, and how long the chunk is in all: the common case
# is one look-up.
_CANONICAL: Final[dict[bytes, int]] = {
    b"%x\r\n" % size: len(b"%x" % size) + 4 + size for size in range(1, 4096)
}
_LF: Final = 10

LAST_CHUNK: Final = b"0\r\n\r\n"

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILERS: Final = 3
_DONE: Final = 4


def encode_chunk(data: bytes) -> bytes:
    """``data`` as one chunk; it must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def passable_trailers(
    fields: list[Field], taken_out: frozenset[bytes] = _FORBIDDEN_TRAILERS
) -> list[Field]:
    """Those that may be passed on behind a body, whatever protocol they came by.

    ``taken_out``: as of ``ChunkedReader``.
    """
    return [field for field in fields if _may_trail(field[0], taken_out)]


def last_chunk(trailers: list[Field]) -> bytes:
    """The end of a body with these trailers, all of which may be passed on."""
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % (name, value) for _, name, value in trailers])


def _may_trail(lower: bytes, taken_out: frozenset[bytes]) -> bool:
    """Many servers take ``_`` in a name for ``-``."""
    name = lower.replace(b"_", b"-")
    return name not in _FORBIDDEN_TRAILERS and name not in taken_out


def as_one_chunk(body: bytes) -> bytes:
    """A whole body, which must not be empty, in the framing of chunks."""
    return encode_chunk(body) + LAST_CHUNK


class ChunkedReader:
    """Reads one chunked body.

    ``feed`` gives back what is to be passed on: the same body in canonical chunks when
    ``keep_framing``, else the bare payload. ``done`` tells that the body ended; ``rest`` then holds
    the bytes after it. Raises BadMessage with the status given.

    ``of_server``: a size may be followed by blanks, which ``padded`` then tells. ``taken_out``:
    names, with ``-`` for ``_``, of further trailers that are not passed on.
    """

    def __init__(
        self,
        keep_framing: bool,
        status: int,
        max_trailer_bytes: int = 16384,
        of_server: bool = False,
        taken_out: frozenset[bytes] = _FORBIDDEN_TRAILERS,
    ) -> None:
        self.keep_framing: bool = keep_framing
        self.padded: bool = False
        self._of_server: bool = of_server
        self._taken_out: frozenset[bytes] = taken_out
        self.done: bool = False
        self.rest: bytes = b""
        self.payload_bytes: int = 0
        self._status: int = status
        self._max_trailer_bytes: int = max_trailer_bytes
        self._state: int = _SIZE
        self._left: int = 0  # payload bytes of the current chunk still to come
        self._pending: bytes = b""  # an unfinished line
        self.trailers: list[Field] = []  # that may be passed on, once ``done``

    def feed(self, data: bytes) -> bytes:
        """What to pass on for these bytes of the body."""
        whole = len(data)
        if self._state == _SIZE and not self._pending and whole > 5:
            # One whole canonical chunk, which is how servers write a stream: passed as it came.
            line = 5 if data[4] == _LF else 4 if data[3] == _LF else 3
            if _CANONICAL.get(data[:line], 0) == whole and data.endswith(b"\r\n"):
                self.payload_bytes += whole - line - 2
                return data if self.keep_framing else data[line:-2]
        return self._feed_pieces(data)

    def ending(self) -> bytes:
        """The last chunk with the trailers, once ``done``."""
        return last_chunk(self.trailers)

    def _feed_pieces(self, data: bytes) -> bytes:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        out: list[bytes] = []
        at = 0
        end = len(data)
        while not self.done:
            if self._state == _DATA:
                if at == end:
                    break
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                self.payload_bytes += len(piece)
                out.append(encode_chunk(piece) if self.keep_framing else piece)
                if self._left == 0:
                    self._state = _DATA_END
            elif self._state == _DATA_END:
                if end - at < 2:
                    if end > at and data[at] != 13:
                        raise self._refuse("no CRLF after a chunk's data")
                    self._pending = data[at:]
                    break
                if data[at : at + 2] != b"\r\n":
                    raise self._refuse("no CRLF after a chunk's data")
                at += 2
                self._state = _SIZE
            else:
                line_end = data.find(b"\r\n", at)
                if line_end < 0:
                    self._keep_line(data[at:])
                    break
                line = data[at:line_end]
                at = line_end + 2
                if self._state == _SIZE:
                    self._read_size(line)
                else:
                    self._read_trailer(line)
        if self.done:
            self.rest = data[at:]
            if self.keep_framing:
                out.append(self.ending())
        return out[0] if len(out) == 1 else b"".join(out)

    def _keep_line(self, line: bytes) -> None:
        """Hold an unfinished line, within its bound."""
        if has_bare_lf(line, 0):
            raise self._refuse("a line of the chunked body ends with LF without CR")
        bound = _MAX_SIZE_DIGITS + MAX_EXTENSION_BYTES
        if self._state == _TRAILERS:
            bound = self._max_trailer_bytes
        if len(line) > bound + 1:
            raise self._refuse("a line of the chunked body is too long")
        self._pending = line

    def _read_size(self, line: bytes) -> None:
        whole = _CANONICAL.get(line + b"\r\n", 0)
        if whole:
            self._left = whole - len(line) - 4
            self._state = _DATA
            return
        match = _SIZE_LINE.fullmatch(line)
        if match is None and self._of_server:
            match = _PADDED_SIZE_LINE.fullmatch(line)
            self.padded = True
        if match is None:
            raise self._refuse("a chunk size is malformed")
        digits = match.group(1)
        if len(digits) > _MAX_SIZE_DIGITS:
            raise self._refuse("a chunk size is too large")
        if len(line) > len(digits) + MAX_EXTENSION_BYTES:
            raise self._refuse("a chunk extension is too long")
        self._left = int(digits, 16)
        self._state = _DATA if self._left else _TRAILERS

    def _read_trailer(self, line: bytes) -> None:
        if line == b"":
            self._state = _DONE
            self.done = True
            return
        match = _TRAILER.fullmatch(line)
        if match is None:
            raise self._refuse("a trailer field is malformed")
        self._max_trailer_bytes -= len(line) + 2
        if self._max_trailer_bytes < 0:
            raise self._refuse("the trailers are too long")
        name = match.group(1)
        lower = name.lower()
        if _may_trail(lower, self._taken_out):
            self.trailers.append((lower, name, match.group(2).strip(b" \t")))

    def _refuse(self, reason: str) -> BadMessage:
        return BadMessage(self._status, reason)
