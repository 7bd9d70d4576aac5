"""Which listeners, routes and pools go together, by what they speak."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Final, Literal

from msgspec.structs import replace

from penstock.config.compile.discovery import urls_of
from penstock.config.compile.picking import check_picking
from penstock.config.document.listeners import Listener
from penstock.config.document.pools import Pool
from penstock.config.load.errors import Location, did_you_mean
from penstock.config.load.findings import Findings
from penstock.core import snapshot
from penstock.core.snapshot.address import socket_path

Spoken = Literal["http", "tcp", "udp", "epp"]

# Keys of a pool that mean nothing where bytes are relayed unread.
_HTTP_POOL_KEYS: Final = (
    "usage",
    "malformed",
    "engine",
    "models",
    "probe",
    "sticky",
    "host_header",
    "request_headers",
    "response_headers",
    "error_pages",
    "compression",
    "hedge",
    "websocket_responses",
)
_HTTP_LISTENER_KEYS: Final = ("merge_slashes",)
# Of a pool whose connections begin with a PROXY header: they are not kept.
_KEPT_CONNECTION_KEYS: Final = ("max_idle", "idle_timeout", "max_requests")
_CONNECTION_KEYS: Final = ("tls", "timeouts", "backlog")
_UDP_LIMITS: Final = ("sessions", "amplification", "datagrams_per_s", "datagram_bytes_per_s")
_RELAYED: Final[dict[Spoken, str]] = {
    "tcp": "bytes of tcp:// endpoints are relayed unread",
    "udp": "datagrams of udp:// endpoints are relayed unread",
}
# What of their first bytes may be hashed; else there is only the client's address.
_HASHED: Final[dict[Spoken, tuple[str, ...]]] = {
    "http": ("source", "path", "header", "cookie", "query"),
    "tcp": ("source",),
    "udp": ("source", "source_port", "bytes"),
}


def spoken_on(listener: snapshot.Listener) -> Spoken:
    """What its clients speak, as far as Penstock understands it."""
    return "tcp" if listener.protocol == "tls-passthrough" else listener.protocol


def spoken_by(pool: Pool, at: Location, findings: Findings) -> Spoken:
    """What its endpoints speak: all the same."""
    found: list[Spoken] = []
    for url in urls_of(pool):
        if url.protocol not in found:
            found.append(url.protocol)
    if len(found) > 1:
        findings.wrong(
            (*at, "endpoints"),
            f"{' and '.join(f'{each}://' for each in reversed(found))} endpoints cannot be in one "
            "pool: make one for each, with its own route",
        )
    spoken = found[0] if found else "http"
    if spoken != "http":
        _check_relayed(pool, spoken, at, findings)
    _check_hash_key(pool, spoken, at, findings)
    return spoken


def _check_hash_key(pool: Pool, spoken: Spoken, at: Location, findings: Findings) -> None:
    kind = pool.hash_key.compiled().kind if pool.hash_key is not None else "source"
    if kind in _HASHED[spoken]:
        return
    if spoken == "http":
        findings.wrong((*at, "hash_key"), f"`{kind}` is of udp:// endpoints")
    elif spoken == "tcp":
        findings.wrong(
            (*at, "hash_key"),
            f"{_RELAYED[spoken]}, so `source`, the client's address, is all there is",
        )
    else:
        findings.wrong(
            (*at, "hash_key"),
            f"{_RELAYED[spoken]}: there are `source`, `source_port` and `bytes`",
        )


def _check_relayed(pool: Pool, spoken: Spoken, at: Location, findings: Findings) -> None:
    why = _RELAYED[spoken]
    if pool.kind == "llm":
        findings.wrong((*at, "kind"), f"a pool of kind llm speaks HTTP; {why}")
    for key in _HTTP_POOL_KEYS:
        if key in pool.model_fields_set and getattr(pool, key) is not None:
            findings.wrong((*at, key), f"has no effect: {why}")
    for index, endpoint in enumerate(pool.endpoints):
        for key in ("headers", "kv_events", "models"):
            if getattr(endpoint, key):
                findings.wrong((*at, "endpoints", index, key), f"has no effect: {why}")
    check = pool.health_check
    if spoken == "udp" and check is not None and check.kind != "udp" and not check.port:
        findings.wrong(
            (*at, "health_check"),
            f"`kind: {check.kind}` connects by TCP, and the endpoints are udp://: give the `port` "
            "to check, or write {kind: udp, send: …}",
        )


def protocol_of(
    listener: Listener, pools: Mapping[str, snapshot.Pool], only: str
) -> Literal["http", "tcp", "tls-passthrough", "udp", "epp"]:
    """What its clients speak, where it does not say: what its pool does, or the ``only`` one."""
    if listener.protocol is not None:
        return listener.protocol
    pool = pools.get(listener.pool or only)
    return pool.protocol if pool is not None else "http"


def check_listener(
    listener: Listener,
    protocol: str,
    pools: Mapping[str, snapshot.Pool],
    at: Location,
    findings: Findings,
) -> None:
    """What it says fits what its clients speak."""
    name = listener.pool
    if name is not None and name not in pools:
        findings.wrong((*at, "pool"), f"no pool is called {name!r}{did_you_mean(name, pools)}")
    elif name is not None:
        spoken = {"tls-passthrough": "tcp", "epp": "http"}.get(protocol, protocol)
        if pools[name].protocol != spoken:
            findings.wrong(
                (*at, "pool"),
                f"the pool {name!r} has {pools[name].protocol}:// endpoints, and the listener is "
                f"`protocol: {protocol}`",
            )
    if protocol == "tls-passthrough" and listener.tls is not None:
        findings.wrong(
            (*at, "tls"),
            "`tls-passthrough` never decrypts: leave `tls` away, or write `protocol: tcp`, which "
            "ends TLS here",
        )
    if protocol == "epp":
        check_picking(listener, pools.get(name or ""), at, findings)
    _check_proxy_headers(listener, protocol, at, findings)
    _check_socket_file(listener, protocol, at, findings)
    if protocol != "http":
        for key in _HTTP_LISTENER_KEYS:
            if key in listener.model_fields_set:
                findings.wrong((*at, key), f"has no effect: `protocol: {protocol}` reads no HTTP")
    if protocol == "udp":
        for key in _CONNECTION_KEYS:
            if key in listener.model_fields_set and getattr(listener, key) is not None:
                findings.wrong((*at, key), "has no effect: UDP has no connections")
    for key in sorted(listener.limits.model_fields_set):
        if (key in _UDP_LIMITS) != (protocol == "udp"):
            why = "UDP has no connections" if protocol == "udp" else "this is of UDP"
            findings.wrong((*at, "limits", key), f"has no effect: {why}")


def _check_socket_file(listener: Listener, protocol: str, at: Location, findings: Findings) -> None:
    if not socket_path(listener.address.host):
        if "mode" in listener.model_fields_set:
            findings.wrong((*at, "mode"), "has no effect: the address is no socket file")
    elif protocol == "udp":
        findings.wrong((*at, "address"), "datagrams come by UDP: give a host and a port")


def _check_proxy_headers(
    listener: Listener, protocol: str, at: Location, findings: Findings
) -> None:
    """Who may say who a client is stands beside that somebody may."""
    mode = listener.proxy_protocol.mode
    if protocol != "udp" and "datagrams" in listener.proxy_protocol.model_fields_set:
        findings.wrong((*at, "proxy_protocol", "datagrams"), "has no effect: this is of UDP")
    if mode == "off":
        if protocol != "http" and "trusted_proxies" in listener.model_fields_set:
            findings.wrong(
                (*at, "trusted_proxies"),
                f"has no effect: `protocol: {protocol}` reads no HTTP; `proxy_protocol: require` "
                "reads PROXY headers",
            )
    elif not listener.trusted_proxies:
        findings.wrong(
            (*at, "proxy_protocol"),
            "say who may send PROXY headers, which can name any client: `trusted_proxies: "
            "[10.0.0.0/8]`, the networks of the balancers in front",
        )
    elif mode == "require" and not _lets_in(listener):
        findings.wrong(
            (*at, "allow"),
            "holds none of `trusted_proxies`, so nobody can connect: the balancers are asked for "
            "first, then the client in their PROXY header",
        )


def _lets_in(listener: Listener) -> bool:
    """Whether some trusted proxy may connect."""
    allowed = [ip_network(each) for each in listener.allow]
    trusted = [ip_network(each) for each in listener.trusted_proxies]
    return not allowed or any(
        proxy.version == network.version and proxy.overlaps(network)
        for proxy in trusted
        for network in allowed
    )


def check_proxy_preface(pool: Pool, engine: bool, at: Location, findings: Findings) -> None:
    """What does not go with connections that begin with a PROXY header."""
    written = pool.proxy_protocol
    over_udp = any(url.protocol == "udp" for url in urls_of(pool))
    if not over_udp and "datagrams" in written.model_fields_set:
        findings.wrong((*at, "proxy_protocol", "datagrams"), "has no effect: this is of UDP")
    if written.version == "off":
        return
    if over_udp and written.version == "v1":
        findings.wrong(
            (*at, "proxy_protocol"), "version 1 has no word for UDP: write `proxy_protocol: v2`"
        )
    if pool.kind == "llm" or engine:
        findings.wrong(
            (*at, "proxy_protocol"),
            "engines of language models read no PROXY headers, and are asked for their load and "
            "models without one",
        )
    for key in _KEPT_CONNECTION_KEYS:
        if key in pool.connections.model_fields_set:
            findings.wrong(
                (*at, "connections", key),
                "has no effect: a connection that began with a PROXY header carries one request",
            )


def check_health_check(pool: Pool, at: Location, findings: Findings) -> None:
    """Bytes are sent and expected over TCP alone, and gRPC is spoken over HTTP/2."""
    check = pool.health_check
    if check is None or check.port:
        return
    if check.kind == "grpc":
        urls = urls_of(pool)
        if any(url.protocol == "http" and not url.tls and not url.http2 for url in urls):
            findings.wrong(
                (*at, "health_check"),
                "`kind: grpc` speaks HTTP/2, and there are http:// endpoints: write h2c:// in "
                "place of http://, or give the `port` of the health service",
            )
    if not (check.send or check.expect):
        return
    if any(url.tls for url in urls_of(pool)):
        findings.wrong(
            (*at, "health_check"),
            "`send` and `expect` speak no TLS, and there are https:// endpoints: check a path, or "
            "a `port` without TLS",
        )


def speaks_http2(pool: Pool) -> bool:
    """Whether HTTP/2 is spoken to any endpoint, or may be."""
    return any(url.http2 or (url.tls and pool.http2 != "off") for url in urls_of(pool))


def check_retry(pool: Pool, at: Location, findings: Findings) -> None:
    """Endpoints that speak gRPC have HTTP/2."""
    if pool.retry.on_grpc_statuses and not speaks_http2(pool):
        findings.wrong(
            (*at, "retry", "on_grpc_statuses"),
            "has no effect: gRPC is spoken over HTTP/2, and no endpoint does; write h2c:// in "
            "place of http://, or `http2: on` for https:// endpoints",
        )


def place_routes(
    routes: tuple[snapshot.Route, ...],
    listeners: Mapping[str, snapshot.Listener],
    pools: Mapping[str, snapshot.Pool],
    findings: Findings,
) -> tuple[snapshot.Route, ...]:
    """The routes, each held to the listeners that speak what its pools do."""
    return tuple(
        place_route(route, ("routes", index), listeners, pools, findings)
        for index, route in enumerate(routes)
    )


def place_route(
    route: snapshot.Route,
    at: Location,
    listeners: Mapping[str, snapshot.Listener],
    pools: Mapping[str, snapshot.Pool],
    findings: Findings,
) -> snapshot.Route:
    """The route, held to the listeners that speak what its pools do."""
    mixed = len({spoken_on(each) for each in listeners.values()}) > 1
    names = [each.pool for each in route.pools if each.pool in pools]
    spoken: Spoken = pools[names[0]].protocol if names else "http"
    for name in names[1:]:
        if pools[name].protocol != spoken:
            findings.wrong((*at, "pools", name), f"speaks another protocol than {names[0]!r}")
    match = route.match
    for name in match.listeners:
        if name in listeners and spoken_on(listeners[name]) != spoken:
            theirs = f"`protocol: {listeners[name].protocol}`"
            what = f"the pool {names[0]!r} has {spoken}:// endpoints" if names else "this is HTTP"
            findings.wrong(
                (*at, "match", "listeners"), f"the listener {name!r} is {theirs}, and {what}"
            )
    if spoken != "http":
        _check_connection_route(route, spoken, at, findings)
    if spoken == "udp" and match.server_names:
        findings.wrong((*at, "match", "server_names"), "datagrams of udp listeners have none")
    elif spoken == "http" and match.server_names:
        findings.wrong(
            (*at, "match", "server_names"),
            "has no effect: requests are matched by `hosts`; server names are of "
            "`tls-passthrough` listeners",
        )
    same = tuple(name for name, each in listeners.items() if spoken_on(each) == spoken)
    asked = match.listeners or same
    named = [n for n in asked if n in listeners and listeners[n].scheme == "tls"]
    if spoken == "tcp" and match.server_names and not named:
        findings.wrong(
            (*at, "match", "server_names"),
            "no name is asked for without TLS: make the listener `tls-passthrough`, or give it "
            "`tls`",
        )
    if not same and names:
        findings.wrong(
            at,
            f"no listener reaches it: the pool {names[0]!r} has {spoken}:// endpoints; give one "
            f"`protocol: {spoken}`",
        )
    if match.listeners or not mixed:
        return route
    return replace(route, match=replace(match, listeners=same))


def _check_connection_route(
    route: snapshot.Route, spoken: Spoken, at: Location, findings: Findings
) -> None:
    match = route.match
    why = _RELAYED[spoken]
    given = {
        "hosts": match.hosts,
        "path": match.path_kind != "any",
        "methods": match.methods,
        "headers": match.headers,
    }
    for key, value in given.items():
        if value:
            findings.wrong((*at, "match", key), f"{why}: there is nothing of HTTP to match")
    changes = {
        "mirror": route.mirror,
        "basic_auth": route.basic_auth is not None,
        "forward_auth": route.forward_auth is not None,
        "limits": route.limits,
        "rewrite": route.rewrite,
        "request_headers": route.request_headers,
        "response_headers": route.response_headers,
        "error_pages": route.error_pages,
        "compression": route.compression is not None and len(route.compression.codings) > 0,
    }
    for key, change in changes.items():
        if change:
            findings.wrong((*at, key), f"has no effect: {why}")
