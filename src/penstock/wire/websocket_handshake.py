"""WebSocket's handshake: over HTTP/1.1 (RFC 6455, 4), and over extended CONNECT (RFC 8441).

The two differ in how they ask and agree. Over HTTP/1.1 it is GET, ``Upgrade`` and 101, with a key
that the server proves to have understood; over HTTP/2 CONNECT, ``:protocol`` and 200, without key.
A balancer that has one in front and the other behind translates between them.
"""

from base64 import b64decode, b64encode
from hashlib import sha1
from typing import Final

from penstock.wire.http1 import Field

KEY_BYTES: Final = 16  # RFC 6455, 4.1
VERSION: Final = b"13"
PROTOCOL: Final = b"websocket"  # in Upgrade and in :protocol
# Fields of the handshake that HTTP/2 does not have (RFC 8441, 5; RFC 9113, 8.2.2). All others of
# WebSocket (version, protocols, extensions) mean the same over both.
ONLY_IN_HTTP1: Final = frozenset(
    (b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-accept")
)
# What is done to a client's handshake where frames are read: no extension is offered.
WITHOUT_EXTENSIONS: Final[list[tuple[str, bytes, bytes, bytes]]] = [
    ("remove", b"Sec-WebSocket-Extensions", b"sec-websocket-extensions", b""),
]
# And where we make our own: keys are for one connection.
OWN_HANDSHAKE: Final[list[tuple[str, bytes, bytes, bytes]]] = [
    ("remove", b"Sec-WebSocket-Key", b"sec-websocket-key", b""),
    *WITHOUT_EXTENSIONS,
]
_EXTENSIONS: Final = b"sec-websocket-extensions"
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def accept_key(key: bytes) -> bytes:
    """The ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key`` (RFC 6455, 4.2.2)."""
    return b64encode(sha1(key + _MAGIC, usedforsecurity=False).digest())


def key_from(chance: bytes) -> bytes:
    """A ``Sec-WebSocket-Key`` from 16 bytes of chance (RFC 6455, 4.1).

    Raises ValueError for another number of them.
    """
    if len(chance) != KEY_BYTES:
        raise ValueError(f"a WebSocket key is made of {KEY_BYTES} bytes, not {len(chance)}")
    return b64encode(chance)


def handshake_key(method: bytes, minor: int, fields: list[Field]) -> bytes:
    """The key of an HTTP/1.1 request that is a WebSocket handshake, else b"".

    By RFC 6455, 4.2.1: GET, HTTP/1.1 (``minor``: the digit after the dot), ``Upgrade`` and
    ``Connection`` that name it, version 13, and one key of 16 bytes.
    """
    if method != b"GET" or minor < 1 or not has_version_13(fields):
        return b""
    if not _names(fields, b"upgrade", PROTOCOL) or not _names(fields, b"connection", b"upgrade"):
        return b""
    key = _only(fields, b"sec-websocket-key")
    return key if _is_key(key) else b""


def has_version_13(fields: list[Field]) -> bool:
    """Whether a handshake asks for the one version that there is, over HTTP/2 too (RFC 8441, 5).

    A server answers others with 426 and ``Sec-WebSocket-Version: 13`` (RFC 6455, 4.2.2).
    """
    return _only(fields, b"sec-websocket-version") == VERSION


def accepts(status: int, fields: list[Field], key: bytes) -> bool:
    """Whether an HTTP/1.1 response agrees to the handshake with that key (RFC 6455, 4.1)."""
    return (
        status == 101
        and _only(fields, b"upgrade").lower() == PROTOCOL
        and _names(fields, b"connection", b"upgrade")
        and _only(fields, b"sec-websocket-accept") == accept_key(key)
    )


def agreed(key: bytes, protocol: bytes, extensions: bytes = b"") -> list[Field]:
    """The fields by which a server agrees (RFC 6455, 4.2.2).

    ``key``: the client's; b"" over HTTP/2, which has none. ``protocol``: the subprotocol that is
    chosen of those that it offers; b"" for none. ``extensions``: likewise, with what was agreed.
    """
    fields: list[Field] = []
    if key:
        fields.append((b"sec-websocket-accept", b"Sec-WebSocket-Accept", accept_key(key)))
    if protocol:
        fields.append((b"sec-websocket-protocol", b"Sec-WebSocket-Protocol", protocol))
    return with_extensions(fields, extensions)


def with_extensions(fields: list[Field], extensions: bytes) -> list[Field]:
    """The fields by which a server agrees, to these extensions in place of any others."""
    kept = [field for field in fields if field[0] != _EXTENSIONS]
    if extensions:
        kept.append((_EXTENSIONS, b"Sec-WebSocket-Extensions", extensions))
    return kept


def _is_key(key: bytes) -> bool:
    try:
        return len(b64decode(key, validate=True)) == KEY_BYTES
    except ValueError:
        return False


def _only(fields: list[Field], lower: bytes) -> bytes:
    """The value of a field that stands once; b"" for none and for several."""
    values = [field[2] for field in fields if field[0] == lower]
    return values[0] if len(values) == 1 else b""


def _names(fields: list[Field], lower: bytes, token: bytes) -> bool:
    """Whether a list holds that token, in any case and in any of its fields."""
    for field in fields:
        if field[0] == lower:
            for each in field[2].split(b","):
                if each.strip(b" \t").lower() == token:
                    return True
    return False
