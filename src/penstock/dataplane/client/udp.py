"""Clients' datagrams: each goes to its session, or opens one."""

import errno
import ssl
from math import ceil
from typing import Any, Final

from penstock.dataplane.board.layout import DATAGRAM_DROPS, W_DATAGRAM_DROPS, W_REFUSED_ADDRESS
from penstock.dataplane.client.identity import datagram_header_of
from penstock.dataplane.client.listener import ListeningSocket
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.udp import REFUSED_S, SessionFront, UdpExchange
from penstock.dataplane.io.datagram_reader import DatagramReader, reader_of
from penstock.dataplane.io.datagrams import reply_control
from penstock.dataplane.io.loop import READABLE, SWEEP_S
from penstock.dataplane.io.system import Socket
from penstock.dataplane.tunnel.outlets import FAILED, FULL, SENT, TOO_BIG
from penstock.dataplane.tunnel.session import Session, SessionClient
from penstock.dataplane.tunnel.session_table import (
    ALLOWED,
    TOO_MANY,
    SessionRules,
    SessionTable,
    SourceRates,
)
from penstock.wire.preface import ABSENT
from penstock.wire.proxy_protocol import (
    MAX_V2_BYTES,
    PROXY,
    UDP,
    ProxyHeader,
    read_proxy_datagram,
)

# Datagrams taken for one readiness event, so that a flood does not starve the replies.
_AT_ONCE: Final = 64
# While the worker stops, sessions that are not in use end sooner.
_STOPPING_IDLE_S: Final = 1.0
_DENIED: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("denied")
_RATE: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("rate")
_BYTE_RATE: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("byte_rate")
_STOPPING: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("stopping")
_PROXY_MISSING: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("proxy_missing")
_PROXY_BAD: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("proxy_bad")
_PROXY_UNTRUSTED: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("proxy_untrusted")
_MOST_PEERS: Final = 4096  # of whom is remembered whether they are trusted
_CROWDED: Final = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM))


