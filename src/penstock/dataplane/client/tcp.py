"""A client of a listener whose connections are relayed unread, until the relay takes it over."""

from socket import MSG_PEEK, SHUT_WR
from typing import Final

from penstock.dataplane.board.layout import W_TLS_FAILURES, W_TLS_HANDSHAKES
from penstock.dataplane.client.identity import header_of
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.log_line import closed_line
from penstock.dataplane.exchange.tcp import StreamFront, TcpExchange
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import BROKEN, PEER_CLOSED, READABLE
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel
from penstock.wire.client_certificate import ClientCertificate
from penstock.wire.client_hello import ClientHelloReader
from penstock.wire.preface import ABSENT, BAD, FOUND
from penstock.wire.proxy_protocol import ProxyHeader

_LINGER_S: Final = 2.0  # for the client to read why it was refused
# How long a handshake that is under way may take when the worker stops.
_HANDSHAKE_S: Final = 1.0


class TcpClient(Connection, StreamFront):
    """Before its relay begins it is read for TLS alone: to end it, or for its server name."""

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
        self.exchange: TcpExchange | None = None
        self.told: ProxyHeader | None = None  # that its connection began with
        self.certificate: ClientCertificate | None = None  # that it showed, and was verified
        if tls is not None:
            tls.listener = settings.listener
        self._received: bytes = b""  # before the relay
        self._refused: bool = False  # what still comes is thrown away
        self._hello: ClientHelloReader | None = None  # until it told the server name

    def begin(self, first: bytes = b"") -> None:
        """It was accepted, and is watched; ``first`` came behind its PROXY header."""
        if self.settings.protocol == "tls-passthrough":
            self._hello = ClientHelloReader()
        elif self.tls is None:
            self._received = first
            self._start("")
            return
        timeout = self.settings.tls_handshake_s
        self.deadline = self.loop.env.now + timeout if timeout > 0.0 else 0.0
        if first:
            self._take(first if self.tls is None else self.unseal(first))

    def left(self) -> None:
        self.context.client_left(self.address)

    # --- TLS that ends here, or whose first message tells the server name --------------------

    def on_readable(self) -> None:
        self._take(self.receive())

    def _take(self, data: bytes | None) -> None:
        if self._refused:
            if data == b"":
                self.close()
            return
        if self._hello is not None:
            if data is not None:
                self._take_hello(self._hello, data)
            return
        tls = self.tls
        if tls is None or data == b"" or tls.failure:
            if tls is not None and tls.failure:
                self._refuse_handshake(tls.failure)
                return
            if tls is not None:
                self.context.counters.bump(W_TLS_FAILURES)
            self.close()
            return
        if data:
            self._received += data
        if tls.established:
            self.context.counters.bump(W_TLS_HANDSHAKES)
            if self.settings.asks_certificates:
                self.certificate = tls.client_certificate()
            self._start(tls.server_name())

    def _take_hello(self, hello: ClientHelloReader, data: bytes) -> None:
        self._received += data
        if not data and not self._received:
            self.close()  # a check whether the port is open
        elif not data:
            self._refuse("the connection ended within its ClientHello")
        elif hello.feed(data) == FOUND:
            self._hello = None
            self._start(hello.server_name)
        elif hello.outcome == ABSENT:
            self._refuse("the connection does not begin with a TLS handshake")
        elif hello.outcome == BAD:
            self._refuse(hello.reason)

    def _refuse(self, why: str) -> None:
        """No server name can be read."""
        self._note_refusal(why)
        self.close()

    def _refuse_handshake(self, why: str) -> None:
        """TLS sent an alert, which the client is to read though it sends already: with TLS 1.3 it
        hears only then that its certificate is refused."""
        self._note_refusal(why)
        self.tls = None
        self._refused = True
        self.deadline = self.loop.env.now + _LINGER_S
        try:
            self.sock.shutdown(SHUT_WR)
        except OSError:
            self.close()

    def _note_refusal(self, why: str) -> None:
        context = self.context
        context.counters.bump(W_TLS_FAILURES)
        log = context.log
        if log.enabled:
            log.write(closed_line(self.address, self.settings.listener, why, log.shape))

    def on_deadline(self) -> None:
        if self._hello is not None and not self.context.stopping:
            self._refuse(f"no whole ClientHello came within {self.settings.tls_handshake_s:g} s")
        elif self.exchange is None:
            self.close()

    # --- while there is no endpoint ---------------------------------------------------------

    def _start(self, server_name: str) -> None:
        self.deadline = 0.0
        self.watch(self.events & ~READABLE)
        context = self.context
        listener = self.settings.listener
        plan = context.planner.plan_connection(
            listener, self.address, server_name, self.certificate
        )
        exchange = TcpExchange(context, self, plan, listener)
        self.exchange = exchange
        exchange.start()

    def on_ready(self, events: int) -> None:
        if self.exchange is not None and events & BROKEN and not self.events & READABLE:
            self._on_gone()
        else:
            super().on_ready(events)

    def on_peer_closed(self) -> None:
        """It ended its side. Who sent something before is to have it passed on; else it left."""
        self.watch(self.events & ~PEER_CLOSED)
        if self._received or self.tls is not None:
            return
        try:
            waiting: bytes = self.sock.recv(1, MSG_PEEK)
        except OSError:
            waiting = b""
        if not waiting:
            self._on_gone()

    def _on_gone(self) -> None:
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.on_client_gone()
        self.close()

    def on_crash(self) -> None:
        exchange = self.exchange
        self.exchange = None
        try:
            if exchange is not None:
                exchange.on_crash()
        finally:
            self.reset()

    def close_if_idle(self) -> None:
        """The worker stops: a handshake that has begun gets a moment."""
        if self.exchange is None:
            self.deadline = self.loop.env.now + _HANDSHAKE_S

    def distrust(self) -> None:
        self._cut("the client's certificate is trusted no more")

    def cut_off(self) -> None:
        self._cut("the balancer stopped, and its deadline passed")

    def _cut(self, why: str) -> None:
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.cut_off(why)
        self.reset()

    # --- StreamFront ------------------------------------------------------------------------

    def connection(self) -> Connection:
        self.exchange = None
        return self

    def take_received(self) -> bytes:
        received = self._received
        self._received = b""
        return received

    def turn_away(self) -> None:
        self.exchange = None
        self.close_in_order()

    def proxy_header(self) -> ProxyHeader:
        return header_of(self, self.address, self.told, self.certificate)
