"""A request for a change of protocol, as HTTP/2 makes it: an extended CONNECT (RFC 8441)."""

from penstock.wire.forwarding import ForwardedHead
from penstock.wire.http1 import ResponseHead
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.http2.heads import switched_head_of
from penstock.wire.upgrade import Upgrade


class Asking:
    """It must not be sent before the endpoint has said that it knows it (RFC 8441, 3). That it does
    not is told later: who sends must have sent."""

    head: ForwardedHead | None = None  # to be sent once that is known
    request_id: bytes = b""
    agreed: HeaderBlock | None = None  # the consent came, and is not passed on yet

    def __init__(self, upgrade: Upgrade) -> None:
        self._upgrade: Upgrade = upgrade

    def take_consent(self) -> ResponseHead | None:
        """The consent as the 101 of HTTP/1.1, once; None where there is none."""
        agreed = self.agreed
        self.agreed = None
        return switched_head_of(agreed, self._upgrade.key) if agreed is not None else None
