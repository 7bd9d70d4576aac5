"""WebSocket messages compressed by permessage-deflate (RFC 7692): what is agreed, and both ways.

A message comes whole and is bounded before it is inflated; what comes out is bounded while it is,
so that a bomb costs its bound and no more.
"""

import zlib
from typing import Any, Final

from penstock.wire.http1 import Field

NAME: Final = b"permessage-deflate"
LEAST_BITS: Final = 9  # of a window that zlib can write; RFC 7692, 7.1.2 has 8 too
MOST_BITS: Final = 15
_LEAST_OFFERED: Final = 8
_TAIL: Final = b"\x00\x00\xff\xff"  # of an empty block, which is left away (RFC 7692, 7.2.1)
_LEVEL: Final = 1  # of short events that are alike, higher ones make no less
_MEMORY: Final = 5  # of zlib's 1 to 9: 32 KiB for each direction, with a window of 12 bits
_MOST_ENDS: Final = 4  # last blocks in one message: each needs a stream of its own
_SPACE: Final = b" \t"
_TOKEN: Final = frozenset(
    b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
_QUOTE: Final = b'"'


class DeflateTerms:
    """What both sides agreed to. Windows are in bits, from 8 to 15 (a client's) or 9 to 15."""

    def __init__(
        self, server_bits: int, client_bits: int, *, server_forgets: bool, client_forgets: bool
    ) -> None:
        self.server_bits: int = server_bits
        self.client_bits: int = client_bits
        # Whether what was said before is no context for what follows (``no_context_takeover``).
        self.server_forgets: bool = server_forgets
        self.client_forgets: bool = client_forgets
        self.tells_client_bits: bool = False  # only who says that it can may be told

    def shown(self) -> bytes:
        """As a server agrees to it in ``Sec-WebSocket-Extensions``."""
        told = [NAME]
        if self.server_forgets:
            told.append(b"server_no_context_takeover")
        if self.client_forgets:
            told.append(b"client_no_context_takeover")
        if self.server_bits < MOST_BITS:
            told.append(b"server_max_window_bits=%d" % self.server_bits)
        if self.tells_client_bits:
            told.append(b"client_max_window_bits=%d" % self.client_bits)
        return b"; ".join(told)


def terms_for(fields: list[Field], most_bits: int, *, keeps: bool) -> DeflateTerms | None:
    """What a server agrees to of what a client offers, the first that it can; None for nothing.

    ``most_bits``: of either window, where the client lets it be told. ``keeps``: context, where
    both sides may. An offer that is not written as it must be is declined (RFC 7692, 5.1).
    """
    for field in fields:
        if field[0] != b"sec-websocket-extensions":
            continue
        for offer in field[2].split(b","):
            terms = _terms_of(offer, most_bits, keeps=keeps)
            if terms is not None:
                return terms
    return None


def _terms_of(offer: bytes, most_bits: int, *, keeps: bool) -> DeflateTerms | None:
    name, *parameters = [each.strip(_SPACE) for each in offer.split(b";")]
    if name.lower() != NAME:
        return None
    terms = DeflateTerms(most_bits, MOST_BITS, server_forgets=not keeps, client_forgets=not keeps)
    seen: set[bytes] = set()
    for parameter in parameters:
        key, has_value, value = parameter.partition(b"=")
        key = key.rstrip(_SPACE).lower()
        value = _unquoted(value.lstrip(_SPACE))
        if key in seen or (has_value and not value):
            return None
        seen.add(key)
        if key == b"server_no_context_takeover" and not has_value:
            terms.server_forgets = True
        elif key == b"client_no_context_takeover" and not has_value:
            terms.client_forgets = True
        elif key == b"server_max_window_bits":
            bits = _bits_of(value)
            if bits < LEAST_BITS:
                return None
            terms.server_bits = min(bits, most_bits)
        elif key == b"client_max_window_bits":
            bits = _bits_of(value) if has_value else MOST_BITS
            if bits < _LEAST_OFFERED:
                return None
            terms.client_bits = min(bits, most_bits)
            terms.tells_client_bits = True
        else:
            return None
    return terms


def _unquoted(value: bytes) -> bytes:
    """A token, which may stand in quotes (RFC 6455, 9.1); b"" of anything else."""
    if len(value) > 2 and value.startswith(_QUOTE) and value.endswith(_QUOTE):
        value = value[1:-1]
    return value if all([each in _TOKEN for each in value]) else b""


def _bits_of(value: bytes) -> int:
    """The size of a window; 0 of what is none (RFC 7692, 7.1.2.1)."""
    if not value.isdigit() or value.startswith(b"0") or len(value) > 2:
        return 0
    bits = int(value)
    return bits if _LEAST_OFFERED <= bits <= MOST_BITS else 0


class Inflater:
    """Of the messages of one direction. ``forgets``: each stands for itself."""

    too_big: bool = False  # the last one was more than it may be
    _stream: Any = None  # which has what was said before

    def __init__(self, bits: int, *, forgets: bool) -> None:
        self._bits: int = -max(bits, LEAST_BITS)  # negative: without zlib's own head and sum
        self._forgets: bool = forgets

    def whole(self, data: bytes, most: int) -> bytes | None:
        """A message of at most so many bytes; None of one that is ``too_big``, or is no deflate."""
        left = data + _TAIL
        pieces: list[bytes] = []
        size = 0
        ends = 0
        try:
            while left:
                stream = self._stream
                if stream is None:
                    stream = self._stream = zlib.decompressobj(self._bits)
                piece: bytes = stream.decompress(left, most - size + 1)
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    self.too_big = True
                    return None
                left = stream.unconsumed_tail
                if stream.eof:  # a last block may stand anywhere (RFC 7692, 7.2.3.4)
                    left = stream.unused_data
                    self._stream = None
                    ends += 1
                    if ends > _MOST_ENDS:
                        return None
        except zlib.error:
            return None
        if self._forgets:
            self._stream = None
        return b"".join(pieces)


class Deflater:
    """Of the messages of the other direction."""

    _stream: Any = None

    def __init__(self, bits: int, *, forgets: bool) -> None:
        self._bits: int = -bits
        self._forgets: bool = forgets

    def whole(self, data: bytes) -> bytes:
        """A message, which is not empty."""
        stream = self._stream
        if stream is None:
            stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, self._bits, _MEMORY)
            if not self._forgets:
                self._stream = stream
        packed: bytes = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        return packed.removesuffix(_TAIL)
