"""Header blocks to field lines (RFC 7541, 3 and 6), within bounds that hold while decoding."""

from typing import Final

from penstock.wire.http2.codes import COMPRESSION_ERROR, ConnectionFault
from penstock.wire.http2.hpack_tables import (
    DEFAULT_TABLE_BYTES,
    STATIC_ENTRIES,
    DecodingTable,
    Entry,
)
from penstock.wire.http2.huffman import HuffmanFault, decode

_MAX_INTEGER_OCTETS: Final = 5  # after the first: 35 bits, more than any length or index needs
_MAX_INTEGER: Final = 2**31 - 1
_MAX_SIZE_UPDATES: Final = 2  # RFC 7541, 4.2: the smallest since the last block, and the final one


class HpackDecoder:
    """One direction's decoder. Any error is one of the connection, whose tables now differ."""

    def __init__(self) -> None:
        self.table: DecodingTable = DecodingTable(DEFAULT_TABLE_BYTES)
        # What our settings allow, once the peer acknowledged them.
        self.allowed_table_bytes: int = DEFAULT_TABLE_BYTES
        self.resize_due: bool = False  # the peer must shrink its table first (RFC 7541, 4.2)
        self.overrun: bool = False  # the last block had more than the bounds let through
        # Of the last block: it means the same whatever the dynamic table holds, and what it put in.
        self.alone: bool = False
        self.added: list[Entry] = []
        self._data: bytes = b""
        self._position: int = 0

    def allow(self, table_bytes: int) -> None:
        """Our SETTINGS_HEADER_TABLE_SIZE took effect."""
        self.allowed_table_bytes = table_bytes
        if table_bytes < self.table.max_size:
            self.resize_due = True

    def decode(self, data: bytes, max_fields: int, max_size: int) -> list[Entry]:
        """The field lines of a block.

        What exceeds a bound is decoded, to keep the table in step, and thrown away (``overrun``):
        a block of one-octet references costs time by its length, but no memory. Raises
        ConnectionFault.
        """
        self._data = data
        self._position = 0
        self.overrun = False
        self.alone = True
        self.added = []
        table = self.table
        entries: list[Entry] = []
        size = 0
        end = len(data)
        self._resize()
        if self._position:
            self.alone = False
        while self._position < end:
            octet = data[self._position]
            entry: Entry | None
            if octet & 0x80:
                if octet == 0xFF or octet == 0x80:
                    index = self._integer(7)
                else:
                    self._position += 1
                    index = octet & 0x7F
                entry = table.entry(index)
                if index > STATIC_ENTRIES:
                    self.alone = False
                if entry is None:
                    raise _fault("a header block refers to an entry that the table does not have")
            elif octet & 0x40:
                entry = self._literal(6, False)
                table.add(entry)
                self.added.append(entry)
            elif octet & 0x20:
                raise _fault("a dynamic table size update inside a header block")
            else:
                entry = self._literal(4, octet & 0x10 != 0)
            size += entry.size
            if size > max_size or len(entries) >= max_fields:
                self.overrun = True
            else:
                entries.append(entry)
        self._data = b""
        return entries

    def _resize(self) -> None:
        """The table size updates that a block begins with."""
        updates = 0
        while self._position < len(self._data) and self._data[self._position] & 0xE0 == 0x20:
            max_size = self._integer(5)
            updates += 1
            if updates > _MAX_SIZE_UPDATES:
                raise _fault("more than two dynamic table size updates")
            if max_size > self.allowed_table_bytes:
                raise _fault("a dynamic table size update above SETTINGS_HEADER_TABLE_SIZE")
            self.table.resize(max_size)
            self.resize_due = False
        if self.resize_due:
            raise _fault("no dynamic table size update after SETTINGS_HEADER_TABLE_SIZE fell")

    def _literal(self, prefix_bits: int, never_indexed: bool) -> Entry:
        index = self._integer(prefix_bits)
        if index == 0:
            name = self._string()
        else:
            named = self.table.entry(index)
            if named is None:
                raise _fault("a header block refers to a name that the table does not have")
            name = named.field[0]
            if index > STATIC_ENTRIES:
                self.alone = False
        return Entry(name, self._string(), never_indexed)

    def _integer(self, prefix_bits: int) -> int:
        """An integer whose prefix is at the position (RFC 7541, 5.1)."""
        data = self._data
        end = len(data)
        limit = (1 << prefix_bits) - 1
        value = data[self._position] & limit
        self._position += 1
        if value < limit:
            return value
        shift = 0
        for _ in range(_MAX_INTEGER_OCTETS):
            if self._position >= end:
                raise _fault("a header block ends inside a number")
            octet = data[self._position]
            self._position += 1
            value += (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                if value > _MAX_INTEGER:
                    break
                return value
        raise _fault("a number in a header block is too large")

    def _string(self) -> bytes:
        data = self._data
        if self._position >= len(data):
            raise _fault("a header block ends before a string")
        huffman = data[self._position] & 0x80 != 0
        length = self._integer(7)
        start = self._position
        end = start + length
        if end > len(data):
            raise _fault("a header block ends inside a string")
        self._position = end
        if not huffman:
            return data[start:end]
        try:
            return decode(data, start, end)
        except HuffmanFault as fault:
            raise _fault(str(fault)) from None


def _fault(reason: str) -> ConnectionFault:
    return ConnectionFault(COMPRESSION_ERROR, reason)