class DatagramListener(ListeningSocket, SessionFront):
    """A socket of this worker to which clients send datagrams, and its sessions."""

    def __init__(self, context: Context, sock: Socket) -> None:
        super().__init__(context, sock)
        self.settings: ClientSettings | None = None
        self.sessions: dict[Any, Session] = {}
        self.exchanges: dict[Any, UdpExchange] = {}
        self._table: SessionTable = SessionTable(1, self.on_expired, self.on_evicted)
        self._rates: SourceRates = SourceRates()
        self._headed: bool = False  # each datagram begins with a PROXY header
        self._trusted: dict[str, bool] = {}
        self._reader: DatagramReader = reader_of(sock, _AT_ONCE, context.outlets.buffer)
        self._listening: bool = False
        self._served: Any = None  # the key of the session that is served

    def configure(self, settings: ClientSettings, tls: ssl.SSLContext | None) -> None:
        self.settings = settings
        self._rates = SourceRates(settings.datagrams_per_s, settings.datagram_bytes_per_s)
        self._headed = settings.reads_proxy_headers and settings.proxy_header_each
        self._trusted = {}
        # The kernel spreads sources evenly over the workers' sockets.
        self._table.bound = ceil(settings.sessions / self.context.board.sharers)
        if not self._listening and not self.context.stopping:
            self._listening = True
            self.context.loop.add(self, 0 if self.context.datagrams_held else READABLE)
            self.deadline = self.context.env.now + SWEEP_S

    def stop(self) -> None:
        """While the worker stops, sessions go on until its deadline; else there is no socket for
        them any more."""
        if not self._listening:
            return
        if self.context.stopping:
            for session in self.sessions.values():
                session.rules.idle_s = min(session.rules.idle_s, _STOPPING_IDLE_S)
                self._table.retime(session.rules)
        else:
            self._close("its listener is configured no more")

    def hold(self, held: bool) -> None:
        """Leave the socket to another version's workers, or read it again. Replies go on."""
        if self._listening:
            self.context.loop.change(self, 0 if held else READABLE)

    def told_sessions(self) -> list[tuple[str, str, int, str]]:
        """Listener, client's host and port, and endpoint of each, for those who come after."""
        name = self.settings.listener if self.settings is not None else ""
        told: list[tuple[str, str, int, str]] = []
        for session in self.sessions.values():
            endpoint = session.endpoint_name()
            if endpoint:
                told.append((name, session.client.host, session.client.port, endpoint))
        return told

    def cut_off(self) -> None:
        self._close("the balancer stopped, and its deadline passed")

    def on_deadline(self) -> None:
        now = self.context.env.now
        self.deadline = now + SWEEP_S
        self._table.expire(now)

    def _close(self, why: str) -> None:
        if not self._listening:
            return
        self._listening = False
        self.deadline = 0.0
        self.context.loop.remove(self)
        for key in list(self.sessions):
            session, exchange = self._forget(key)
            exchange.cut_off(why)
            session.leave()
        self.sock.close()

    # --- from clients -----------------------------------------------------------------------

    def on_ready(self, events: int) -> None:
        self.on_readable()

    def on_readable(self) -> None:
        sessions = self.sessions
        for data, key in self._reader.read():
            self._served = key
            session = None if self._headed else sessions.get(key)
            if session is None:
                self._first(key, data)
            elif not self._rates.bounded or self._may_come(session.client.host, len(data)):
                session.take(data)

    def on_crash(self) -> None:
        exchange = self.exchanges.get(self._served)
        if exchange is not None:
            exchange.on_crash()

    def _may_come(self, host: str, size: int) -> bool:
        """Whether its source has not sent too much; counts one more datagram of it."""
        taken = self._rates.take(host, size, self.context.env.now)
        if taken == ALLOWED:
            return True
        self.context.counters.values[_RATE if taken == TOO_MANY else _BYTE_RATE] += 1
        return False

    def _first(self, key: Any, data: bytes) -> None:
        """A datagram that says itself whose it is: the first of a session, or each of a proxy."""
        settings = self.settings
        assert settings is not None
        address, asked = self._reader.source_of(key)
        host = self.context.addresses.shared(address[0].removeprefix("::ffff:"))
        client = SessionClient(host, address)
        if settings.reads_proxy_headers:
            header_bytes = self._read_header(client, data)
            if header_bytes < 0:
                return
            data = data[header_bytes:]
            if client.told is not None and self._headed:
                key = (key, client.host, client.port)
        if self._rates.bounded and not self._may_come(client.host, len(data)):
            return
        self._served = key
        session = self.sessions.get(key)
        if session is not None:
            session.take(data)
        elif not settings.admits_all and not self._admits(host, client.host):
            self.context.counters.bump(W_REFUSED_ADDRESS)
            self.context.counters.values[_DENIED] += 1
        else:
            client.control = reply_control(asked)
            self._open(key, client, data)

    def _admits(self, peer: str, host: str) -> bool:
        """Both who sends and who that is for, as of a connection."""
        settings = self.settings
        assert settings is not None
        return settings.admits(peer) and (host == peer or settings.admits(host))

    def _read_header(self, client: SessionClient, data: bytes) -> int:
        """The bytes of the PROXY header that a datagram begins with, which says who the client is.
        -1: it is dropped.

        LOCAL is the proxy itself, and where no UDP address is told its own holds, as of connections
        (doc/proxy-protocol.txt, 2.2).
        """
        settings = self.settings
        assert settings is not None
        values = self.context.counters.values
        peer = client.host
        trusted = self._trusted.get(peer)
        if trusted is None:
            if len(self._trusted) >= _MOST_PEERS:
                self._trusted.clear()
            trusted = self._trusted[peer] = settings.trusts(peer)
        if not trusted:
            if not settings.requires_proxy_header:
                return 0
            values[_PROXY_UNTRUSTED] += 1
            return -1
        reading = read_proxy_datagram(data[:MAX_V2_BYTES])
        header = reading.header
        if header is not None:
            if header.command == PROXY and header.transport == UDP:
                client.told = header
                client.host = self.context.addresses.shared(header.source)
                client.port = header.source_port
            return reading.size
        if reading.outcome == ABSENT and not settings.requires_proxy_header:
            return 0
        values[_PROXY_MISSING if reading.outcome == ABSENT else _PROXY_BAD] += 1
        return -1

    def _open(self, key: Any, client: SessionClient, data: bytes) -> None:
        settings = self.settings
        context = self.context
        assert settings is not None
        if context.stopping:
            context.counters.values[_STOPPING] += 1
            return
        rules = SessionRules(key, context.env.now, REFUSED_S, settings.amplification)
        exchange = UdpExchange(context, self, settings.listener, rules, client)
        self.sessions[key] = exchange.session
        self.exchanges[key] = exchange
        self._table.add(rules)
        exchange.start(data)

    # --- to clients (SessionFront) ----------------------------------------------------------

    def reply(self, session: Session, data: bytes) -> int:
        client = session.client
        try:
            if client.control:
                self.sock.sendmsg([data], client.control, 0, client.address)
            else:
                self.sock.sendto(data, client.address)
        except OSError as error:
            if error.errno in _CROWDED:
                return FULL
            return TOO_BIG if error.errno == errno.EMSGSIZE else FAILED
        return SENT

    def refused(self, session: Session) -> None:
        session.rules.idle_s = REFUSED_S
        self._table.retime(session.rules)

    def forget(self, session: Session) -> None:
        key = session.rules.key
        if self.sessions.get(key) is session:
            self._forget(key)
            session.leave()

    def reopen(self, session: Session, data: bytes) -> None:
        key = session.rules.key
        self._forget(key)
        session.leave()
        self._open(key, session.client, data)

    def header_of(self, client: SessionClient) -> ProxyHeader:
        return datagram_header_of(client, self.sock)

    # --- their ends --------------------------------------------------------------------

    def on_expired(self, session: SessionRules) -> None:
        left, exchange = self._forget(session.key)
        exchange.on_expired()
        left.leave()

    def on_evicted(self, session: SessionRules) -> None:
        left, exchange = self._forget(session.key)
        exchange.on_evicted()
        left.leave()

    def _forget(self, key: Any) -> tuple[Session, UdpExchange]:
        session = self.sessions.pop(key)
        self._table.remove(session.rules)
        return session, self.exchanges.pop(key)
