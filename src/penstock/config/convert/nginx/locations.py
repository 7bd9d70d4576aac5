"""`location`: routes, in the order in which nginx looks at them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

from penstock.config.convert.conditions import (
    Action,
    InexpressibleError,
    Match,
    Rules,
    both,
    placed_before,
    prefix_regex,
    within,
)
from penstock.config.convert.nginx.asking import ask
from penstock.config.convert.nginx.context import Chain, Conversion, holds_access
from penstock.config.convert.nginx.ifs import alternatives_of, answer_of, regex_of, rewrite_of
from penstock.config.convert.nginx.limits import Limits
from penstock.config.convert.nginx.reader import Directive
from penstock.config.convert.nginx.upstreams import address_in, pool_for
from penstock.config.convert.nginx.words import size, size_bytes
from penstock.config.convert.outcome import LeftOut

_PROXY: Final = ("proxy_pass", "grpc_pass")
_ELSEWHERE: Final = ("root", "alias", "try_files", "fastcgi_pass", "uwsgi_pass", "scgi_pass")
_FOUND_BY_US: Final = {
    "host",
    "connection",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
}
# What guards a place where nothing is served any more guards nothing.
_GUARDS: Final = (
    *("auth_basic", "auth_basic_user_file", "auth_request", "satisfy"),
    *("limit_req", "limit_conn"),
)
_GZIP_TYPE: Final = "text/html"
# Clients learn no more of what is not served than that it is not.
_NOTHING: Final[Action] = {"respond": 404}


@dataclass(frozen=True)
class Server:
    """A server, and what its locations need to know of it."""

    conversion: Conversion
    upstreams: Mapping[str, Directive]
    chain: Chain  # http, and the server itself
    listeners: Mapping[str, bool]  # and whether they speak TLS
    limits: Limits

    @property
    def block(self) -> Directive:
        """Its own."""
        return self.chain[-1]


def rules_of(server: Server) -> Rules:
    """All that happens to its requests; the last rule takes everything."""
    block = server.block
    answer = block.last("return")
    if answer is not None:
        rules: Rules = [({}, _answered(server, answer))]
        for each in block.of("location"):
            server.conversion.take_all(each)  # never reached
    else:
        rules = list(_in_order(server))
        if not rules or rules[-1][0]:
            rules += _inside(server, server.chain, {})
    return _with_ifs(server, block, rules)


def _in_order(server: Server) -> Iterator[tuple[Match, Action]]:
    """Exact, then `^~`, then expressions, then prefixes, the longest first."""
    exact_paths = holds_access(server.block)
    located = [each for each in server.block.of("location") if not each.args[0].startswith("@")]
    _tell_nested(server, located)
    for each in server.block.of("location"):
        if each.args[0].startswith("@"):
            server.conversion.take(each)
    final = [each.args[1] for each in located if each.args[0] == "^~"]
    for each in sorted(located, key=lambda each: _rank(each, final)):
        server.conversion.take(each)
        try:
            match = _match(server, each, exact_paths)
        except InexpressibleError as error:
            kind = "access" if holds_access(each) else "part"
            server.conversion.leave(each, str(error), kind)  # type: ignore[arg-type]
            server.conversion.take_all(each)
            continue
        nested = each.of("location")
        if nested:
            yield from _nested(server, each, match)
        yield from _inside(server, (*server.chain, each), match)


def _nested(server: Server, outer: Directive, match: Match) -> Iterator[tuple[Match, Action]]:
    for each in sorted(outer.of("location"), key=_rank):
        server.conversion.take(each)
        try:
            own = both(match, _match(server, each, True))
        except InexpressibleError as error:
            server.conversion.leave(each, str(error), "access" if holds_access(each) else "part")
            continue
        if own is not None:
            yield from _inside(server, (*server.chain, outer, each), own)


def _tell_nested(server: Server, located: list[Directive]) -> None:
    """A longer prefix within one of `^~` goes before it, and so before expressions too."""
    final = [each.args[1] for each in located if each.args[0] == "^~"]
    if any(each.args[0] in ("~", "~*") for each in located):
        for each in located:
            if len(each.args) == 1 and any(each.args[0].startswith(path) for path in final):
                server.conversion.leave(
                    each,
                    "it goes before expressions here, as it is within a `^~`",
                    "access" if holds_access(server.block) else "part",
                )


def _rank(location: Directive, final: Sequence[str] = ()) -> tuple[int, int]:
    modifier = location.args[0] if len(location.args) > 1 else ""
    path = location.args[-1]
    if not modifier and any(path.startswith(each) for each in final):
        modifier = "^~"
    if modifier in ("~", "~*"):
        return (2, 0)  # in the order of the file, which sorting keeps
    return ({"=": 0, "^~": 1}.get(modifier, 3), -len(path))


def _match(server: Server, location: Directive, exact_paths: bool) -> Match:
    modifier, path = location.args if len(location.args) > 1 else ("", location.args[0])
    if modifier == "=":
        return {"path": path}
    if modifier in ("~", "~*"):
        return {"path_regex": regex_of(modifier, path)}
    if path == "/":
        return {}
    if path.endswith("/"):
        return {"path_prefix": path}
    if exact_paths:  # nginx's prefix ends within a segment too: /admin is /admin.php
        return {"path_regex": prefix_regex(path)}
    server.conversion.leave(location, f"whole segments here: {path} and {path}/…, not {path}x")
    return {"path_prefix": path}


def _inside(server: Server, chain: Chain, match: Match) -> Rules:
    """What happens in a block to what meets ``match``."""
    block = chain[-1]
    conversion = server.conversion
    answer = block.last("return") if block is not server.block else None
    if answer is not None:
        rules: Rules = [(match, _answered(server, answer))]  # before rules of access, as in nginx
    elif block.of("internal"):
        conversion.take_all(block)
        rules = [(match, dict(_NOTHING))]
    else:
        rules = _guarded(server, chain, match, _target(server, chain))
    if block is server.block:
        return rules
    return within(match, _with_ifs(server, block, rules))


def _guarded(server: Server, chain: Chain, match: Match, action: Action) -> Rules:
    """`allow` and `deny`, in their order; what none of them names passes."""
    block = chain[-1]
    made: Rules = []
    excepted = block.last("limit_except")
    if excepted is not None:
        server.conversion.take(excepted)
        methods = list(excepted.args) + (["HEAD"] if "GET" in excepted.args else [])
        passing = both(match, {"methods": methods})
        if passing is not None:
            made += _admitted(server, chain, passing, action)
        return made + _admitted(server, (*chain, excepted), match, action)
    return _admitted(server, chain, match, action)


def _admitted(server: Server, chain: Chain, match: Match, action: Action) -> Rules:
    made: Rules = []
    for each in server.conversion.nearest(chain, "allow", "deny"):
        passed = action if each.name == "allow" else {"respond": 403}
        if each.args[0] == "all":
            return [*made, (match, passed)]
        if each.args[0] == "unix:":
            server.conversion.leave(each, "clients of socket files count as 127.0.0.1", "access")
            continue
        try:
            network = str(ip_network(each.args[0], strict=False))
        except ValueError:
            server.conversion.leave(each, "a network by its address alone", "access")
            continue
        own = both(match, {"sources": [network]})
        if own is None:
            continue
        if made and made[-1][1] == passed and _but_sources(made[-1][0]) == _but_sources(own):
            made[-1][0]["sources"] = [*made[-1][0]["sources"], *own["sources"]]
        else:
            made.append((own, passed))
    return [*made, (match, action)]


def _but_sources(match: Match) -> Match:
    return {key: value for key, value in match.items() if key != "sources"}


def _with_ifs(server: Server, block: Directive, rules: Rules) -> Rules:
    """Each `if` that answers, before what comes otherwise."""
    for each in reversed(block.of("if")):
        answer = each.last("return")
        try:
            if answer is None:
                raise InexpressibleError("only `return` is understood in it")
            rules = placed_before(
                alternatives_of(each.args, server.listeners), answer_of(answer), rules
            )
            server.conversion.take(each, answer)
        except (InexpressibleError, ValueError) as error:
            refuses = answer is not None and answer.args[0].startswith("4")
            kind = "access" if refuses or holds_access(each) else "part"
            server.conversion.leave(each, str(error), kind)  # type: ignore[arg-type]
    return rules


def _answered(server: Server, answer: Directive) -> Action:
    server.conversion.take(answer)
    try:
        return answer_of(answer)
    except InexpressibleError as error:
        server.conversion.leave(answer, str(error))
        return dict(_NOTHING)


def _target(server: Server, chain: Chain) -> Action:
    block, conversion = chain[-1], server.conversion
    proxied = next((each for each in block.block if each.name in _PROXY), None)
    if proxied is None:
        proxied = _named(server, block)
    if proxied is None:
        _leave_files(conversion, chain)
        return dict(_NOTHING)
    conversion.take(proxied)
    scheme, authority, path = address_in(proxied)
    if "$" in authority or scheme not in ("http", "https", "grpc", "grpcs"):
        conversion.leave(proxied, "where it leads is known only when a request comes")
        return dict(_NOTHING)
    if scheme in ("https", "grpcs") and not any(each.of("proxy_ssl_verify") for each in chain):
        conversion.outcome.left_out.append(
            LeftOut(
                proxied.file,
                proxied.line,
                proxied.text,
                "nginx does not verify its certificate; here it is verified, by the system's "
                "authorities unless `tls: {ca_file: …}` says others",
            )
        )
    action: Action = {
        "pool": pool_for(conversion, dict(server.upstreams), chain, authority, scheme)
    }
    _rewrite(conversion, block, path, action)
    told = ask(conversion, dict(server.upstreams), chain, action)
    server.limits.limit(chain, action)
    _headers(conversion, chain, action, told)
    _compress(conversion, chain, action)
    return action


def _named(server: Server, block: Directive) -> Directive | None:
    """`try_files $uri @app`: what is no file goes to the server that is named."""
    files = block.last("try_files")
    if files is None or not files.args[-1].startswith("@"):
        return None
    for each in server.block.of("location"):
        if each.args[0] == files.args[-1]:
            server.conversion.leave(files, "files are not served: all goes to the servers named")
            return next((inner for inner in each.block if inner.name in _PROXY), None)
    return None


def _leave_files(conversion: Conversion, chain: Chain) -> None:
    """Nothing is served there: no rule of access is lost, and clients get 404."""
    for each in chain[-1].block:
        if each.name in _ELSEWHERE:
            conversion.leave(each, "files, FastCGI and uwsgi are not served: answered with 404")
    if len(chain) > 2:
        conversion.take(*chain[-1].of(*_GUARDS))


def _rewrite(conversion: Conversion, block: Directive, path: str, action: Action) -> None:
    modifier, prefix = (
        ("", "/")
        if block.name != "location"
        else (block.args if len(block.args) > 1 else ("", block.args[0]))
    )
    if path and modifier in ("", "^~"):
        action["rewrite"] = {"prefix": prefix, "replacement": path}
        if prefix == path:
            del action["rewrite"]
    elif path and modifier == "=":
        action["rewrite"] = {"regex": f"^{re.escape(prefix)}$", "replacement": path}
    for each in block.of("rewrite"):
        try:
            if "rewrite" in action:
                raise InexpressibleError("a route changes the path once")
            change, status = rewrite_of(each)
            if status:
                raise InexpressibleError("a redirect within a location: write a route for it")
            action["rewrite"] = change
            conversion.take(each)
        except InexpressibleError as error:
            conversion.leave(each, str(error))


def _headers(conversion: Conversion, chain: Chain, action: Action, told: Mapping[str, str]) -> None:
    """``told``: variables that are headers of the answer of a service that was asked."""
    edits: dict[str, Any] = {}
    for each in conversion.nearest(chain, "proxy_set_header", "grpc_set_header"):
        name, value = each.args[0], each.args[1]
        if name.lower() in _FOUND_BY_US or told.get(value) == name.lower():
            continue
        if not value:
            edits.setdefault("remove", []).append(name)
        elif "$" in value:
            guards = "ssl_client" in value
            why = (
                "X-Forwarded-For tells the client"
                if "remote_addr" in value
                else "its value is computed"
            )
            conversion.leave(each, why, "access" if guards else "part")
        else:
            edits.setdefault("set", {})[name] = value
    if edits:
        action["request_headers"] = edits
    answers: dict[str, Any] = {}
    for each in conversion.nearest(chain, "add_header"):
        if "$" in each.args[1]:
            conversion.leave(each, "its value is computed")
        else:
            answers.setdefault("set", {})[each.args[0]] = each.args[1]
    for each in conversion.nearest(chain, "proxy_hide_header"):
        answers.setdefault("remove", []).append(each.args[0])
    if answers:
        action["response_headers"] = answers


def _compress(conversion: Conversion, chain: Chain, action: Action) -> None:
    if conversion.value(chain, "gzip") != "on":
        return
    made: dict[str, Any] = {"codings": ["gzip"]}
    types = conversion.nearest(chain, "gzip_types")
    listed = [each for each in (types[-1].args if types else ()) if each != "*"]
    made["types"] = list(dict.fromkeys([_GZIP_TYPE, *listed]))
    least = conversion.value(chain, "gzip_min_length")
    if least is not None:
        made["minimum_size"] = size(max(1, size_bytes(least)))
    action["compression"] = made
