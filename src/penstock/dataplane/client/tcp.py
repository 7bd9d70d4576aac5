"""A client of a listener whose connections are relayed unread, until the relay takes it over."""

from socket import MSG_PEEK

from penstock.dataplane.board.layout import W_TLS_FAILURES, W_TLS_HANDSHAKES
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.tcp import StreamFront, TcpExchange
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import BROKEN, PEER_CLOSED, READABLE
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel


class TcpClient(Connection, StreamFront):
    """It is read only for TLS before its exchange begins, and not at all before its relay does."""

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
        self._received: bytes = b""  # before the relay

    def begin(self) -> None:
        """It was accepted, and is watched."""
        if self.tls is None:
            self._start("")
            return
        timeout = self.settings.tls_handshake_s
        self.deadline = self.loop.env.now + timeout if timeout > 0.0 else 0.0

    def left(self) -> None:
        self.context.client_left(self.address)

    # --- TLS --------------------------------------------------------------------------------

    def on_readable(self) -> None:
        tls = self.tls
        data = self.receive()
        if tls is None or data == b"" or tls.failure:
            if tls is not None:
                self.context.counters.bump(W_TLS_FAILURES)
            self.close()
            return
        if data:
            self._received += data
        if tls.established:
            self.context.counters.bump(W_TLS_HANDSHAKES)
            self._start("")

    def on_deadline(self) -> None:
        if self.exchange is None:
            self.close()

    # --- while there is no endpoint ---------------------------------------------------------

    def _start(self, server_name: str) -> None:
        self.deadline = 0.0
        self.watch(self.events & ~READABLE)
        context = self.context
        listener = self.settings.listener
        plan = context.planner.plan_connection(listener, self.address, server_name)
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
        if self.exchange is None:
            self.close()

    def cut_off(self) -> None:
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.cut_off("the balancer stopped, and its deadline passed")
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
