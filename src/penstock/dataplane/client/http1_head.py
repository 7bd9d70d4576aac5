"""The head of a client's request, where it is not the remembered one: awaited and parsed."""

from typing import Final

from penstock.dataplane.client.http1_stream import ClientStream
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.http1 import BadMessage, RequestHead, find_head_end, parse_request

_TLS_HANDSHAKE: Final = b"\x16"  # RFC 8446, 5.1


class ClientHead(ClientStream):
    """The part of a client's connection that takes heads out of its inbox, within the limits."""

    def __init__(
        self,
        context: Context,
        sock: Socket,
        tls: TlsChannel | None,
        address: str,
        settings: ClientSettings,
    ) -> None:
        super().__init__(context, sock, tls, address, settings)
        self._idle_since: float = 0.0
        self._head_began: float = 0.0  # of a head that does not come in one piece
        self._scanned: int = 0  # bytes of it known to hold no end

    def _parse(self, data: bytes) -> RequestHead | None:
        """A head of these bytes; None when more must come. Raises BadMessage."""
        settings = self.settings
        scanned = self._scanned
        if data.startswith(b"\r\n"):  # RFC 9112, 2.2: an empty line before a request is ignored
            data = data[2:]
            self._inbox = data
            scanned = 0
        if data[:1] == _TLS_HANDSHAKE:
            raise BadMessage(400, "a TLS handshake came to a port that speaks plain HTTP")
        end = find_head_end(data, scanned)
        if end < 0:
            if len(data) > settings.header_bytes:
                raise self._too_long(data)
            self._await_more_head(len(data))
            return None
        if end > settings.header_bytes:
            raise self._too_long(data)
        head = parse_request(
            data[:end], settings.target_bytes, settings.header_count, settings.merge_slashes
        )
        if settings.body_bytes and head.content_length > settings.body_bytes:
            raise BadMessage(413, f"the body is over {settings.body_bytes} bytes")
        return head

    def _await_more_head(self, scanned: int) -> None:
        """What came holds no whole head; its end may have begun in the last three bytes."""
        if not self._scanned:
            self._head_began = self.loop.env.now
        self._scanned = max(scanned - 3, 1)
        if self._idle_since > 0.0:
            self._idle_since = 0.0
            self._arm(self.settings.headers_s)  # total, from the first byte on

    def _too_long(self, data: bytes) -> BadMessage:
        line = data.find(b"\r\n", 0, self.settings.header_bytes)
        if line < 0:
            return BadMessage(414, f"the target is over {self.settings.target_bytes} bytes")
        return BadMessage(431, f"the header fields are over {self.settings.header_bytes} bytes")
