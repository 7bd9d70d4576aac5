"""Field lines to header blocks (RFC 7541, 6); a block that is sent repeatedly is remembered.

What changes from message to message does not enter the table: each insertion makes all that is
remembered worthless, and costs the peer what it remembers too.
"""

from typing import Final

from penstock.wire.http1 import Field
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.hpack_tables import DEFAULT_TABLE_BYTES, EncodingTable
from penstock.wire.http2.huffman import encode

_INDEXED: Final = 0x80
_WITH_INDEXING: Final = 0x40
_SIZE_UPDATE: Final = 0x20
_NEVER_INDEXED: Final = 0x10
_WITHOUT_INDEXING: Final = 0x00
_HUFFMAN: Final = 0x80
# Values that hardly ever come again while the table still holds them.
_CHANGING: Final = frozenset(
    (
        b":path",
        b"age",
        b"content-length",
        b"content-range",
        b"date",
        b"etag",
        b"expires",
        b"grpc-timeout",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"last-modified",
        b"location",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"traceparent",
        b"tracestate",
        b"x-request-id",
    )
)
# Secrets, which nobody who shares the table may find out by guessing (RFC 7541, 7.1.3). Short
# cookies could be guessed; long ones are worth much in the table.
_SECRET: Final = frozenset((b"authorization", b"proxy-authorization"))
_SHORT_COOKIE_BYTES: Final = 20
# One field may take this part of the table at most: a large one would push out all others.
_LARGEST_PART: Final = 4
_REMEMBERED_BLOCKS: Final = 64
_REMEMBERED_BYTES: Final = 16384  # of blocks and their codes together
_STATUS_VALUES: Final = {status: b"%d" % status for status in range(100, 600)}


class HpackEncoder:
    """One direction's encoder."""

    def __init__(self) -> None:
        self.table: EncodingTable = EncodingTable(DEFAULT_TABLE_BYTES)
        self._remembered: dict[HeaderBlock, bytes] = {}
        self._remembered_bytes: int = 0
        self._generation: int = 0  # of the table that they were encoded under
        self._least_size: int = -1  # a size update is due, and this was the smallest since

    def limit_table(self, table_bytes: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE came; we use no more than the default."""
        size = min(table_bytes, DEFAULT_TABLE_BYTES)
        if size == self.table.max_size and self._least_size < 0:
            return
        self._least_size = size if self._least_size < 0 else min(self._least_size, size)
        self.table.resize(size)

    def encode(self, block: HeaderBlock, extra: list[Field] | None) -> bytes:
        """The code of a block and, behind its fields, of ``extra``, which changes each time."""
        code = self._remembered_code(block)
        if not extra:
            return code
        out = bytearray(code)
        for name, _, value in extra:
            self._add_literal(out, _WITHOUT_INDEXING, name, value)
        return bytes(out)

    def _remembered_code(self, block: HeaderBlock) -> bytes:
        generation = self.table.generation
        if generation == self._generation:
            known = self._remembered.get(block)
            if known is not None:
                return known
        elif self._remembered:
            self._forget()
        updating = self._least_size >= 0
        code = self._encode(block)
        block.times_encoded += 1
        if self.table.generation != generation or updating or block.times_encoded == 1:
            self._generation = self.table.generation
            return code
        self._generation = generation
        size = len(code) + _size_of(block)
        if size > _REMEMBERED_BYTES:
            return code
        full = len(self._remembered) >= _REMEMBERED_BLOCKS
        if full or self._remembered_bytes + size > _REMEMBERED_BYTES:
            self._forget()
        self._remembered[block] = code
        self._remembered_bytes += size
        return code

    def _forget(self) -> None:
        self._remembered.clear()
        self._remembered_bytes = 0

    def _encode(self, block: HeaderBlock) -> bytes:
        out = bytearray()
        if self._least_size >= 0:
            self._update_size(out)
        if block.method:
            self._add(out, b":method", block.method, False)
            if block.scheme:
                self._add(out, b":scheme", block.scheme, False)
            if block.authority:
                self._add(out, b":authority", block.authority, False)
            if block.path:
                self._add(out, b":path", block.path, False)
            if block.protocol:
                self._add(out, b":protocol", block.protocol, False)
        elif block.status:
            status = _STATUS_VALUES.get(block.status) or b"%d" % block.status
            self._add(out, b":status", status, False)
        secret = block.never_indexed
        for name, _, value in block.fields:
            self._add(out, name, value, bool(secret) and name in secret)
        return bytes(out)

    def _update_size(self, out: bytearray) -> None:
        """Tell the smallest size since the last block, then the one in force (RFC 7541, 4.2)."""
        if self._least_size < self.table.max_size:
            _add_integer(out, _SIZE_UPDATE, 5, self._least_size)
        _add_integer(out, _SIZE_UPDATE, 5, self.table.max_size)
        self._least_size = -1

    def _add(self, out: bytearray, name: bytes, value: bytes, secret: bool) -> None:
        table = self.table
        if secret or name in _SECRET or (name == b"cookie" and len(value) < _SHORT_COOKIE_BYTES):
            self._add_literal(out, _NEVER_INDEXED, name, value)
            return
        index = table.index_of(name, value)
        if index:
            _add_integer(out, _INDEXED, 7, index)
            return
        small = len(name) + len(value) + 32 <= table.max_size // _LARGEST_PART
        if not small or name in _CHANGING:
            self._add_literal(out, _WITHOUT_INDEXING, name, value)
            return
        self._add_literal(out, _WITH_INDEXING, name, value)
        table.add(name, value)

    def _add_literal(self, out: bytearray, form: int, name: bytes, value: bytes) -> None:
        index = self.table.name_index_of(name)
        _add_integer(out, form, 6 if form == _WITH_INDEXING else 4, index)
        # What is sent often is kept short; what is sent once is not worth the time.
        shorten = form == _WITH_INDEXING
        if index == 0:
            _add_string(out, name, shorten)
        _add_string(out, value, shorten)


def _size_of(block: HeaderBlock) -> int:
    size = len(block.authority) + len(block.path)
    for name, _, value in block.fields:
        size += len(name) + len(value)
    return size


def _add_integer(out: bytearray, form: int, prefix_bits: int, value: int) -> None:
    limit = (1 << prefix_bits) - 1
    if value < limit:
        out.append(form | value)
        return
    out.append(form | limit)
    value -= limit
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _add_string(out: bytearray, text: bytes, shorten: bool) -> None:
    if shorten:
        code = encode(text)
        if len(code) < len(text):
            _add_integer(out, _HUFFMAN, 7, len(code))
            out += code
            return
    _add_integer(out, 0, 7, len(text))
    out += text
