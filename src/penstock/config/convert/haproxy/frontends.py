"""`frontend`, and the addresses of `listen`: listeners and routes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock.config.convert.conditions import (
    Action,
    Alternative,
    InexpressibleError,
    Match,
    Rules,
    placed_before,
    reachable,
    within,
)
from penstock.config.convert.haproxy.acls import Conditions, Listener
from penstock.config.convert.haproxy.reader import Line, Section
from penstock.config.convert.haproxy.told import Told, is_access
from penstock.config.convert.outcome import Kind, duration, unique

_DENY: Final = ("deny", "reject", "tarpit", "silent-drop")
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


class Routing:
    """The rules of a frontend, and of the backends that it leads to."""

    def __init__(self, told: Told, listeners: list[Listener], directory: Path, exact: bool) -> None:
        self._told = told
        self._listeners = listeners
        self._directory = directory
        self._exact = exact

    def rules(self, section: Section, ends: dict[str, Section], own: Rules | None) -> Rules:
        """What happens to requests; ``own`` where the section has servers itself."""
        conditions = self._conditions(section)
        rules: Rules = own if own is not None else [({}, {"respond": 503})]
        default = self._told.nearest(section, "default_backend")
        if default is not None:
            rules = self._to(default.args[1], ends)
        for line in reversed(section.of("use_backend")):
            rules = self._placed(line, conditions, line.args[2:], rules, ends)
        rules = self._requests(section, conditions, rules)
        return reachable(rules)

    def _conditions(self, section: Section) -> Conditions:
        return Conditions(section.lines, self._listeners, self._directory, self._exact)

    def _to(self, backend: str, ends: dict[str, Section]) -> Rules:
        """What its own rules say of what is sent to it."""
        if backend not in ends:
            raise InexpressibleError(f"there is no backend {backend!r} by a fixed name")
        section = ends[backend]
        return self._requests(section, self._conditions(section), [({}, {"pool": backend})])

    def _placed(
        self,
        line: Line,
        conditions: Conditions,
        words: tuple[str, ...],
        rules: Rules,
        ends: dict[str, Section],
    ) -> Rules:
        try:
            target = self._to(line.args[1], ends)
            alternatives = conditions.of(words)
            made = rules
            for match, action in reversed(target):
                made = placed_before(_narrowed(alternatives, match), action, made)
        except InexpressibleError as error:
            guards = (
                any(is_access(each) for each in ends[line.args[1]].lines)
                if (line.args[1] in ends)
                else False
            )
            kind: Kind = "access" if guards else "part"
            self._told.leave(line, f"{error}; such requests go on to the next rule", kind)
            return rules
        self._told.take(line)
        return made

    def _requests(self, section: Section, conditions: Conditions, rules: Rules) -> Rules:
        """`http-request`, `redirect` and `tcp-request`, before where the request goes."""
        routing = rules
        lines = [each for each in section.lines if each.keyword in ("http-request", "redirect")]
        # HAProxy looks at `redirect` after all of `http-request`.
        lines.sort(key=lambda each: each.keyword == "redirect")
        changes: dict[str, Any] = {}
        for line in reversed(lines):
            try:
                rules = self._request(line, conditions, rules, routing, changes)
            except InexpressibleError as error:
                self._told.leave(line, str(error))
        if changes:
            rules = [
                (match, {**action, "request_headers": changes} if "pool" in action else action)
                for match, action in rules
            ]
        return self._answers(section, rules)

    def _request(
        self,
        line: Line,
        conditions: Conditions,
        rules: Rules,
        routing: Rules,
        changes: dict[str, Any],
    ) -> Rules:
        words, condition = _split(line.args)
        what = words[1]
        if line.keyword == "redirect" or what == "redirect":
            action = _redirect(words)
        elif what in _DENY:
            status = line.after("deny_status") or line.after("status")
            action = {"respond": int(status) if status else 403}
        elif what == "return":
            action = _returned(words)
        elif what == "allow":
            for alternative in reversed(conditions.of(condition)):
                if alternative.without:
                    raise InexpressibleError("`allow` with a negation has no counterpart")
                rules = [*within(alternative.match, routing), *rules]
            self._told.take(line)
            return rules
        elif what in ("set-header", "add-header", "del-header"):
            _change(words, condition, changes)
            self._told.take(line)
            return rules
        elif what in ("set-path", "replace-path", "set-uri", "replace-uri"):
            rules = _rewritten(words, conditions.of(condition), rules)
            self._told.take(line)
            return rules
        else:
            raise InexpressibleError("it has no counterpart")
        rules = placed_before(conditions.of(condition), action, rules)
        self._told.take(line)
        return rules

    def _answers(self, section: Section, rules: Rules) -> Rules:
        """`http-response` with headers."""
        changes: dict[str, Any] = {}
        for line in section.of("http-response"):
            words, condition = _split(line.args)
            try:
                if words[1] not in ("set-header", "add-header", "del-header"):
                    raise InexpressibleError("it has no counterpart")
                _change(words, condition, changes)
                self._told.take(line)
            except InexpressibleError as error:
                self._told.leave(line, str(error))
        if not changes:
            return rules
        return [
            (match, {**action, "response_headers": changes} if "pool" in action else action)
            for match, action in rules
        ]


def guard_connections(told: Told, section: Section, bound: list[Bound], directory: Path) -> None:
    """`tcp-request connection reject if { src … }`: whom listeners let connect."""
    conditions = Conditions(section.lines, [each.as_asked() for each in bound], directory, True)
    for line in section.of("tcp-request"):
        words, condition = _split(line.args)
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


def _narrowed(alternatives: list[Alternative], match: Match) -> list[Alternative]:
    if not match:
        return alternatives
    made = (
        [Alternative(both, each.without) for both, _ in within(each.match, [(match, {})])]
        for each in alternatives
    )
    return [each for one in made for each in one]


def _split(args: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words, and the condition with its `if` or `unless`."""
    for i, word in enumerate(args):
        if word in ("if", "unless") and i > 1:
            return args[:i], args[i:]
    return args, ()


