"""Accepting clients, within the limits."""

import ssl
from typing import Final

from penstock.dataplane.board.layout import (
    W_ACCEPT_PAUSES,
    W_PROXY_UNTRUSTED,
    W_REFUSED_ADDRESS,
    W_REFUSED_LIMIT,
)
from penstock.dataplane.client.challenge import ChallengedClient
from penstock.dataplane.client.http1 import ClientConnection
from penstock.dataplane.client.proxied import ProxiedClient
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.client.tcp import TcpClient
from penstock.dataplane.context import Context
from penstock.dataplane.io.loop import EXHAUSTED, PEER_CLOSED, READABLE, Pollable
from penstock.dataplane.io.system import Accepted, Socket
from penstock.dataplane.io.tls import TlsChannel

# Clients accepted for one readiness event, so that a flood does not starve those already here.
_ACCEPTS_AT_ONCE: Final = 32
# How often that many are accepted before a socket is closed: a full queue and some more.
_LAST_ACCEPTS: Final = 256
# How long accepting pauses when descriptors or memory have run out.
_PAUSE_S: Final = 0.1


class ListeningSocket(Pollable):
    """A socket of this worker to which clients come."""

    def __init__(self, context: Context, sock: Socket) -> None:
        super().__init__(sock.fileno())
        self.context: Context = context
        self.sock: Socket = sock

    def configure(self, settings: ClientSettings, tls: ssl.SSLContext | None) -> None:
        """Settings for clients that come from here on; with the first ones they are let in."""
        raise NotImplementedError

    def stop(self) -> None:
        """Let in no more."""
        raise NotImplementedError


class Listener(ListeningSocket):
    """One that accepts connections."""

    def __init__(self, context: Context, sock: Socket) -> None:
        super().__init__(context, sock)
        self.settings: ClientSettings | None = None
        self.tls: ssl.SSLContext | None = None
        self._listening: bool = False
        self._paused: bool = False
        self._at_once: int = 1  # clients to accept for one event

    def configure(self, settings: ClientSettings, tls: ssl.SSLContext | None) -> None:
        self.settings = settings
        self.tls = tls
        if not self._listening and not self.context.stopping:
            self._listening = True
            self.context.system.prepare_listening(self.sock)
            self.context.loop.add(self, READABLE)

    def on_ready(self, events: int) -> None:
        # The loop tells again of those who still wait: asking for one more than came is a call in
        # vain for each client of a listener where they come singly.
        more = self._accept(self._at_once)
        self._at_once = min(self._at_once * 2, _ACCEPTS_AT_ONCE) if more else 1

    def on_deadline(self) -> None:
        """Try again after a pause."""
        self.deadline = 0.0
        if self._paused:
            self._paused = False
            self.context.loop.change(self, READABLE)

    def stop(self) -> None:
        """Accept no more, once those are taken who have connected already.

        Where no supervisor keeps the socket, closing it would reset them.
        """
        if self._listening:
            for _ in range(_LAST_ACCEPTS):
                if not self._accept(_ACCEPTS_AT_ONCE):
                    break
            self._listening = False
            self.deadline = 0.0
            self.context.loop.remove(self)
            self.sock.close()

    def _accept(self, most: int) -> bool:
        """Take some clients; whether more may be waiting."""
        context = self.context
        for _ in range(most):
            if len(context.loop.by_fd) >= context.max_descriptors:
                self._pause()  # the rest is for connections to endpoints
                return False
            try:
                accepted = context.system.accept(self.sock)
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._pause()
                    return False
                continue  # the client was gone before we came (accept(2), "Error handling")
            if accepted is None:
                return False
            self._take(accepted)
        return True

    def _pause(self) -> None:
        self.context.counters.bump(W_ACCEPT_PAUSES)
        if not self._paused:
            self._paused = True
            self.context.loop.change(self, 0)
        self.deadline = self.context.loop.env.now + _PAUSE_S

    def _take(self, accepted: Accepted) -> None:
        sock, address = accepted
        settings = self.settings
        context = self.context
        assert settings is not None
        # IPv4 on a socket that takes both.
        host = context.addresses.shared(address[0].removeprefix("::ffff:"))
        if not settings.admits_all and not settings.admits(host):
            if not self._invite(sock, host, settings, False):
                context.counters.bump(W_REFUSED_ADDRESS)
                sock.close()
            return
        named_later = settings.reads_proxy_headers and settings.trusts(host)
        if settings.requires_proxy_header and not named_later:
            context.counters.bump(W_PROXY_UNTRUSTED)
            sock.close()
            return
        counted = "" if named_later else host
        if not context.client_came(counted, settings.connections, settings.connections_per_address):
            if named_later or not self._invite(sock, host, settings, False):
                context.counters.bump(W_REFUSED_LIMIT)
                sock.close()
            return
        if named_later:
            context.loop.add(
                ProxiedClient(context, sock, self.tls, host, settings), READABLE | PEER_CLOSED
            )
            return
        if self.tls is not None and self._invite(sock, host, settings, True):
            return
        tls = TlsChannel(self.tls, True, None) if self.tls is not None else None
        if settings.speaks_http:
            client = ClientConnection(context, sock, tls, host, settings)
            context.loop.add(client, READABLE | PEER_CLOSED)
        else:
            stream = TcpClient(context, sock, tls, host, settings)
            if tls is None and settings.protocol == "tcp":
                stream.events = PEER_CLOSED  # it is not read before its relay begins
            context.loop.add(stream, stream.events)
            stream.begin()

    def _invite(self, sock: Socket, host: str, settings: ClientSettings, counted: bool) -> bool:
        """Let it ask for a challenge, where there is one to ask for; else False."""
        challenges = settings.challenges
        if challenges is None or not challenges.may_ask(self.tls is not None, counted):
            return False
        client = ChallengedClient(self.context, sock, self.tls, host, settings, challenges, counted)
        self.context.loop.add(client, READABLE | PEER_CLOSED)
        return True
