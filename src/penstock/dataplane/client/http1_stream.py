"""A client's connection below its requests: writing to it, refusing it, ending it."""

from socket import SHUT_WR
from typing import Final

from penstock.dataplane.board.layout import W_BAD_REQUESTS
from penstock.dataplane.client.own_answer import accepted_in, encoded
from penstock.dataplane.client.refusing import log_refusal, refusal_page
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.log_line import closed_line
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import READABLE
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.client_certificate import ClientCertificate
from penstock.wire.forwarding import Edit
from penstock.wire.proxy_protocol import ProxyHeader

# How long, and how much, a client may still send after an answer that ends the connection.
_LINGER_S: Final = 2.0
_LINGER_BYTES: Final = 16 * 1024 * 1024

AWAIT: Final = 0  # between requests, or inside a head
BODY: Final = 1  # a request's body is coming
BUSY: Final = 2  # the request is whole, its response is under way
LINGER: Final = 3  # answered for the last time; what still comes is thrown away


class ClientStream(Connection):
    """The part of a client's connection that writes and ends."""

    def __init__(
        self,
        context: Context,
        sock: Socket,
        tls: TlsChannel | None,
        address: str,
        settings: ClientSettings,
    ) -> None:
        super().__init__(context.loop, sock, tls)
        self.context: Context = context
        self.settings: ClientSettings = settings
        self.address: str = address
        self.told: ProxyHeader | None = None  # that its connection began with
        self.certificate: ClientCertificate | None = None  # that it showed, and was verified
        if tls is not None:
            tls.listener = settings.listener
        self._state: int = AWAIT
        self._inbox: bytes = b""
        self._response_bytes: int = 0  # passed on of the response under way
        self._left: int = 0  # bytes to be thrown away that may still come
        self._keep_alive: bool = True
        self._arm(settings.headers_s if tls is None else settings.tls_handshake_s)

    def write(self, data: bytes) -> bool:
        size = len(data)
        self.context.counters.bytes_to_clients += size
        self._response_bytes += size
        if self.send(data):
            return True
        if self._state != LINGER:
            self._arm(self.settings.write_idle_s)
        return False

    def left(self) -> None:
        self.context.client_left(self.address)

    def _refuse(self, status: int, reason: str) -> None:
        """Answer a request that is none, and end the connection."""
        received = self._inbox
        log_refusal(self.context, self.address, received, status, reason)
        bodiless = received.startswith(b"HEAD ")
        told = refusal_page(self.context, status, reason, accepted_in(received))
        self._answer_refusal(told, None, bodiless=bodiless)

    def _answer_refusal(
        self, told: Answer, edits: list[Edit] | None, *, bodiless: bool = False
    ) -> None:
        """Answer an error, which is logged elsewhere, and end the connection."""
        self.context.counters.bump(W_BAD_REQUESTS)
        self._inbox = b""
        self._keep_alive = False
        date = self.context.date
        self.write(encoded(told, False, date, without_body=bodiless, edits=edits))
        self._end_connection()

    def _refuse_handshake(self, why: str) -> None:
        """TLS sent an alert, which the client is to read: with TLS 1.3 it sends its first request
        before it hears that its certificate is refused (RFC 8446, 4.4.2.4), and closing with that
        unread would be a reset."""
        log = self.context.log
        if log.enabled:
            log.write(closed_line(self.address, self.settings.listener, why, log.shape))
        self.tls = None
        self._state = LINGER
        self._left = _LINGER_BYTES
        if self.unsent is None:
            self._shut_down()

    def _end_connection(self) -> None:
        """Close after the last answer, so that it is read even if the client is still sending."""
        if not self.open:
            return
        clean = self._state != BODY and not self._inbox and self._state != AWAIT
        if clean and self.unsent is None and self.tls is None:
            self.close()
            return
        self._state = LINGER
        self._left = _LINGER_BYTES
        self._inbox = b""
        if self.unsent is None:
            self._shut_down()
        else:
            self._arm(self.settings.write_idle_s)

    def _shut_down(self) -> None:
        """Send our end, and read on for a while: closing with unread bytes would be a reset."""
        tls = self.tls
        if tls is not None and tls.established:
            self.send(tls.farewell(), True)
        self.tls = None
        self._arm(_LINGER_S)
        if not self.events & READABLE:
            self.resume_reading()
        try:
            self.sock.shutdown(SHUT_WR)
        except OSError:
            self.close()

    def _arm(self, timeout: float) -> None:
        self.deadline = self.loop.env.now + timeout if timeout > 0.0 else 0.0
