"""How much memory the heads of open streams take, what they share counted once.

A reference of one octet can stand for a field of thousands (CVE-2026-49975), and many streams can
refer to one field: so fields are counted, by what they take here, not blocks by what they say.
"""

from typing import Final

from penstock.wire.http2.header_block import HeaderBlock

# CPython's objects for a field: an entry, a tuple and two strings; measured on 3.11.
_FIELD_OVERHEAD_BYTES: Final = 224
_REFERENCE_BYTES: Final = 16  # in a block's two lists
_BLOCK_OVERHEAD_BYTES: Final = 384  # with the stream's own object


class HeldHeads:
    """The heads that one connection's open streams keep."""

    def __init__(self, limit_bytes: int) -> None:
        self.bytes: int = 0
        self._limit_bytes: int = limit_bytes

    def hold(self, block: HeaderBlock) -> bool:
        """One more stream keeps it; False, and it does not, where that would be too much."""
        if block.users == 0:
            before = self.bytes
            size = _BLOCK_OVERHEAD_BYTES + _REFERENCE_BYTES * len(block.entries)
            for entry in block.entries:
                if entry.holders == 0:
                    size += entry.size + _FIELD_OVERHEAD_BYTES
                entry.holders += 1
            self.bytes = before + size
            if self.bytes > self._limit_bytes:
                self._release_fields(block)
                return False
        block.users += 1
        return True

    def release(self, block: HeaderBlock) -> None:
        """A stream keeps it no more."""
        block.users -= 1
        if block.users == 0:
            self._release_fields(block)

    def _release_fields(self, block: HeaderBlock) -> None:
        size = _BLOCK_OVERHEAD_BYTES + _REFERENCE_BYTES * len(block.entries)
        for entry in block.entries:
            entry.holders -= 1
            if entry.holders == 0:
                size += entry.size + _FIELD_OVERHEAD_BYTES
        self.bytes -= size


def held_bytes(block: HeaderBlock) -> int:
    """What a block takes if it shares nothing."""
    size = _BLOCK_OVERHEAD_BYTES
    for entry in block.entries:
        size += entry.size + _REFERENCE_BYTES + _FIELD_OVERHEAD_BYTES
    return size
