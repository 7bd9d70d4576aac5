"""Header blocks to messages' fields; a block that repeats itself is compared, not decoded.

The same octets under the same state of the dynamic table mean the same fields. Any insertion makes
another state, so peers profit that send what they have sent before, as most do for most fields. A
block that refers to nothing in the table means the same under every state: nginx writes all fields
out, into the table too, and refers to none.
"""

from typing import Final

from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.held_heads import held_bytes
from penstock.wire.http2.hpack_decoder import HpackDecoder
from penstock.wire.http2.hpack_tables import Entry
from penstock.wire.http2.message_rules import request_of, response_of, trailers_of

_REMEMBERED_BLOCKS: Final = 64


class _Remembered:
    """A block, and what it puts into the table each time."""

    def __init__(self, block: HeaderBlock, added: list[Entry]) -> None:
        self.block: HeaderBlock = block
        self.added: list[Entry] = added


_Blocks = dict[bytes, _Remembered]


class BlockReader:
    """Reads one direction of a connection. Every method raises ConnectionFault and Malformed."""

    def __init__(self, limits: Limits, from_server: bool) -> None:
        self.decoder: HpackDecoder = HpackDecoder()
        self.connect_protocol: bool = False  # whether we offered extended CONNECT
        self.overrun: bool = False  # the last block exceeded the limits
        self._limits: Limits = limits
        self._from_server: bool = from_server
        # Of one state of the table, and of all states.
        self._heads: _Blocks = {}
        self._trailers: _Blocks = {}
        self._heads_alone: _Blocks = {}
        self._trailers_alone: _Blocks = {}
        self._bytes: int = 0  # remembered
        self._generation: int = 0  # of the table that they were decoded under

    def head(self, code: bytes) -> HeaderBlock:
        """A request's head, or, from a server, a response's."""
        known = self._known(code, self._heads, self._heads_alone)
        return known if known is not None else self._read(code, False)

    def trailers(self, code: bytes) -> HeaderBlock:
        """A trailer section."""
        known = self._known(code, self._trailers, self._trailers_alone)
        return known if known is not None else self._read(code, True)

    def skip(self, code: bytes) -> None:
        """A block that nobody wants: it may change the table all the same (RFC 9113, 4.3)."""
        self.decoder.decode(code, 0, 0)

    def _known(self, code: bytes, of_state: _Blocks, alone: _Blocks) -> HeaderBlock | None:
        decoder = self.decoder
        table = decoder.table
        known: _Remembered | None = None
        if self._generation == table.generation:
            known = of_state.get(code)
        if known is None:
            if decoder.resize_due:
                return None  # a fault, which reading it finds
            known = alone.get(code)
            if known is None:
                return None
            for entry in known.added:
                table.add(entry)
        self.overrun = False
        return known.block

    def _read(self, code: bytes, is_trailers: bool) -> HeaderBlock:
        decoder = self.decoder
        before = decoder.table.generation
        limits = self._limits
        entries = decoder.decode(code, limits.header_fields, limits.header_list_bytes)
        self.overrun = decoder.overrun
        if self.overrun:
            return HeaderBlock([])
        if is_trailers:
            block = trailers_of(entries)
        elif self._from_server:
            block = response_of(entries)
        else:
            block = request_of(entries, self.connect_protocol)
        block.entries = entries
        if decoder.alone:
            self._remember(code, block, self._trailers_alone if is_trailers else self._heads_alone)
        elif decoder.table.generation == before:
            self._remember(code, block, self._trailers if is_trailers else self._heads)
        return block

    def _remember(self, code: bytes, block: HeaderBlock, among: _Blocks) -> None:
        generation = self.decoder.table.generation
        most = self._limits.remembered_bytes
        size = len(code) + held_bytes(block)
        if self._generation != generation:
            self._generation = generation
            self._forget(self._heads)
            self._forget(self._trailers)
        count = len(self._heads) + len(self._trailers)
        count += len(self._heads_alone) + len(self._trailers_alone)
        if count >= _REMEMBERED_BLOCKS or self._bytes + size > most:
            for each in (self._heads, self._trailers, self._heads_alone, self._trailers_alone):
                each.clear()
            self._bytes = 0
        if size > most:
            return
        self._bytes += size
        among[code] = _Remembered(block, self.decoder.added)

    def _forget(self, blocks: _Blocks) -> None:
        for code, known in blocks.items():
            self._bytes -= len(code) + held_bytes(known.block)
        blocks.clear()
