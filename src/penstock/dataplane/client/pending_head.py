"""The head of a client's request, where it is not the remembered one: awaited and parsed."""

from typing import Final

from penstock.dataplane.client.settings import ClientSettings
from penstock.wire.http1 import BadMessage, RequestHead, find_head_end, parse_request

_TLS_HANDSHAKE: Final = b"\x16"  # RFC 8446, 5.1


class PendingHead:
    """The next head of a connection, within the limits. ``began``: when its first bytes came."""

    _scanned: int = 0  # bytes of it known to hold no end

    def __init__(self, settings: ClientSettings, began: float) -> None:
        self.began: float = began
        self._settings: ClientSettings = settings

    def parse(self, data: bytes, anew: bool) -> RequestHead | None:
        """A head at the beginning of these bytes; None when more must come. Raises BadMessage.

        ``anew``: they begin elsewhere than before.
        """
        settings = self._settings
        if data[:1] == _TLS_HANDSHAKE:
            raise BadMessage(400, "a TLS handshake came to a port that speaks plain HTTP")
        end = find_head_end(data, 0 if anew else self._scanned)
        if end < 0:
            if len(data) > settings.header_bytes:
                raise self._too_long(data)
            self._scanned = max(len(data) - 3, 1)  # its end may have begun in the last three bytes
            return None
        if end > settings.header_bytes:
            raise self._too_long(data)
        head = parse_request(
            data[:end], settings.target_bytes, settings.header_count, settings.merge_slashes
        )
        if settings.body_bytes and head.content_length > settings.body_bytes:
            raise BadMessage(413, f"the body is over {settings.body_bytes} bytes")
        return head

    def _too_long(self, data: bytes) -> BadMessage:
        settings = self._settings
        line = data.find(b"\r\n", 0, settings.header_bytes)
        if line < 0:
            return BadMessage(414, f"the target is over {settings.target_bytes} bytes")
        return BadMessage(431, f"the header fields are over {settings.header_bytes} bytes")
