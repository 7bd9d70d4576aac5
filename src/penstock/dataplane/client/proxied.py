"""A client behind a proxy, until the proxy's PROXY header has told who it is.

Only connections of listeners that read such headers begin here, and only from peers that are
trusted. Whoever serves the client then has the socket, and nothing of this is left.
"""

import ssl
from typing import Final

from penstock.dataplane.board.layout import (
    W_PROXY_BAD,
    W_PROXY_MISSING,
    W_REFUSED_ADDRESS,
    W_REFUSED_LIMIT,
)
from penstock.dataplane.client.becoming import become_client, has_crashed_since, is_client_at_last
from penstock.dataplane.client.challenge import ChallengedClient
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.log_line import closed_line
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.io.loop import Pollable
from penstock.dataplane.io.system import Socket
from penstock.wire.preface import BAD, FOUND, NEED_MORE
from penstock.wire.proxy_protocol import PROXY, TCP, ProxyHeader, read_proxy_header

# How long a header that is under way may take to arrive when the worker stops.
_LAST_WAIT_S: Final = 1.0


class ProxiedClient(Pollable):
    """It was counted in without an address, which is counted once it is known."""

    def __init__(
        self,
        context: Context,
        sock: Socket,
        tls: ssl.SSLContext | None,
        peer: str,
        settings: ClientSettings,
    ) -> None:
        super().__init__(sock.fileno())
        self._context: Context = context
        self._sock: Socket = sock
        self._tls: ssl.SSLContext | None = tls
        self._peer: str = peer
        self._settings: ClientSettings = settings
        self._received: bytes = b""
        self._waits_s: float = settings.first_bytes_s(tls is not None)
        if self._waits_s > 0.0:
            self.deadline = context.env.now + self._waits_s

    def on_ready(self, events: int) -> None:
        try:
            data: bytes = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._close()
            return
        if not data:
            if self._received:
                self._refuse(W_PROXY_BAD, "PROXY header: the connection ended within it")
            else:
                self._close()  # a check whether the port is open
            return
        received = self._received + data
        self._received = received
        reading = read_proxy_header(received)
        if reading.outcome == NEED_MORE:
            return
        if reading.outcome == BAD:
            self._refuse(W_PROXY_BAD, reading.reason)
        elif reading.outcome == FOUND:
            self._hand_over(reading.header, received[reading.size :])
        elif self._settings.requires_proxy_header:
            self._refuse(W_PROXY_MISSING, "the connection begins without a PROXY header")
        else:
            self._hand_over(None, received)

    def on_deadline(self) -> None:
        if self._context.stopping:
            self._close()
            return
        cell = W_PROXY_BAD if self._received else W_PROXY_MISSING
        self._refuse(cell, f"no whole PROXY header came within {self._waits_s:g} s")

    def on_crash(self) -> None:
        if not has_crashed_since(self._context, self):
            self._close()

    def close_if_idle(self) -> None:
        if not is_client_at_last(self._context, self):
            self.deadline = self._context.env.now + _LAST_WAIT_S

    def cut_off(self) -> None:
        self._close()

    def _hand_over(self, header: ProxyHeader | None, rest: bytes) -> None:
        """From here on it is a client like any other, at the address that was told.

        LOCAL is the proxy itself, a health check say; and where no TCP address is told the
        connection's own holds (doc/proxy-protocol.txt, 2.2).
        """
        context = self._context
        settings = self._settings
        address = self._peer
        told: ProxyHeader | None = None
        if header is not None and header.command == PROXY and header.transport == TCP:
            told = header
            address = context.addresses.shared(header.source)
            if not settings.admits_all and not settings.admits(address):
                if not self._invite(told, address, rest, False):
                    context.counters.bump(W_REFUSED_ADDRESS)
                    self._close()
                return
        if not context.address_came(address, settings.connections_per_address):
            context.counters.bump(W_REFUSED_LIMIT)
            self._close()
            return
        if self._tls is not None and self._invite(told, address, rest, True):
            return
        become_client(context, self, self._sock, self._tls, address, settings, told, rest)

    def _invite(self, told: ProxyHeader | None, address: str, rest: bytes, counted: bool) -> bool:
        """Let it ask for a challenge of ACME, where there is one to ask for; else False."""
        challenges = self._settings.challenges
        over_tls = self._tls is not None
        if challenges is None or not challenges.may_ask(over_tls, counted):
            return False
        self.deadline = 0.0
        client = ChallengedClient(
            self._context, self._sock, self._tls, address, self._settings, challenges, counted
        )
        client.told = told
        if not counted:
            self._context.client_left("")
        self._context.loop.replace(self, client)
        client.begin(rest)
        return True

    def _refuse(self, cell: int, why: str) -> None:
        context = self._context
        context.counters.bump(cell)
        log = context.log
        if log.enabled:
            log.write(closed_line(self._peer, self._settings.listener, why, log.shape))
        self._close()

    def _close(self) -> None:
        self.deadline = 0.0
        self._context.loop.remove(self)
        self._sock.close()
        self._context.client_left("")
