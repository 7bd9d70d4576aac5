"""The document's part about listeners: addresses, TLS, and what clients may do."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from penstock.config.document.acme import Acme
from penstock.config.document.addresses import parse_host
from penstock.config.document.headers import EditedName
from penstock.config.document.proxy_headers import ReadMode, ReadProxyHeaders, read_headers
from penstock.config.document.section import Section, required, setting
from penstock.config.document.show import show
from penstock.config.document.socket_files import FileMode
from penstock.config.document.values import (
    Count,
    Duration,
    FactorOrOff,
    Flag,
    ListenAddress,
    Network,
    OneOrMany,
    PositiveCount,
    PositiveSize,
    Size,
)
from penstock.core import snapshot

_LISTENER: Final = snapshot.Listener(name="", host="", port=0)
_TLS: Final = snapshot.ListenerTls()
# Of what a request cannot be without, or Penstock tells itself.
_WRITTEN_BY_US: Final = frozenset(
    (
        "authorization",
        "client-cert-chain",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    )
)
_TIMEOUTS: Final = snapshot.ListenerTimeouts()
_LIMITS: Final = snapshot.Limits()
_HTTP2: Final = snapshot.Http2()


def parse_server_name(value: object) -> str:
    """A host name, or ``*.`` and one, in lower case without a port. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"a host name is needed, not {show(value)}")
    wildcard = "*." if value.startswith("*.") else ""
    name = value.removeprefix("*.")
    if not name.isascii():
        raise ValueError(f"write {value} in its ASCII form (xn--…)")
    if "*" in name:
        raise ValueError(
            f"{value}: a wildcard stands for the first label only, as in *.example.com"
        )
    if name.rpartition(":")[2].isdigit() and not name.startswith("["):
        raise ValueError(f"{value}: a host is matched without its port")
    host = parse_host(name)
    return f"[{host}]" if ":" in host else wildcard + host.rstrip(".")


ServerName = Annotated[str, BeforeValidator(parse_server_name)]


class Certificate(Section):
    """A certificate and its key."""

    certificate: str = required("PEM file with the certificate and its intermediates.")
    key: str = required("PEM file with the private key, unencrypted.")
    server_names: OneOrMany[ServerName] | None = setting(
        None, "Names it is used for, such as `*.example.com`. Default: those it was issued for."
    )


def _certificates(value: Any) -> Any:
    if isinstance(value, dict) and "certificates" not in value:
        if "acme" in value and not {"certificate", "key"} & set(value):
            return value
        others = {key: value[key] for key in value if key in ListenerTls.model_fields}
        pair = {key: value[key] for key in value if key not in others}
        return {"certificates": [pair], **others}
    return value


def _header_name(name: str) -> str:
    if name.lower() in _WRITTEN_BY_US:
        raise ValueError(f"{name} tells something else: take a name of its own, as Client-Cert is")
    return name


def _header_or_off(value: Any) -> Any:
    return None if value == "off" or value is False else value


def _version(value: Any) -> Any:
    return str(value) if isinstance(value, float) else value  # 1.3 without quotes


HeaderName = Annotated[EditedName, AfterValidator(_header_name)]


