"""`if`, `return` and `rewrite`: conditions, answers and paths."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from penstock.config.convert.conditions import Action, Alternative, InexpressibleError
from penstock.config.convert.nginx.reader import Directive

_HERE: Final = ("$host", "$server_name", "$http_host")
_REST: Final = ("$request_uri", "$uri", "$uri$is_args$args")


def alternatives_of(condition: Sequence[str], listeners: Mapping[str, bool]) -> list[Alternative]:
    """What an `if` takes; ``listeners`` are those of its server, and whether they speak TLS.

    Raises InexpressibleError.
    """
    if len(condition) not in (1, 3):
        raise InexpressibleError("this condition has no counterpart")
    variable = condition[0]
    operator, value = (condition[1], condition[2]) if len(condition) == 3 else ("", "")
    negated = operator.startswith("!")
    match = _match(variable, operator.removeprefix("!"), value, listeners)
    return [Alternative({}, (match,))] if negated else [Alternative(match)]


def answer_of(directive: Directive) -> Action:
    """What `return` answers. Raises InexpressibleError."""
    args = directive.args
    if len(args) == 1 and not args[0].isdecimal():
        args = ("302", args[0])
    status = int(args[0])
    if status == 444:
        return {"respond": 403}  # nginx closes; nobody gets through either way
    if status in (301, 302, 303, 307, 308) and len(args) > 1:
        return {"redirect": {"status": status, **_target(args[1])}}
    if len(args) == 1:
        return {"respond": status}
    if "$" in args[1]:
        raise InexpressibleError("an answer cannot hold variables")
    return {"respond": {"status": status, "body": args[1]}}


def rewrite_of(directive: Directive) -> tuple[dict[str, str], int]:
    """A change of the path, and the status of a redirect (0: none). Raises InexpressibleError."""
    pattern, replacement, *flags = directive.args
    status = {"permanent": 301, "redirect": 302}.get(flags[0] if flags else "", 0)
    if replacement.startswith(("http://", "https://", "$scheme")):
        raise InexpressibleError("a rewrite to another host: write a route with `redirect`")
    path = replacement.partition("?")[0]
    path = re.sub(r"\$(\d)", r"\\\1", path)
    if "$" in path:
        raise InexpressibleError("a path cannot hold variables")
    # nginx replaces the whole path by what is written, wherever the pattern matched.
    start = "" if pattern.startswith("^") else "^.*?"
    end = "" if pattern.endswith("$") else ".*$"
    return {"regex": f"{start}{pattern}{end}", "replacement": path}, status


def _target(url: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if url.startswith("/"):
        if "$" in url:
            raise InexpressibleError("a redirect's path cannot hold variables")
        return {"path": url}
    scheme, found, rest = url.partition("://")
    if not found:
        raise InexpressibleError("a redirect goes to a path or a URL")
    if scheme in ("http", "https"):
        made["scheme"] = scheme
    elif scheme != "$scheme":
        raise InexpressibleError("a redirect's scheme is http or https")
    authority = re.match(r"[^/$]*(?:\$(?:host|server_name|http_host)(?![a-z_]))?", rest)
    host = authority[0] if authority else ""
    path = rest[len(host) :]
    if host and host not in _HERE:
        parts = urlsplit(f"//{host}")
        if "$" in host or parts.hostname is None:
            raise InexpressibleError("a redirect's host cannot hold variables")
        made["host"] = parts.hostname
        if parts.port:
            made["port"] = parts.port
    if path in _REST:
        return made
    if "$" in path:
        raise InexpressibleError("a redirect's path cannot hold variables")
    return {**made, "path": path or "/"}


def _match(
    variable: str, operator: str, value: str, listeners: Mapping[str, bool]
) -> dict[str, Any]:
    if variable == "$scheme" and operator == "=":
        return {"listeners": [name for name, tls in listeners.items() if tls == (value == "https")]}
    if variable in ("$host", "$http_host") and operator == "=":
        return {"hosts": [value.lower()]}
    if variable == "$request_method":
        return {"methods": _methods(operator, value)}
    if variable == "$remote_addr" and operator == "=":
        return {"sources": [value]}
    if variable in ("$uri", "$document_uri"):  # $request_uri has the query, which no route sees
        return {"path": value} if operator == "=" else {"path_regex": regex_of(operator, value)}
    if variable.startswith("$http_"):
        name = variable.removeprefix("$http_").replace("_", "-")
        return {"headers": {name: [_header(operator, value)]}}
    raise InexpressibleError(f"{variable} is nothing that a route can match")


def _header(operator: str, value: str) -> dict[str, Any]:
    if not operator:
        return {"regex": "(?s:.+)"}
    if operator == "=":
        # nothing or empty: a variable of nginx does not tell them apart
        return {"exact": value} if value else {"regex": "(?s:.+)", "invert": True}
    return {"regex": regex_of(operator, value)}


def _methods(operator: str, value: str) -> list[str]:
    if operator == "=":
        return [value]
    found = re.fullmatch(r"\^?\(?([A-Z|]+)\)?\$?", value)
    if operator != "~" or found is None or not value.startswith("^") or not value.endswith("$"):
        raise InexpressibleError("methods are compared as a whole: ^(GET|HEAD)$")
    return found[1].split("|")


def regex_of(operator: str, pattern: str) -> str:
    """A pattern that is searched for, as one that the whole text matches. Raises Inexpressible…"""
    try:
        re.compile(pattern)
    except re.error as error:
        raise InexpressibleError(f"Python does not read this expression: {error}") from error
    if "|" in pattern and not re.fullmatch(r"[^|()]*\([^()]*\)[^|()]*", pattern):
        whole = f".*(?:{pattern}).*"
    else:
        start = "" if pattern.startswith("^") else ".*"
        end = "" if pattern.endswith("$") and not pattern.endswith("\\$") else ".*"
        whole = start + pattern.removeprefix("^") + end
        if end == "":
            whole = whole[:-1]
    return f"(?i:{whole})" if operator.endswith("*") else whole
