"""`listen`, certificates and what clients may send: listeners."""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.config.convert.nginx.context import Chain, Conversion
from penstock.config.convert.nginx.reader import Directive
from penstock.config.convert.nginx.words import seconds, size, size_bytes
from penstock.config.convert.outcome import duration, unique

_BODY_BYTES: Final = 1 << 20  # client_max_body_size where it is not said
_IGNORED: Final = re.compile(
    r"default_server|default|reuseport|ssl|http2|quic|bind|deferred|proxy_protocol|udp"
    r"|backlog=\d+|ipv6only=\w+|so_keepalive=\S+|fastopen=\d+|rcvbuf=\S+|sndbuf=\S+"
)


@dataclass
class Listening:
    """A listener under construction, and the servers that share it; the default one first."""

    name: str
    address: str
    tls: bool
    servers: list[Directive] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)
    body_bytes: list[int] = field(default_factory=list)

    def is_default(self, server: Directive) -> bool:
        """Whether requests that no name takes are that server's."""
        return self.servers[0] is server


def listeners_of(conversion: Conversion, http: Chain, servers: list[Directive]) -> list[Listening]:
    """Every address that servers listen on."""
    found: dict[str, Listening] = {}
    for server in servers:
        listens = server.of("listen") or [Directive("listen", ("80",), server.file, server.line)]
        for listen in listens:
            conversion.take(listen)
            tls = "ssl" in listen.args or any(each.args == ("on",) for each in server.of("ssl"))
            listening = _listening(found, address_of(listen.args[0]), tls)
            _arguments(conversion, listen, listening)
            if server in listening.servers:
                continue
            if "default_server" in listen.args or "default" in listen.args:
                listening.servers.insert(0, server)
            else:
                listening.servers.append(server)
    for listening in found.values():
        _complete(conversion, http, listening)
    return list(found.values())


def _listening(found: dict[str, Listening], address: str, tls: bool) -> Listening:
    """Of that address; every one of IPv4 and every one of IPv6 share a socket here."""
    key = re.sub(r"^(?:0\.0\.0\.0|\[::\]):", ":", address)
    if key not in found:
        scheme = "https" if tls else "http"
        port = re.search(r":(\d+)$", address)
        name = unique(
            f"{scheme}-{port[1]}" if port else scheme, [each.name for each in found.values()]
        )
        found[key] = Listening(name, address, tls, made={"address": address})
    listening = found[key]
    if listening.address != address:
        listening.address = listening.made["address"] = key
    listening.tls = listening.tls or tls
    return listening


def _arguments(conversion: Conversion, listen: Directive, listening: Listening) -> None:
    if "proxy_protocol" in listen.args:
        listening.made["proxy_protocol"] = "require"
    for argument in listen.args[1:]:
        if not _IGNORED.fullmatch(argument):
            conversion.leave(listen, f"`{argument}` has no counterpart")
        if argument.startswith("backlog="):
            listening.made["backlog"] = int(argument.partition("=")[2])


def address_of(text: str) -> str:
    """As a listener has it: ``80``, ``*:80``, ``[::]:80`` or ``unix:/path``."""
    if text.startswith("unix:"):
        return text
    if text.isdecimal():
        return f"0.0.0.0:{text}"
    if text.startswith("*:"):
        return f"0.0.0.0:{text[2:]}"
    if not re.search(r":\d+$", text):
        return f"{text}:80"
    return text


def _complete(conversion: Conversion, http: Chain, listening: Listening) -> None:
    made = listening.made
    made["merge_slashes"] = True  # as nginx does, unless it is told otherwise
    for server in listening.servers:
        chain = (*http, server)
        if conversion.value(chain, "merge_slashes") == "off":
            made["merge_slashes"] = False
        _proxies(conversion, chain, made)
        _timeouts(conversion, chain, made)
    if listening.tls:
        _tls(conversion, http, listening)