class ListenerTls(Section):
    """TLS on a listener. One certificate may be written as `{certificate: …, key: …}`."""

    certificates: OneOrMany[Certificate] = setting(
        (),
        "Chosen by the name that the client asks for; the first serves those who ask for none "
        "or for an unknown one. Files are read again when they change.",
    )
    acme: Acme | None = setting(None, "Has the certificate fetched, instead of `certificates`.")
    client_ca_file: str | None = setting(
        None,
        "PEM file with the authorities that issue clients' certificates, which clients are then "
        "asked for, whatever server name they ask for. Default: they are not asked.",
    )
    client_certificate: Literal["require", "request"] = setting(
        _TLS.client_certificate,
        "`require`: no client without one; `request`: it may have none. One that is not good ends "
        "the handshake either way.",
    )
    client_certificate_header: Annotated[HeaderName | None, BeforeValidator(_header_or_off)] = (
        setting(
            _TLS.client_certificate_header,
            "Request header that tells endpoints the client's certificate (RFC 9440), or `off`. "
            "It is taken out of what clients send, on every listener.",
        )
    )
    client_certificate_chain: bool = setting(
        _TLS.client_certificate_chain,
        "Tell endpoints in `Client-Cert-Chain` (RFC 9440) the certificates that vouch for the "
        "client's, its issuer's first and the authority's last.",
    )
    crl_file: str | None = setting(
        None,
        "PEM file with the revocation lists (CRLs) of all those authorities: certificates in them "
        "are refused, and every one once its list is past its end. Read again when it changes.",
    )
    minimum_version: Annotated[
        Literal["1.2", "1.3"],
        BeforeValidator(_version, json_schema_input_type=Literal["1.2", "1.3"] | float),
    ] = setting(_TLS.minimum_version, "Oldest version of TLS that clients may speak.")
    cipher_suites: OneOrMany[str] = setting(
        _TLS.cipher_suites,
        "Cipher suites of TLS 1.2, in OpenSSL's names, the best first. Default: OpenSSL's choice. "
        "Those of TLS 1.3 cannot be chosen by Python before 3.15.",
    )

    @model_validator(mode="after")
    def _not_empty(self) -> "ListenerTls":
        if not self.certificates and self.acme is None:
            raise ValueError("TLS needs at least one certificate, or `acme`")
        if self.certificates and self.acme is not None:
            raise ValueError("give one of certificates and `acme`")
        return self


class ListenerTimeouts(Section):
    """How long a client may take."""

    client_headers: Duration = setting(
        _TIMEOUTS.client_headers_s,
        "Time from the first byte of a request to the end of its headers.",
    )
    client_body_idle: Duration = setting(
        _TIMEOUTS.client_body_idle_s, "Time between two pieces of a request body."
    )
    keep_alive_idle: Duration = setting(_TIMEOUTS.keep_alive_idle_s, "Time between two requests.")
    client_write_idle: Duration = setting(
        _TIMEOUTS.client_write_idle_s, "Time for which a client does not read its response."
    )
    tls_handshake: Duration = setting(_TIMEOUTS.tls_handshake_s, "Time for the TLS handshake.")


class Limits(Section):
    """What a client may send."""

    header_bytes: PositiveSize = setting(
        _LIMITS.header_bytes, "Most bytes of all headers of a request."
    )
    header_count: PositiveCount = setting(_LIMITS.header_count, "Most headers of a request.")
    target_bytes: PositiveSize = setting(
        _LIMITS.target_bytes, "Most bytes of the request target (path and query)."
    )
    body_bytes: Size = setting(_LIMITS.body_bytes, "Most bytes of a request body. `off`: any size.")
    body_rate: Count = setting(
        _LIMITS.body_rate,
        "Lowest rate of a request body, in bytes a second, applied after `client_body_idle` "
        "was spent waiting for it. 0: any rate.",
    )
    connections: Count = setting(
        _LIMITS.connections, "Most connections open at once, over all workers. 0: no limit."
    )
    connections_per_address: Count = setting(
        _LIMITS.connections_per_address,
        "Most connections open at once from one client address. 0: no limit.",
    )
    requests_per_connection: Count = setting(
        _LIMITS.requests_per_connection,
        "Requests served on one connection before it is closed. 0: no limit.",
    )
    sessions: PositiveCount = setting(
        _LIMITS.sessions,
        "UDP sessions open at once, over all workers, each of which holds its share. For one more, "
        "the one that has been idle for the longest ends.",
    )
    amplification: FactorOrOff = setting(
        _LIMITS.amplification,
        "Bytes, heads included, that a UDP source gets for each that it sent, until it goes on "
        "sending after a first reply: its address may be forged. `off`: any number.",
    )
    datagrams_per_s: Count = setting(
        _LIMITS.datagrams_per_s,
        "Datagrams a second from one source address, at each worker. 0: no limit.",
    )
    datagram_bytes_per_s: Size = setting(
        _LIMITS.datagram_bytes_per_s,
        "Bytes a second in datagrams from one source address, at each worker, without their heads. "
        "0: no limit.",
    )


