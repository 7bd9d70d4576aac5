"""Bytes that a document gives as text: what a health check sends, and what it expects."""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

from penstock.config.document.show import show

_HEX: Final = "hex:"
_ESCAPE: Final = re.compile(r"(\\x[0-9A-Fa-f]{2}|\\[rnt0\\])")
_MEANT: Final = {r"\r": b"\r", r"\n": b"\n", r"\t": b"\t", r"\0": b"\0", r"\\": b"\\"}


def parse_check_bytes(value: object) -> bytes:
    """Text with escapes, or ``hex:`` and digits, as bytes. Raises ValueError."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"a text, or `hex:` and hexadecimal digits, is needed, not {show(value)}")
    if value.startswith(_HEX):
        try:
            return bytes.fromhex(value.removeprefix(_HEX))
        except ValueError:
            raise ValueError(
                f"after `hex:` come pairs of hexadecimal digits, not {value}"
            ) from None
    found = b""
    for index, piece in enumerate(_ESCAPE.split(value)):
        if index % 2:  # an escape, as the pattern's group
            found += _MEANT[piece] if piece in _MEANT else bytes.fromhex(piece[2:])
            continue
        at = piece.find("\\")
        if at >= 0:
            raise ValueError(
                rf"`{piece[at : at + 2]}` is no escape: there are \r \n \t \0 \xHH, and \\ for a "
                "backslash"
            )
        found += piece.encode()
    return found


def _spelled(value: bytes) -> str:
    text = value.decode("ascii", "replace")
    if text.isascii() and text.isprintable() and "\\" not in text and not text.startswith(_HEX):
        return text
    return _HEX + value.hex()


CheckBytes = Annotated[
    bytes,
    BeforeValidator(parse_check_bytes, json_schema_input_type=str),
    PlainSerializer(_spelled, return_type=str),
]