def limit_bodies(conversion: Conversion, http: Chain, listening: Listening) -> None:
    """The largest that any of its servers and locations takes; nginx's own default is 1 MiB."""
    told: list[int] = []
    for server in listening.servers:
        told.append(size_bytes(conversion.value((*http, server), "client_max_body_size") or "1m"))
        for location in _locations(server):
            own = location.last("client_max_body_size")
            if own is not None:
                conversion.take(own)
                told.append(size_bytes(own.args[0]))
    most = 0 if 0 in told else max(told, default=_BODY_BYTES)
    listening.made["limits"] = {**listening.made.get("limits", {}), "body_bytes": size(most)}


def _locations(block: Directive) -> list[Directive]:
    found = block.of("location", "if", "limit_except")
    return [*found, *(inner for each in found for inner in _locations(each))]


def _proxies(conversion: Conversion, chain: Chain, made: dict[str, Any]) -> None:
    networks = [each.args[0] for each in conversion.nearest(chain, "set_real_ip_from")]
    header = conversion.nearest(chain, "real_ip_header")
    conversion.nearest(chain, "real_ip_recursive")
    if header and header[-1].args[0].lower() not in ("x-forwarded-for", "proxy_protocol"):
        conversion.leave(header[-1], "clients are told by X-Forwarded-For or Forwarded", "access")
    if networks:
        made["trusted_proxies"] = sorted({*made.get("trusted_proxies", ()), *networks})


def _timeouts(conversion: Conversion, chain: Chain, made: dict[str, Any]) -> None:
    for theirs, ours in (
        ("client_header_timeout", "client_headers"),
        ("client_body_timeout", "client_body_idle"),
        ("keepalive_timeout", "keep_alive_idle"),
        ("send_timeout", "client_write_idle"),
    ):
        value = conversion.value(chain, theirs)
        if value is not None and seconds(value):
            made.setdefault("timeouts", {}).setdefault(ours, duration(seconds(value)))
    requests = conversion.value(chain, "keepalive_requests")
    if requests is not None:
        made.setdefault("limits", {}).setdefault("requests_per_connection", int(requests))


def _tls(conversion: Conversion, http: Chain, listening: Listening) -> None:
    certificates: list[dict[str, Any]] = []
    clients: list[tuple[str, str, str]] = []
    for server in listening.servers:
        chain = (*http, server)
        pairs = zip(
            conversion.nearest(chain, "ssl_certificate"),
            conversion.nearest(chain, "ssl_certificate_key"),
            strict=False,
        )
        for certificate, key in pairs:
            pair = {"certificate": certificate.args[0], "key": key.args[0]}
            if pair not in certificates:
                certificates.append(pair)
        clients.append(
            (
                nearest_value(chain, "ssl_client_certificate"),
                nearest_value(chain, "ssl_verify_client").replace("off", ""),
                nearest_value(chain, "ssl_crl"),
            )
        )
    tls: dict[str, Any] = {"certificates": certificates}
    _client_certificates(conversion, http, listening, clients, tls)
    protocols = nearest_value((*http, listening.servers[0]), "ssl_protocols", whole=True)
    if protocols == "TLSv1.3":
        tls["minimum_version"] = "1.3"
    listening.made["tls"] = tls


def _client_certificates(
    conversion: Conversion,
    http: Chain,
    listening: Listening,
    asked: list[tuple[str, str, str]],
    tls: dict[str, Any],
) -> None:
    """A listener asks all clients alike: where its servers differ, they are left to be told."""
    authority, verify, revoked = asked[0]
    if any(each != asked[0] for each in asked) or verify not in ("on", "optional") or not authority:
        return
    tls["client_ca_file"] = authority
    if verify == "optional":
        tls["client_certificate"] = "request"
    if revoked:
        tls["crl_file"] = revoked
    for server in listening.servers:
        for name in ("ssl_client_certificate", "ssl_verify_client", "ssl_crl"):
            conversion.nearest((*http, server), name)


def nearest_value(chain: Chain, name: str, *, whole: bool = False) -> str:
    """What the nearest of that name says, without taking it."""
    for block in reversed(chain):
        found = block.last(name)
        if found is not None:
            return " ".join(found.args) if whole else found.args[0]
    return ""
