"""The path of a request in one form, for rules and endpoints alike, and how else it may be read.

Rules that look at paths are worth nothing where a server finds the same resource under another
spelling. So a path is normalised (RFC 3986, 6.2.2) before anything looks at it, and forwarded in
that form. What servers read differently from one another, such as ``%2f``, is left as it is:
``other_readings`` tells how they may read it, so that rules can be asked about each of them.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

# Paths without any of these, nearly all, have one spelling and one reading.
_ODD: Final = re.compile(rb"[%;\\]|//|/\.")
_AMBIGUOUS: Final = re.compile(rb"[%;\\]|//")
_ESCAPE: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SLASHES: Final = re.compile(rb"//+")
_PARAMETERS: Final = re.compile(rb";[^/]*")
_DOT_SEGMENT: Final = re.compile(rb"/\.\.?(?:/|\Z)")
# "/" and "." in more bytes than UTF-8 allows (RFC 3629, 10), and the others that begin so.
_OVERLONG: Final = re.compile(
    rb"%C[01]%[89AB][0-9A-F]|%E0%[89][0-9A-F]|%F0%8[0-9A-F]", re.IGNORECASE
)
_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_HEX: Final = "0123456789abcdefABCDEF"


# The reserved characters that may stand in a path (RFC 3986, 3.3) or part it. All others stay
# escaped in readings too, as rules write them so.
_RESERVED: Final = b"!$&'()*+,;=:@/\\"


def _escapes(decoded: bytes) -> dict[bytes, bytes]:
    """What each escape becomes when those characters are decoded."""
    table: dict[bytes, bytes] = {}
    for high in _HEX:
        for low in _HEX:
            escape = f"%{high}{low}"
            byte = bytes([int(high + low, 16)])
            table[escape.encode()] = byte if byte in decoded else escape.upper().encode()
    return table


_NORMAL_ESCAPES: Final[dict[bytes, bytes]] = _escapes(_UNRESERVED)  # RFC 3986, 6.2.2.1, 6.2.2.2
_READ_ESCAPES: Final[dict[bytes, bytes]] = _escapes(_RESERVED)


def normal_path(path: bytes, merge_slashes: bool) -> bytes:
    """A path, without its query, in its normal form.

    Raises ValueError, for people, on what has none: a broken escape, a NUL, overlong UTF-8, and
    dot segments that lead above the root.
    """
    if _ODD.search(path) is None:
        return path
    if b"%" in path:
        path = _with_normal_escapes(path)
    if merge_slashes:
        path = _SLASHES.sub(b"/", path)
    if b"/." in path:
        path = _without_dot_segments(path)
    return path


def other_readings(path: bytes) -> list[bytes]:
    """What a normal path may be to servers that decode it further than RFC 3986 allows.

    Most decode all escapes, some cut ``;parameters`` off before or after that, take a backslash
    for a slash, or several slashes for one.
    """
    if _AMBIGUOUS.search(path) is None:
        return []
    found = {path: None}
    if b";" in path:
        found[_PARAMETERS.sub(b"", path)] = None
    if b"%" in path:
        found |= dict.fromkeys([_unescaped(each, _READ_ESCAPES) for each in found])
    found |= dict.fromkeys([_PARAMETERS.sub(b"", each) for each in found if b";" in each])
    found |= dict.fromkeys([each.replace(b"\\", b"/") for each in found if b"\\" in each])
    found |= dict.fromkeys([_SLASHES.sub(b"/", each) for each in found if b"//" in each])
    return [reading for reading in found if reading != path]


def decoded_path(path: bytes) -> bytes:
    """A path without a query as most servers read it, to tell whose API it is."""
    return unquote_to_bytes(path) if b"%" in path else path


def has_dot_segment(path: bytes) -> bool:
    """Whether a path holds ``.`` or ``..``, as a reading of ``..%2f`` or a rewritten one may."""
    return b"/." in path and _DOT_SEGMENT.search(path) is not None


def _with_normal_escapes(path: bytes) -> bytes:
    if _BROKEN_ESCAPE.search(path) is not None:
        raise ValueError("a % in the path is not followed by two hexadecimal digits")
    if b"%00" in path:
        raise ValueError("the path holds %00")
    if _OVERLONG.search(path) is not None:
        raise ValueError("the path holds overlong UTF-8")
    return _unescaped(path, _NORMAL_ESCAPES)


def _unescaped(path: bytes, table: dict[bytes, bytes]) -> bytes:
    """With every escape as in the table; by kinds of escapes, of which a long path has few.

    One after the other can be replaced: nothing that is put in makes an escape with its neighbours.
    """
    for escape in set(_ESCAPE.findall(path)):
        path = path.replace(escape, table[escape])
    return path


def _without_dot_segments(path: bytes) -> bytes:
    """RFC 3986, 5.2.4, without its tolerance for ``..`` at the root."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise ValueError("the path leads above the root")
            kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