def _redirect(words: tuple[str, ...]) -> Action:
    after = {words[i]: words[i + 1] for i in range(len(words) - 1)}
    status = int(after.get("code", 302))
    if "scheme" in after:
        return {"redirect": {"status": status, "scheme": after["scheme"]}}
    kind = "location" if "location" in after else "prefix"
    url = after.get(kind, "")
    if "%" in url or not url:
        raise InexpressibleError("where it leads is computed")
    found = re.fullmatch(r"(?:(https?)://([^/:]+)(?::(\d+))?)?(/.*)?", url)
    if found is None:
        raise InexpressibleError(f"{url} is no path or URL")
    made: dict[str, Any] = {"status": status}
    if found[1]:
        made.update({"scheme": found[1], "host": found[2]})
    if found[3]:
        made["port"] = int(found[3])
    if kind == "location":
        made["path"] = found[4] or "/"
    elif found[4] and found[4] != "/":
        raise InexpressibleError("a prefix before the path: write `rewrite` beside `redirect`")
    return {"redirect": made}


def _returned(words: tuple[str, ...]) -> Action:
    after = {words[i]: words[i + 1] for i in range(len(words) - 1)}
    made: dict[str, Any] = {"status": int(after.get("status", 200))}
    body = after.get("string", after.get("lf-string", ""))
    if "file" in after or "lf-file" in after or "%[" in body:
        raise InexpressibleError("its body is a file or computed")
    if body:
        made["body"] = body
    if "content-type" in after:
        made["content_type"] = after["content-type"]
    return {"respond": made}


def _change(words: tuple[str, ...], condition: tuple[str, ...], changes: dict[str, Any]) -> None:
    name = words[2]
    value = words[3] if len(words) > 3 else ""
    if name.lower() in (
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-forwarded-host",
    ):
        return  # written by Penstock
    if condition:
        raise InexpressibleError("headers are changed for all requests of a route")
    if "%" in value:
        raise InexpressibleError("its value is computed")
    if words[1] == "del-header":
        changes.setdefault("remove", []).append(name)
    else:
        changes.setdefault("set" if words[1] == "set-header" else "add", {})[name] = value


def _rewritten(words: tuple[str, ...], alternatives: list[Alternative], rules: Rules) -> Rules:
    """`replace-path REGEX NEW` of everything."""
    if words[1] != "replace-path" or any(each.match or each.without for each in alternatives):
        raise InexpressibleError("a path is changed for all requests of a route, by an expression")
    change = {"regex": f"^{words[2].removeprefix('^')}" if words[2].startswith("^") else words[2]}
    change["replacement"] = words[3]
    return [
        (
            match,
            {**action, "rewrite": change}
            if "pool" in action and "rewrite" not in action
            else action,
        )
        for match, action in rules
    ]
