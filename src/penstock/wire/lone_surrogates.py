r"""Halves of surrogate pairs that stand alone in JSON, such as ``"\ud83d"``.

JavaScript cuts text between UTF-16 units, and its JSON.stringify writes half of an emoji so. RFC
8259, 8.2 leaves open what that means: engines take it, the decoder here does not. To be read, each
is written as a character for private use, U+D83D as U+E83D; the length stays, and what is sent on
can be written back.
"""

import re
from typing import Final

MOST: Final = 32_768  # escapes of surrogates in a body, paired ones included: a bound on time

_HEX: Final = rb"[0-9a-fA-F]{2}"
_PAIR: Final = rb"\\u[dD][89abAB]" + _HEX + rb"\\u[dD][c-fC-F]" + _HEX
_SURROGATES: Final = re.compile(_PAIR + rb"|\\u(?P<lone>[dD][89a-fA-F]" + _HEX + rb")")
_HIDDEN: Final = re.compile(rb"\\u(?P<lone>[eE][89a-fA-F]" + _HEX + rb")")
# Text that looks like an escape and is none, or follows a backslash: telling which costs time.
_LOOKALIKES: Final = (rb"\\ud", rb"\\uD")
_OTHER: Final = {b"d": b"e", b"D": b"E", b"e": b"d", b"E": b"D"}


def hide(body: bytes) -> tuple[bytes, int]:
    """The body with characters for private use in their place, and how many there are.

    0 and the body as it is when there are none, or too many, or when it holds something that could
    be taken for them.
    """
    escapes = body.count(b"\\ud") + body.count(b"\\uD")
    if escapes == 0 or escapes > MOST or any([each in body for each in _LOOKALIKES]):
        return body, 0
    if _HIDDEN.search(body) is not None:
        return body, 0
    hidden = _SURROGATES.sub(_exchanged, body)
    return hidden, len(_HIDDEN.findall(hidden))


def restore(body: bytes, count: int) -> bytes:
    """What ``hide`` hid, written back; b"" when it is not so many any more."""
    restored, found = _HIDDEN.subn(_exchanged, body)
    return restored if found == count else b""


def _exchanged(match: re.Match[bytes]) -> bytes:
    lone: bytes | None = match["lone"]
    if lone is None:
        return match[0]
    return b"\\u" + _OTHER[lone[:1]] + lone[1:]
