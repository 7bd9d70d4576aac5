"""`bind`, and whom listeners let connect: listeners."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock.config.convert.conditions import Alternative, InexpressibleError
from penstock.config.convert.haproxy.acls import Conditions, Listener
from penstock.config.convert.haproxy.reader import Line, Section, split_condition
from penstock.config.convert.haproxy.told import Told
from penstock.config.convert.outcome import duration, unique

_BIND_IGNORED: Final = frozenset(
    (
        *("ssl", "accept-proxy", "v4v6", "v6only", "tfo", "transparent", "defer-accept"),
        *("no-tls-tickets", "strict-sni", "no-sslv3", "no-tlsv10", "no-tlsv11", "no-alpn"),
        *("prefer-client-ciphers", "allow-0rtt"),
    )
)
_BIND_ARGUMENTS: Final = frozenset(
    (
        *("alpn", "ciphers", "ciphersuites", "curves", "ecdhe", "process", "thread", "shards"),
        *("user", "group", "uid", "gid", "name", "id", "ssl-min-ver", "ssl-max-ver", "proto"),
        *("interface", "backlog", "npn", "nice", "mode", "level", "tls-ticket-keys", "namespace"),
    )
)


@dataclass
class Bound:
    """A listener under construction."""

    name: str
    made: dict[str, Any]

    def as_asked(self) -> Listener:
        """What conditions ask of it."""
        port = str(self.made["address"]).rpartition(":")[2]
        return Listener(self.name, "tls" in self.made, int(port) if port.isdecimal() else 0)


def mode_of(told: Told, section: Section) -> str:
    """``tcp`` where nothing says otherwise, as for HAProxy."""
    line = told.nearest(section, "mode")
    return line.args[1] if line is not None else "tcp"


def bound_listeners(told: Told, section: Section, taken: dict[str, Any], mode: str) -> list[Bound]:
    """Of every address that it binds."""
    found: list[Bound] = []
    for line in told.lines(section, "bind"):
        for address in line.args[1].split(","):
            made: dict[str, Any] = {"address": _address(address)}
            if mode == "tcp":
                made["protocol"] = "tcp"
            _bind(told, line, made)
            base = section.name or "main"
            if "tls" in made and len(told.lines(section, "bind")) > 1:
                base = f"{base}-tls"
            name = unique(base, taken)
            taken[name] = made
            found.append(Bound(name, made))
    _timeouts(told, section, found, mode)
    return found


def _address(text: str) -> str:
    text = text.removeprefix("ipv4@").removeprefix("ipv6@")
    if text.startswith(("unix@", "/")):
        return f"unix:{text.removeprefix('unix@')}"
    host, _, port = text.rpartition(":")
    if host in ("*", ""):
        return f"0.0.0.0:{port}"
    if host == "::" or host == "[::]":
        return f"[::]:{port}"
    return f"[{host}]:{port}" if ":" in host and "[" not in host else text


def _bind(told: Told, line: Line, made: dict[str, Any]) -> None:
    words = line.args[2:]
    tls: dict[str, Any] = {}
    i = 0
    while i < len(words):
        word, argument = words[i], words[i + 1] if i + 1 < len(words) else ""
        if word == "crt":
            tls.setdefault("certificates", []).append({"certificate": argument, "key": argument})
            if argument.endswith("/"):
                told.leave(line, "a directory of certificates: name each of them")
        elif word == "ca-file":
            tls["client_ca_file"] = argument
        elif word == "verify":
            if argument == "optional":
                tls["client_certificate"] = "request"
            elif argument == "none":
                tls.pop("client_ca_file", None)
        elif word == "crl-file":
            tls["crl_file"] = argument
        elif word == "ssl-min-ver" and argument == "TLSv1.3":
            tls["minimum_version"] = "1.3"
        elif word == "maxconn":
            made.setdefault("limits", {})["connections"] = int(argument)
        elif word == "accept-proxy":
            made["proxy_protocol"] = "require"
            made["trusted_proxies"] = ["0.0.0.0/0", "::/0"]
            i -= 1
        elif word in _BIND_IGNORED:
            i -= 1
        elif word == "crt-list":
            told.leave(line, "a list of certificates: name each of them")
        elif word not in _BIND_ARGUMENTS:
            told.leave(line, f"`{word}` has no counterpart")
        i += 2
    if "verify" not in words and "client_ca_file" in tls:
        del tls["client_ca_file"]  # without `verify`, HAProxy asks no client
    if "ssl" in words:
        made["tls"] = tls


def _timeouts(told: Told, section: Section, found: list[Bound], mode: str) -> None:
    made: dict[str, str] = {}
    for theirs, ours in (
        ("http-request", "client_headers"),
        ("http-keep-alive", "keep_alive_idle"),
        ("client", "client_body_idle"),
    ):
        value = told.timeout(section, theirs)
        if value and mode == "http":
            made[ours] = duration(value)
    if "keep_alive_idle" not in made and "client_body_idle" in made:
        made["keep_alive_idle"] = made["client_body_idle"]
    most = told.nearest(section, "maxconn")
    for each in found:
        if made:
            each.made["timeouts"] = dict(made)
        if most is not None:
            each.made.setdefault("limits", {}).setdefault("connections", int(most.args[1]))


def guard_connections(told: Told, section: Section, bound: list[Bound], directory: Path) -> None:
    """`tcp-request connection reject if { src … }`: whom listeners let connect."""
    conditions = Conditions(section.lines, [each.as_asked() for each in bound], directory, True)
    for line in section.of("tcp-request"):
        words, condition = split_condition(line.args)
        if len(words) > 1 and words[1] == "inspect-delay":
            told.take(line)
            continue
        if words[-1] == "accept" and words[1] == "content" and "WAIT_END" not in condition:
            if any("hello" in each for each in condition):  # waits for a ClientHello, as we do
                told.take(line)
            continue
        if words[-1] != "reject":
            continue
        try:
            deny, allow = _networks(conditions.of(condition))
        except InexpressibleError as error:
            told.leave(line, str(error), "access")
            continue
        if allow and any("allow" in each.made for each in bound):
            told.leave(line, "a listener has one list of who may connect", "access")
            continue
        told.take(line)
        for each in bound:
            if deny:
                each.made.setdefault("deny", []).extend(deny)
            if allow:
                each.made["allow"] = allow


def _networks(alternatives: list[Alternative]) -> tuple[list[str], list[str]]:
    """Those that are refused, or those that alone are let in."""
    deny: list[str] = []
    allow: list[str] = []
    for each in alternatives:
        if set(each.match) == {"sources"} and not each.without:
            deny += each.match["sources"]
        elif (
            not each.match and each.without and all(set(one) == {"sources"} for one in each.without)
        ):
            allow += [network for one in each.without for network in one["sources"]]
        else:
            raise InexpressibleError("connections are refused by the client's network alone")
    if deny and allow:
        raise InexpressibleError("connections are refused by one list at a time")
    return deny, allow
