"""What the clients of a listener are held to."""

import ssl
from typing import Final

from penstock.core.snapshot import Listener
from penstock.wire.http2.flood_limits import Limits
from penstock.wire.http2.settings import Settings
from penstock.wire.networks import Networks

MOST_GUESTS: Final = 64
_GATEWAY_SILENCE_S: Final = 15.0  # after which a gateway is asked whether it is there


class Challenges:
    """What is told to who asks whether a name is ours, while certificates are ordered (ACME)."""

    def __init__(self, answers: dict[bytes, bytes], contexts: dict[str, ssl.SSLContext]) -> None:
        self.answers: dict[bytes, bytes] = answers  # by path, over plain HTTP
        self.contexts: dict[str, ssl.SSLContext] = contexts  # by server name, over TLS
        self.guests: int = 0  # that are here for this alone

    def may_ask(self, over_tls: bool, counted: bool) -> bool:
        """Whether there is something to ask for, and room for one more that is no client else."""
        if not counted and self.guests >= MOST_GUESTS:
            return False
        return bool(self.contexts) if over_tls else bool(self.answers)


NO_NAMES: Final[frozenset[bytes]] = frozenset()


class ClientSettings:
    """Timeouts and limits, as plain numbers; 0: none."""

    def __init__(
        self, spec: Listener, upgrades: bool = False, taken_out: frozenset[bytes] = NO_NAMES
    ) -> None:
        """``upgrades``: some route lets its requests change their protocol. ``taken_out``: fields
        that no client may send (``wire.client_certificate``)."""
        timeouts = spec.timeouts
        limits = spec.limits
        self.challenges: Challenges | None = None  # nothing is ordered
        self.listener: str = spec.name
        self.protocol: str = spec.protocol
        self.speaks_http: bool = spec.speaks_http
        self._allow: Networks = Networks(spec.allow)
        self._deny: Networks = Networks(spec.deny)
        self._allows_all: bool = not spec.allow
        self.admits_all: bool = not spec.allow and not spec.deny
        self.reads_proxy_headers: bool = spec.proxy_protocol != "off"
        self.requires_proxy_header: bool = spec.proxy_protocol == "require"
        self.proxy_header_each: bool = spec.proxy_datagrams == "each"  # of datagrams
        self._proxies: Networks = Networks(spec.trusted_proxies)
        self.merge_slashes: bool = spec.merge_slashes
        self.headers_s: float = timeouts.client_headers_s
        self.body_idle_s: float = timeouts.client_body_idle_s
        self.keep_alive_s: float = timeouts.keep_alive_idle_s
        self.write_idle_s: float = timeouts.client_write_idle_s
        # With streams and without a byte for so long, it is asked by a ping; 0: never.
        self.silence_s: float = _GATEWAY_SILENCE_S if spec.protocol == "epp" else 0.0
        self.asks_certificates: bool = spec.asks_certificates
        self.tells_chain: bool = spec.tls.client_certificate_chain
        self.taken_out: frozenset[bytes] = taken_out
        self.tls_handshake_s: float = timeouts.tls_handshake_s
        self.header_bytes: int = limits.header_bytes
        self.header_count: int = limits.header_count
        self.target_bytes: int = limits.target_bytes
        self.body_bytes: int = limits.body_bytes
        self.body_rate: int = limits.body_rate
        self.connections: int = limits.connections
        self.connections_per_address: int = limits.connections_per_address
        self.sessions: int = limits.sessions
        self.amplification: float = limits.amplification
        self.datagrams_per_s: int = limits.datagrams_per_s
        self.datagram_bytes_per_s: int = limits.datagram_bytes_per_s
        self.requests: int = limits.requests_per_connection
        self.http2: bool = spec.http2.enabled
        self.http2_limits: Limits = Limits(spec.http2.connection_bytes)
        self.http2_limits.header_fields = limits.header_count
        self.http2_limits.header_list_bytes = limits.header_bytes
        self.http2_settings: Settings = Settings()  # shared by all connections, which only read it
        self.http2_settings.enable_push = False
        self.http2_settings.max_concurrent_streams = spec.http2.streams
        self.http2_settings.max_header_list_bytes = limits.header_bytes
        self.http2_settings.connect_protocol = upgrades

    def admits(self, address: str) -> bool:
        """Whether clients of that address may come (``allow`` and ``deny``)."""
        if self._deny.holds(address):
            return False
        return self._allows_all or self._allow.holds(address)

    def trusts(self, address: str) -> bool:
        """Whether a peer of that address may say who its client is (``trusted_proxies``)."""
        return self._proxies.holds(address)

    def first_bytes_s(self, over_tls: bool) -> float:
        """How long a client may take for what must come before anything else."""
        over_tls = over_tls or self.protocol == "tls-passthrough"
        return self.tls_handshake_s if over_tls else self.headers_s
