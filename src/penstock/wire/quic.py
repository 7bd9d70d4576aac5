"""Whose QUIC packet it is: the server id that servers put into their connection ids.

As in draft-ietf-quic-load-balancers, its plaintext form: the first octet's three leading bits name
the configuration by which the id was made (7: by none), the server id follows, then a nonce of at
least four octets. Nothing is read of a packet but what all versions of QUIC share (RFC 8999).
"""

from typing import Final

UNROUTABLE: Final = 7  # the configuration of connection ids that name no server
MOST_CONFIGURATIONS: Final = 7
MIN_NONCE_BYTES: Final = 4
MAX_SERVER_ID_BYTES: Final = 15  # of 20 for a connection id in version 1 (RFC 9000, 17.2)

_LONG_HEADER: Final = 0x80
_ID_LENGTH_AT: Final = 5  # behind the first octet and the version (RFC 8999, 5.1)
_SHORT_ID_AT: Final = 1  # RFC 8999, 5.2
_MOST_READ_BYTES: Final = 1 + MAX_SERVER_ID_BYTES + MIN_NONCE_BYTES
_CONFIGURATION_SHIFT: Final = 5


def has_long_header(data: bytes | memoryview) -> bool:
    """Whether a packet is of a handshake, so that its connection id may be the client's own."""
    return len(data) > 0 and data[0] & _LONG_HEADER != 0


def connection_id_of(data: bytes) -> bytes:
    """The destination connection id of a datagram's first packet: b"" where it ends before.

    Short headers do not tell its length: as much as a server id may need.
    """
    if not has_long_header(data):
        return data[_SHORT_ID_AT : _SHORT_ID_AT + _MOST_READ_BYTES]
    if len(data) <= _ID_LENGTH_AT:
        return b""
    end = _ID_LENGTH_AT + 1 + data[_ID_LENGTH_AT]
    return data[_ID_LENGTH_AT + 1 : end] if len(data) >= end else b""


def server_id_of(connection_id: bytes, lengths: list[int]) -> bytes:
    """The server id in a connection id; b"" where it has none.

    ``lengths``: by the number of the configuration, the bytes of its server ids; 0: it is not used.
    """
    if not connection_id:
        return b""
    configuration = connection_id[0] >> _CONFIGURATION_SHIFT
    length = lengths[configuration] if configuration < len(lengths) else 0
    if length == 0 or len(connection_id) < 1 + length + MIN_NONCE_BYTES:
        return b""
    return connection_id[1 : 1 + length]
