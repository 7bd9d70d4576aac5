"""A whole configuration of nginx."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.config.convert.conditions import InexpressibleError, Match, Rules, reachable, within
from penstock.config.convert.nginx.context import Conversion, holds_access
from penstock.config.convert.nginx.limits import Limits
from penstock.config.convert.nginx.listening import (
    Listening,
    address_of,
    limit_bodies,
    listeners_of,
)
from penstock.config.convert.nginx.locations import Server, rules_of
from penstock.config.convert.nginx.reader import Directive, read
from penstock.config.convert.nginx.upstreams import pool_for
from penstock.config.convert.outcome import Outcome, unique


def convert_nginx(file: Path) -> Outcome:
    """Ours, and what was left out. Raises UnreadableFileError."""
    main, left_out = read(file)
    conversion = Conversion(file.name)
    conversion.outcome.left_out += left_out
    listeners: dict[str, Any] = {}
    routes: list[dict[str, Any]] = []
    # A file of sites-enabled has servers at its top: as if they stood in `http`.
    bare = any(each.name in ("server", "upstream") for each in main.block)
    for http in [main] if bare else main.of("http"):
        conversion.take(http)
        routes += _http(conversion, http, listeners)
    for stream in main.of("stream"):
        conversion.take(stream)
        _stream(conversion, stream, listeners)
    for events in main.of("events"):
        conversion.take_all(events)
    document = conversion.outcome.document
    document["listeners"] = listeners
    if routes:
        document["routes"] = routes
    if conversion.pools:
        document["pools"] = conversion.pools
    conversion.tell_rest(main)
    conversion.outcome.left_out.sort(key=lambda each: (each.file, each.line))
    return conversion.outcome


def _http(
    conversion: Conversion, http: Directive, listeners: dict[str, Any]
) -> list[dict[str, Any]]:
    upstreams = {each.args[0]: each for each in http.of("upstream")}
    servers = http.of("server")
    conversion.take(*servers)
    listening = listeners_of(conversion, (http,), servers)
    for each in listening:
        limit_bodies(conversion, (http,), each)
        each.name = unique(each.name, listeners)
        listeners[each.name] = each.made
    rules: Rules = []
    limits = Limits(conversion, http)
    for server, match in _by_name(conversion, servers, listening):
        own = {each.name: each.tls for each in listening if server in each.servers}
        made = Server(conversion, upstreams, (http, server), own, limits)
        rules += _rules(conversion, made, match)
    routes = [_route(each) for each in reachable(rules)]
    limits.settle(routes)
    return routes


def _rules(conversion: Conversion, server: Server, match: Match) -> Rules:
    try:
        return within(match, rules_of(server))
    except InexpressibleError as error:
        kind = "access" if holds_access(server.block) else "part"
        conversion.leave(server.block, str(error), kind)  # type: ignore[arg-type]
        return [(match, {"respond": 404})]


def _route(rule: tuple[Match, dict[str, Any]]) -> dict[str, Any]:
    match, action = rule
    return {"match": match, **action} if match else dict(action)


def _by_name(
    conversion: Conversion, servers: list[Directive], listening: list[Listening]
) -> list[tuple[Directive, Match]]:
    """Whole names first, then `*.`, the longest first, then each listener's default server."""
    ranked: list[tuple[int, int, Directive, Match]] = []
    for number, server in enumerate(servers):
        shared = [each for each in listening if server in each.servers and len(each.servers) > 1]
        names = _names(conversion, server)
        on: Mapping[str, list[str]] = (
            {"listeners": [each.name for each in shared]} if len(listening) > 1 else {}
        )
        whole = [name for name in names if not name.startswith("*")]
        if shared and whole:
            ranked.append((0, number, server, {**on, "hosts": whole}))
        if shared:
            wild = [name for name in names if name.startswith("*")]
            ranked += [(1, -len(name), server, {**on, "hosts": [name]}) for name in wild]
        mine = [each.name for each in listening if each.is_default(server)]
        if mine:
            every = len(mine) == len(listening)
            ranked.append((2, number, server, {} if every else {"listeners": mine}))
    ranked.sort(key=lambda each: each[:2])
    return [(server, match) for _, _, server, match in ranked]


def _names(conversion: Conversion, server: Directive) -> list[str]:
    names: list[str] = []
    for each in server.of("server_name"):
        conversion.take(each)
        for name in each.args:
            if name.startswith("~") or name.endswith(".*"):
                guards = holds_access(server)
                conversion.leave(
                    each,
                    f"hosts are whole names or *.example.com; the default server gets {name}",
                    "access" if guards else "part",
                )
            elif name.startswith("."):
                names += [name[1:].lower(), f"*{name.lower()}"]
            elif name not in ("_", "", '""') and "$" not in name:
                names.append(name.lower())
    return names


def _stream(conversion: Conversion, stream: Directive, listeners: dict[str, Any]) -> None:
    upstreams = {each.args[0]: each for each in stream.of("upstream")}
    for server in stream.of("server"):
        conversion.take(server)
        proxied = server.last("proxy_pass")
        if proxied is None or "$" in proxied.args[0]:
            why = "where it leads is known only when a connection comes"
            conversion.leave(proxied or server, why, "access" if holds_access(server) else "part")
            continue
        conversion.take(proxied)
        for listen in server.of("listen"):
            conversion.take(listen)
            protocol = "udp" if "udp" in listen.args else "tcp"
            address = address_of(listen.args[0])
            made: dict[str, Any] = {"address": address, "protocol": protocol}
            made["pool"] = pool_for(
                conversion, upstreams, (stream, server), proxied.args[0], protocol
            )
            _networks(conversion, stream, server, made)
            if "ssl" in listen.args:
                pairs = zip(
                    conversion.nearest((stream, server), "ssl_certificate"),
                    conversion.nearest((stream, server), "ssl_certificate_key"),
                    strict=False,
                )
                made["tls"] = {
                    "certificates": [{"certificate": a.args[0], "key": b.args[0]} for a, b in pairs]
                }
            name = unique(f"{protocol}-{address.rpartition(':')[2]}", listeners)
            listeners[name] = made


def _networks(
    conversion: Conversion, stream: Directive, server: Directive, made: dict[str, Any]
) -> None:
    """`allow A; deny all;` and `deny A;` are a listener's; other orders are left to be told."""
    block = server if server.of("allow", "deny") else stream
    rules = block.of("allow", "deny")
    allowed = [each.args[0] for each in rules if each.name == "allow" and each.args[0] != "all"]
    denied = [each.args[0] for each in rules if each.name == "deny" and each.args[0] != "all"]
    closed = bool(rules) and rules[-1].name == "deny" and rules[-1].args[0] == "all"
    denies_first = [each.name for each in rules if each.args[0] != "all"]
    if denies_first != sorted(denies_first, reverse=True) or (closed and not allowed):
        for each in rules:
            conversion.leave(each, "a listener's `deny` goes before its `allow`", "access")
        return
    conversion.take(*rules)
    if denied:
        made["deny"] = denied
    if allowed and closed:
        made["allow"] = allowed
