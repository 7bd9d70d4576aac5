"""Where elements of DER begin and end (X.690, 8.1), which certificates and such are made of."""

from typing import Final

INTEGER: Final = 0x02
SEQUENCE: Final = 0x30
_LONG_FORM: Final = 0x80


def element(der: bytes, at: int) -> tuple[int, int, int]:
    """Its tag, and where its content begins and ends. Raises ValueError where there is none."""
    if at + 2 > len(der):
        raise ValueError("what should be DER ends too early")
    size = der[at + 1]
    begin = at + 2
    if size & _LONG_FORM:
        digits = size & ~_LONG_FORM
        size = int.from_bytes(der[begin : begin + digits], "big")
        begin += digits
    return der[at], begin, begin + size
