"""CRC32C, Castagnoli's polynomial (RFC 9260, appendix A; RFC 3720, appendix B.4)."""

from typing import Final

_POLYNOMIAL: Final = 0x82F63B78  # 0x1EDC6F41 with its bits in reverse
_ONES: Final = 0xFFFFFFFF


def _table() -> list[int]:
    table: list[int] = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ _POLYNOMIAL if value & 1 else value >> 1
        table.append(value)
    return table


_TABLE: Final = _table()


def crc32c(data: bytes) -> int:
    """The checksum of these bytes, 0 to 2^32-1. A byte at a time: for headers, not for payload."""
    value = _ONES
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ _ONES
