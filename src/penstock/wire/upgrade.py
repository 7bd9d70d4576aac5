"""A change of protocol within HTTP/1.1 (RFC 9110, 7.8): what a request asks for, and who agrees."""

from typing import Final

from penstock.wire.http1 import RequestHead, ResponseHead
from penstock.wire.websocket_handshake import PROTOCOL, accepts, key_from

# Never passed on, whatever is configured: HTTP/2 begun so would reach past every rule, and TLS
# within plain HTTP is nobody's (RFC 9113, 3.1; RFC 2817).
NEVER_PASSED: Final = frozenset((b"h2c", b"h2", b"tls", b"http"))


class Upgrade:
    """What was asked for. ``key`` is that of a WebSocket, which proves that it was understood; b""
    where its client has none, as over HTTP/2."""

    def __init__(self, protocol: bytes, key: bytes) -> None:
        self.protocol: bytes = protocol  # in lower case
        self.key: bytes = key
        self.is_websocket: bool = protocol == PROTOCOL

    def with_key(self, chance: bytes) -> "Upgrade":
        """The same with a key of ours, made of 16 bytes that nobody can foresee (RFC 6455, 4.1)."""
        return Upgrade(self.protocol, key_from(chance))

    def why_not(self, head: ResponseHead) -> str:
        """Why a 101 does not agree to it; "" where it does."""
        if self.is_websocket:
            if accepts(head.status, head.fields, self.key):
                return ""
            return "the endpoint's 101 is no answer to a WebSocket handshake"
        named = [value.lower() for lower, _, value in head.fields if lower == b"upgrade"]
        if named == [self.protocol] and b"upgrade" in head.connection:
            return ""
        return "the endpoint switched to another protocol than it was asked for"


def asked_protocol(head: RequestHead) -> bytes:
    """The one protocol that a request asks to change to, in lower case; b"" where it asks for none
    or for a choice, which may be ignored (RFC 9110, 7.8)."""
    if not head.upgrade or head.minor == 0 or b"upgrade" not in head.connection:
        return b""
    values = [value.lower() for lower, _, value in head.fields if lower == b"upgrade"]
    return values[0] if len(values) == 1 and b"," not in values[0] else b""
