"""Beginnings of QUIC packets, and connection ids as servers make them."""

NONCE = b"nonce"


def made(server_id: bytes, configuration: int = 0, others: int = 0) -> bytes:
    """A connection id as servers make it; ``others`` are the five bits that tell nothing."""
    return bytes((configuration << 5 | others,)) + server_id + NONCE


def long(connection_id: bytes, version: int = 1, kind: int = 0xC0) -> bytes:
    """A packet of a handshake."""
    head = bytes((kind,)) + version.to_bytes(4, "big")
    return head + bytes((len(connection_id),)) + connection_id + b"\x08their id and the rest"


def short(connection_id: bytes) -> bytes:
    """A packet of a connection that is made."""
    return b"\x40" + connection_id + b"number, payload"
