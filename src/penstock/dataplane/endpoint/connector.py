"""How an endpoint is reached: its addresses, TLS, and the connections that are kept to it."""

import ssl
from typing import Any

from penstock.core import snapshot
from penstock.core.health.connection_reuse import ReuseHistory
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.board.layout import L_ADDRESS
from penstock.dataplane.endpoint.address_race import Address
from penstock.dataplane.endpoint.proxy_preface import PROXY_VERSIONS
from penstock.dataplane.endpoint.stream import StreamSource
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import TlsChannel


class ConnectionSettings:
    """How connections to a pool's endpoints are kept; durations in seconds, 0.0 for none."""

    def __init__(
        self,
        timeouts: snapshot.PoolTimeouts,
        connections: snapshot.Connections,
        protocol: str = "http",
        proxy_protocol: str = "off",
    ) -> None:
        # Of the PROXY header that goes first on each connection; 0: none does.
        self.proxy_version: int = PROXY_VERSIONS[proxy_protocol]
        self.speaks_http: bool = protocol == "http"  # else nothing is known but bytes
        self.connect_s: float = timeouts.connect_s
        self.first_byte_s: float = timeouts.first_byte_s
        self.stream_idle_s: float = timeouts.stream_idle_s
        self.http2_age_s: float = timeouts.http2_connection_age_s
        # A connection that began with one client's name cannot carry another's requests, and the
        # id in it is one request's.
        self.max_idle: int = 0 if self.proxy_version else connections.max_idle
        self.idle_timeout_s: float = connections.idle_timeout_s
        # A bound that is never reached stands for none, so that it is one comparison.
        self.max_requests: int = connections.max_requests or 2**62
        self.header_bytes: int = connections.response_header_bytes


class KeptConnection(Connection):
    """A connection to an endpoint that may wait, idle, for its next request."""

    def __init__(self, loop: Loop, sock: Socket, tls: TlsChannel | None, address: Address) -> None:
        super().__init__(loop, sock, tls)
        self.address: Address = address
        self.idle_since: float = 0.0
        self.streamed: bool = False  # the last answer came without a length

    def survived(self) -> bool:
        """Ask the system whether this, idle for long, has neither ended nor spoken; else close it.

        So that no request goes out on a dead one that could not be repeated.
        """
        raise NotImplementedError


class Connector:
    """Where connections to one endpoint come from. It knows nothing of requests or pools."""

    def __init__(self, loop: Loop, endpoint: CountedEndpoint, settings: ConnectionSettings) -> None:
        self.loop: Loop = loop
        self.endpoint: CountedEndpoint = endpoint
        self.settings: ConnectionSettings = settings
        self.addresses: list[Address] = []
        self.preferred: Address | None = None  # the one that was connected to last
        self.no_address: str = ""  # why there is none
        self.tls: ssl.SSLContext | None = None
        # Where it chooses what is spoken: for what not every HTTP/2 server can do.
        self.tls_over_http1: ssl.SSLContext | None = None
        self.server_name: str = ""
        # Raised when connections opened before are not to be used again.
        self.address_generation: int = 0
        self.idle: list[KeptConnection] = []  # the one used last stands last
        # What it speaks, with prior knowledge; where it chooses, what is expected: its last choice.
        self.http2: bool = False
        self.negotiates: bool = False  # it chooses, by ALPN
        self.streams: StreamSource | None = None  # of one that speaks HTTP/2, once it was used
        self.reuse: ReuseHistory = ReuseHistory()
        self.open_connections: int = 0
        self.removed: bool = False  # the endpoint is configured no longer: nothing is kept
        self._reached_by: tuple[Any, ...] = ()

    def configure(
        self,
        spec: snapshot.Endpoint,
        settings: ConnectionSettings,
        addresses: list[Address],
        tls: ssl.SSLContext | None,
        tls_spec: snapshot.EndpointTls,
    ) -> bool:
        """Take over what a snapshot says; whether another server may be there now."""
        known = {address.sockaddr: address for address in addresses}
        used = self.preferred
        before = {address.sockaddr for address in self.addresses}
        moved = before != known.keys() and (used is None or used.sockaddr not in known)
        reached_by = (
            tls is not None,
            tls_spec,
            settings.speaks_http,
            spec.http2,
            settings.proxy_version,
        )
        replaced = self._reached_by != reached_by or moved
        if replaced:
            self._reached_by = reached_by
            self.negotiates = tls is not None and tls_spec.http2 == "auto" and settings.speaks_http
            # While nothing is known yet: who waits for one connection loses less, if it is wrong,
            # than an endpoint that is given as many as there are requests.
            self.http2 = spec.http2 or self.negotiates
            self.address_generation += 1
            self.close_idle()
            self.reuse = ReuseHistory()
        self.settings = settings
        self.addresses = addresses
        self.no_address = spec.no_address
        self.preferred = known.get(used.sockaddr) if used is not None else None
        if before - known.keys() and not moved:
            self.address_generation += 1
            for connection in list(self.idle):
                if connection.address.sockaddr not in known:
                    connection.close()
        self._number_address()
        self.tls = tls
        self.server_name = tls_spec.server_name or spec.host
        self.removed = False
        return replaced

    def connected_to(self, address: Address) -> None:
        """This one works: it is tried first from here on."""
        if address is not self.preferred:
            self.preferred = address
            self._number_address()

    def shown_address(self) -> str:
        """The one that was connected to last; of several, none before that."""
        used = self.preferred
        if used is None and len(self.addresses) == 1:
            used = self.addresses[0]
        return used.shown.decode() if used is not None else ""

    def in_order(self) -> list[Address]:
        """Its addresses, the one that worked last before the others."""
        preferred = self.preferred
        if preferred is None:
            return self.addresses
        return [preferred] + [each for each in self.addresses if each is not preferred]

    def close_idle(self) -> None:
        """Close what nobody uses: the endpoint is removed, or its address changed."""
        idle = self.idle
        self.idle = []
        for connection in idle:
            connection.close_in_order()
        if self.streams is not None:
            self.streams.close_idle()

    def _number_address(self) -> None:
        preferred = self.preferred
        known = self.addresses
        number = known.index(preferred) + 1 if preferred in known else 0
        self.endpoint.tally.values[L_ADDRESS] = number
        self.endpoint.tally.changed = True
