"""Header blocks to messages' fields; a block that repeats itself is compared, not decoded.

The same octets under the same state of the dynamic table mean the same fields. Any insertion makes
another state, so peers profit that send what they have sent before, as most do for most fields.
"""

from typing import Final

from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.held_heads import held_bytes
from penstock.wire.http2.hpack_decoder import HpackDecoder
from penstock.wire.http2.message_rules import request_of, response_of, trailers_of

_REMEMBERED_BLOCKS: Final = 64


class BlockReader:
    """Reads one direction of a connection. Every method raises ConnectionFault and Malformed."""

    def __init__(self, limits: Limits, from_server: bool) -> None:
        self.decoder: HpackDecoder = HpackDecoder()
        self.connect_protocol: bool = False  # whether we offered extended CONNECT
        self.overrun: bool = False  # the last block exceeded the limits
        self._limits: Limits = limits
        self._from_server: bool = from_server
        self._heads: dict[bytes, HeaderBlock] = {}
        self._trailers: dict[bytes, HeaderBlock] = {}
        self._bytes: int = 0  # remembered
        self._generation: int = 0  # of the table that they were decoded under

    def head(self, code: bytes) -> HeaderBlock:
        """A request's head, or, from a server, a response's."""
        if self._generation == self.decoder.table.generation:
            known = self._heads.get(code)
            if known is not None:
                self.overrun = False
                return known
        return self._read(code, False)

    def trailers(self, code: bytes) -> HeaderBlock:
        """A trailer section."""
        if self._generation == self.decoder.table.generation:
            known = self._trailers.get(code)
            if known is not None:
                self.overrun = False
                return known
        return self._read(code, True)

    def skip(self, code: bytes) -> None:
        """A block that nobody wants: it may change the table all the same (RFC 9113, 4.3)."""
        self.decoder.decode(code, 0, 0)

    def _read(self, code: bytes, is_trailers: bool) -> HeaderBlock:
        table = self.decoder.table
        before = table.generation
        limits = self._limits
        entries = self.decoder.decode(code, limits.header_fields, limits.header_list_bytes)
        self.overrun = self.decoder.overrun
        if self.overrun:
            return HeaderBlock([])
        if is_trailers:
            block = trailers_of(entries)
        elif self._from_server:
            block = response_of(entries)
        else:
            block = request_of(entries, self.connect_protocol)
        block.entries = entries
        if table.generation == before:
            self._remember(code, block, is_trailers)
        return block

    def _remember(self, code: bytes, block: HeaderBlock, is_trailers: bool) -> None:
        generation = self.decoder.table.generation
        most = self._limits.remembered_bytes
        size = len(code) + held_bytes(block)
        full = len(self._heads) + len(self._trailers) >= _REMEMBERED_BLOCKS
        if self._generation != generation or full or self._bytes + size > most:
            self._generation = generation
            self._heads.clear()
            self._trailers.clear()
            self._bytes = 0
        if size > most:
            return
        self._bytes += size
        if is_trailers:
            self._trailers[code] = block
        else:
            self._heads[code] = block
