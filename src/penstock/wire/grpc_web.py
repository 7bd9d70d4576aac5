"""gRPC-Web: how a response ends in its body, where browsers can read it (PROTOCOL-WEB.md).

Its messages are gRPC's, and the last frame, whose flag is 0x80, holds the trailers as HTTP/1.1
writes fields. ``grpc-web-text`` is the same in base64, which may be padded anywhere within.
"""

from binascii import Error, a2b_base64, b2a_base64
from typing import Final

from penstock.wire.chunked import ChunkedReader
from penstock.wire.grpc import encode_status_message, parse_status

_TRAILERS: Final = 0x80
_PREFIX_BYTES: Final = 5
# Of a body that is kept to read the status at its end. A longer last frame is not read.
_TAIL_BYTES: Final = 2048
_TEXT_TAIL_BYTES: Final = 2732  # the same in base64, in whole groups of four
_STATUS: Final = b"grpc-status:"


def trailers_frame(status: int, text: str, in_base64: bool) -> bytes:
    """The end of a response, which is all of one without messages."""
    lines = b"grpc-status:%d\r\n" % status
    if text:
        lines += b"grpc-message:%b\r\n" % encode_status_message(text)
    frame = b"\x80" + len(lines).to_bytes(4, "big") + lines
    return b2a_base64(frame, newline=False) if in_base64 else frame


class StatusReader:
    """Reads the ``grpc-status`` at the end of a body that passes, of which it keeps the last bytes.

    ``in_chunks``: what passes is in the chunks of HTTP/1.1.
    """

    def __init__(self, in_base64: bool, in_chunks: bool) -> None:
        self._in_base64: bool = in_base64
        self._most: int = _TEXT_TAIL_BYTES if in_base64 else _TAIL_BYTES
        self._chunks: ChunkedReader | None = (
            ChunkedReader(False, 502, of_server=True) if in_chunks else None
        )
        self._tail: bytes = b""
        self._size: int = 0  # of all that passed

    def feed(self, data: bytes) -> None:
        """More of the body. Raises BadMessage where its chunks are none."""
        chunks = self._chunks
        if chunks is not None:
            data = chunks.feed(data)
        self._size += len(data)
        self._tail = (self._tail + data)[-self._most :] if self._tail else data[-self._most :]

    def status(self) -> int:
        """Once all of the body passed: the status at its end; -1 where none is found."""
        tail = self._tail
        if self._in_base64:
            # Groups of four count from the body's beginning.
            tail = _decoded(tail[(len(tail) - self._size) % 4 :])
        end = len(tail)
        at = tail.find(_TRAILERS)
        while at >= 0:
            start = at + _PREFIX_BYTES
            if start <= end and int.from_bytes(tail[at + 1 : start], "big") == end - start:
                found = _status_in(tail[start:])
                if found >= 0:
                    return found
            at = tail.find(_TRAILERS, at + 1)
        return -1


def _status_in(lines: bytes) -> int:
    for line in lines.split(b"\r\n"):
        if line[: len(_STATUS)].lower() == _STATUS:
            return parse_status(line[len(_STATUS) :].strip(b" \t"))
    return -1


def _decoded(text: bytes) -> bytes:
    """Base64 of several parts, each of which may end with padding; b"" for what is none."""
    parts: list[bytes] = []
    at = 0
    try:
        while at < len(text):
            padding = text.find(b"=", at)
            stop = len(text) if padding < 0 else (padding // 4 + 1) * 4
            parts.append(a2b_base64(text[at:stop]))
            at = stop
    except Error:
        return b""
    return b"".join(parts)
