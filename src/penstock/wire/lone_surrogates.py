r"""Halves of surrogate pairs that stand alone in JSON, such as ``"\ud83d"``.

JavaScript cuts text between UTF-16 units, and its JSON.stringify writes half of an emoji so. RFC
8259, 8.2 leaves open what that means: engines take it, the decoder here does not. To be read, each
is written as a character that the body has no other escape of, U+D83D as U+E83D or U+F83D…; the
length stays, and what is sent on can be written back.
"""

import re
from typing import Final

# Escapes of surrogates in a body, paired ones included, and of backslashes where these must be told
# apart: a bound on time.
MOST: Final = 32_768

_HEX: Final = rb"[0-9a-fA-F]{2}"
_PAIR: Final = rb"\\u[dD][89abAB]" + _HEX + rb"\\u[dD][c-fC-F]" + _HEX
_ANY: Final = _PAIR + rb"|\\u(?P<lone>[dD][89a-fA-F]" + _HEX + rb")"
_SURROGATES: Final = re.compile(_ANY)
# Of a backslash before one the escape takes both, and what follows them is text.
_BEHIND_BACKSLASHES: Final = re.compile(rb"\\\\|" + _ANY)
_LOOKALIKES: Final = (rb"\\ud", rb"\\uD")
# The first digit of what stands in their place. Private use first; all are letters, as "d" is, so
# that it is known how it was written.
_DIGITS: Final = (b"e", b"f", b"c", b"b", b"a")
_STAND_INS: Final = [
    re.compile(rb"\\u(?P<lone>[%b%b][89a-fA-F]%b)" % (digit, digit.upper(), _HEX))
    for digit in _DIGITS
]


class Hidden:
    """A body with other characters in the place of its lone surrogates."""

    def __init__(self, body: bytes, count: int, stand_in: int) -> None:
        self.body: bytes = body
        self._count: int = count
        self._stand_in: int = stand_in

    def restore(self, body: bytes) -> bytes:
        """What became of that body, with its surrogates; b"" when it is not so many any more."""
        restored, found = _STAND_INS[self._stand_in].subn(_as_surrogate, body)
        return restored if found == self._count else b""


def hide(body: bytes) -> Hidden | None:
    """The body with other characters for its lone surrogates.

    None when there are none, or too many escapes to look through, or when every character that
    could stand in is escaped in it as well.
    """
    escapes = body.count(b"\\ud") + body.count(b"\\uD")
    if escapes == 0:
        return None
    surrogates = _SURROGATES
    if any([each in body for each in _LOOKALIKES]):
        surrogates = _BEHIND_BACKSLASHES
        escapes += body.count(rb"\\")
    if escapes > MOST:
        return None
    for stand_in, used in enumerate(_STAND_INS):
        if used.search(body) is None:
            hidden = surrogates.sub(_WITH_DIGIT[stand_in], body)
            count = len(used.findall(hidden))
            return Hidden(hidden, count, stand_in) if count else None
    return None


class _Exchange:
    """Another first digit for a lone surrogate, in the case of the one it has."""

    def __init__(self, digit: bytes) -> None:
        self._small: bytes = digit
        self._large: bytes = digit.upper()

    def __call__(self, match: re.Match[bytes]) -> bytes:
        lone: bytes | None = match["lone"]
        if lone is None:
            return match[0]
        return b"\\u" + (self._small if lone[:1].islower() else self._large) + lone[1:]


_WITH_DIGIT: Final = [_Exchange(digit) for digit in _DIGITS]
_as_surrogate: Final = _Exchange(b"d")
