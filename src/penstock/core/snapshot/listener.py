"""What clients meet: addresses, certificates, timeouts and limits."""

from __future__ import annotations

from typing import Literal

from penstock.core.snapshot.data import Data


class Certificate(Data, frozen=True):
    """One certificate chain and its key, as PEM files, and the names it serves."""

    certificate: str
    key: str
    server_names: tuple[str, ...] = ()  # exact or "*.example.com"; empty: the default


class Acme(Data, frozen=True):
    """A certificate that is fetched by ACME, and for which names."""

    names: tuple[str, ...]
    directory: str
    email: str = ""
    ca_file: str = ""  # who vouches for the directory's server; empty: the system's
    challenge: Literal["http-01", "tls-alpn-01"] = "http-01"  # how names are confirmed


class ListenerTls(Data, frozen=True):
    """TLS beside the certificates; the same for every server name of the listener."""

    client_ca_file: str = ""  # authorities of clients' certificates; empty: none are asked for
    client_certificate: Literal["require", "request"] = "require"
    client_certificate_header: str = "Client-Cert"  # that tells it to endpoints; empty: none
    client_certificate_chain: bool = False  # tell those that vouch for it too
    crl_file: str = ""  # certificates that those authorities revoked
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    cipher_suites: tuple[str, ...] = ()  # of TLS 1.2, in OpenSSL's names; empty: OpenSSL's choice
    acme: Acme | None = None  # where its certificate comes from; handshakes fail until it is there


class ListenerTimeouts(Data, frozen=True):
    """How long a client may take. 0 turns one off."""

    client_headers_s: float = 10.0  # from the first byte of a request to the end of its head
    client_body_idle_s: float = 30.0  # between two reads of a request body
    keep_alive_idle_s: float = 75.0  # between two requests
    client_write_idle_s: float = 60.0  # a client that stops reading its response
    tls_handshake_s: float = 10.0


class Limits(Data, frozen=True):
    """What a client may send. 0 means no limit, except for the header limits.

    ``body_rate``: bytes a second, at least, of a request body. The last four are of UDP.
    """

    header_bytes: int = 32 * 1024
    header_count: int = 100
    target_bytes: int = 8 * 1024
    body_bytes: int = 256 * 1024 * 1024
    body_rate: int = 500  # as Apache's MinRate; a second of GSM carries more
    connections: int = 0  # of the whole balancer
    connections_per_address: int = 0
    requests_per_connection: int = 0
    sessions: int = 65536  # of the whole balancer; those idle for the longest leave first
    # Bytes answered for each that came, heads included, until a source goes on after a first reply;
    # 0: any number. As QUIC has it (RFC 9000, 8.1).
    amplification: float = 3.0
    datagrams_per_s: int = 0  # of one source address, at each worker
    datagram_bytes_per_s: int = 0  # likewise, without heads


class Http2(Data, frozen=True):
    """HTTP/2 with clients. ``connection_bytes``: what one connection may make a worker hold."""

    enabled: bool = True
    streams: int = 100  # of one connection at a time; RFC 9113, 6.5.2 recommends no less
    connection_bytes: int = 256 * 1024


class Listener(Data, frozen=True):
    """An address that clients connect to. ``trusted_proxies`` are networks in CIDR form."""

    name: str
    host: str
    port: int
    certificates: tuple[Certificate, ...] = ()  # empty: plain HTTP
    tls: ListenerTls = ListenerTls()
    tls_generation: int = 0  # raised when certificate files change
    # For who asks by ACME's TLS-ALPN-01 for one of these names, while certificates are ordered.
    challenges: tuple[Certificate, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    timeouts: ListenerTimeouts = ListenerTimeouts()
    limits: Limits = Limits()
    http2: Http2 = Http2()
    backlog: int = 4096
    mode: int = 0o660  # permissions of its socket file, where ``host`` is one
    # tcp: bytes are relayed unread; tls-passthrough: but for the server name that clients ask for;
    # udp: datagrams are; epp: gateways ask for endpoints (the Endpoint Picker protocol).
    protocol: Literal["http", "tcp", "tls-passthrough", "udp", "epp"] = "http"
    allow: tuple[str, ...] = ()  # networks whose clients may come, in CIDR form; empty: all
    deny: tuple[str, ...] = ()  # networks whose clients may not, whatever ``allow`` says
    # PROXY headers at the beginning of connections from trusted proxies: who the client is.
    proxy_protocol: Literal["off", "accept", "require"] = "off"
    # Which datagrams of UDP begin with one: each, or the first of a session.
    proxy_datagrams: Literal["each", "first"] = "each"

    @property
    def asks_certificates(self) -> bool:
        """Whether clients are asked for certificates."""
        return self.speaks_tls and bool(self.tls.client_ca_file)

    @property
    def speaks_http(self) -> bool:
        """Whether its connections carry requests, which are understood."""
        return self.protocol in ("http", "epp")

    @property
    def speaks_tls(self) -> bool:
        """Whether clients begin with a handshake."""
        return bool(self.certificates) or self.tls.acme is not None

    @property
    def scheme(self) -> str:
        """How its address is shown as a URL."""
        if self.protocol == "tls-passthrough":
            return "tls"
        if self.protocol == "udp":
            return "udp"
        if self.protocol == "tcp":
            return "tls" if self.speaks_tls else "tcp"
        return "https" if self.speaks_tls else "http"

    merge_slashes: bool = False  # in paths, before anything looks at them