class Http2(Section):
    """HTTP/2 with clients: by ALPN over TLS, and by its preface on plain listeners."""

    streams: PositiveCount = setting(
        _HTTP2.streams, "Requests of one connection at a time; others are refused, to be repeated."
    )
    connection_bytes: Annotated[int, Field(ge=131072), *PositiveSize.__metadata__] = setting(
        _HTTP2.connection_bytes,
        "Memory that one connection may make a worker hold beyond an idle one, whatever is sent.",
    )


def _http2(value: Any) -> Any:
    if value == "off" or value is False:
        return None
    return {} if value == "on" or value is True else value


class Listener(Section):
    """An address that clients connect to."""

    address: ListenAddress = required(
        "`host:port`, `[ipv6]:port`, `:port` for every interface, or `unix:/path`, a socket of the "
        "file system, whose clients count as 127.0.0.1."
    )
    mode: FileMode = setting(
        _LISTENER.mode, "Who may connect to its socket of the file system, as of `chmod`."
    )
    protocol: Literal["http", "tcp", "tls-passthrough", "udp", "epp"] | None = setting(
        None,
        "`http`; `tcp`: connections are relayed unread; `tls-passthrough`: the same, routed by the "
        "server name that clients ask for, never decrypted; `udp`: datagrams are relayed; `epp`: "
        "gateways ask which endpoint of its pool to send to (Endpoint Picker). Default: what its "
        "pool's endpoints speak.",
    )
    pool: str | None = setting(None, "The pool that serves it, instead of `routes`.")
    tls: Annotated[ListenerTls, BeforeValidator(_certificates)] | None = setting(
        None, "End TLS here: HTTPS, or TLS before `tcp`. Left out: none."
    )
    allow: OneOrMany[Network] = setting(
        (), "Networks whose clients may connect. Default: all. Others are closed unanswered."
    )
    deny: OneOrMany[Network] = setting(
        (), "Networks whose clients may not connect, whatever `allow` says."
    )
    trusted_proxies: OneOrMany[Network] = setting(
        (),
        "Networks whose `X-Forwarded-For`, or else `Forwarded`, and `X-Request-ID` are believed, "
        "and whose PROXY headers where `proxy_protocol` reads them.",
    )
    proxy_protocol: Annotated[
        ReadProxyHeaders,
        BeforeValidator(read_headers, json_schema_input_type=ReadMode | ReadProxyHeaders),
    ] = setting(
        ReadProxyHeaders(),
        "HAProxy's PROXY protocol, versions 1 and 2: connections, and datagrams with version 2, "
        "begin with a header that tells who the client is, before TLS. Read from `trusted_proxies` "
        "alone. `require`: connections without it are closed; `accept`: they are the peer's own.",
    )
    merge_slashes: Flag = setting(
        _LISTENER.merge_slashes,
        "Merge repeated slashes in a path into one, before rules look at it and it is "
        "forwarded. When off, they stay, and a request is refused if merging would select "
        "another route.",
    )
    timeouts: ListenerTimeouts = setting(ListenerTimeouts(), "How long a client may take.")
    limits: Limits = setting(Limits(), "What a client may send.")
    http2: Annotated[
        Http2 | None, BeforeValidator(_http2, json_schema_input_type=str | Http2 | None)
    ] = setting(Http2(), "HTTP/2 beside HTTP/1.1, or `off`.")
    backlog: PositiveCount = setting(
        _LISTENER.backlog, "Connections that may wait to be accepted (the system may lower it)."
    )
