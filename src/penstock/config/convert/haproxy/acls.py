"""`acl` lines and conditions, as what routes match."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

from penstock.config.convert.conditions import (
    Alternative,
    InexpressibleError,
    Match,
    both,
    prefix_regex,
)
from penstock.config.convert.haproxy.reader import Line

_PREDEFINED: Final[Mapping[str, Sequence[str]]] = {
    "TRUE": ("always_true",),
    "FALSE": ("always_false",),
    "LOCALHOST": ("src", "127.0.0.1/8"),
    "METH_GET": ("method", "GET", "HEAD"),
    "METH_HEAD": ("method", "HEAD"),
    "METH_POST": ("method", "POST"),
    "METH_PUT": ("method", "PUT"),
    "METH_DELETE": ("method", "DELETE"),
    "METH_OPTIONS": ("method", "OPTIONS"),
    "METH_CONNECT": ("method", "CONNECT"),
    "METH_TRACE": ("method", "TRACE"),
    "HTTP": ("always_true",),
    "WAIT_END": ("always_true",),
}
# Older names and their newer ones.
_CALLED: Final = {
    "req.hdr": "hdr",
    "req.fhdr": "hdr",
    "hdr": "hdr",
    "req_ssl_sni": "req.ssl_sni",
    "ssl_fc_sni": "ssl_fc_sni",
    "req.path": "path",
}
_SUFFIXES: Final = ("beg", "end", "reg", "sub", "dir", "dom", "str", "len")


@dataclass(frozen=True)
class Listener:
    """What conditions ask of a listener: whether it speaks TLS, and its port."""

    name: str
    tls: bool
    port: int


@dataclass(frozen=True)
class Fetch:
    """What is looked at, how it is compared, and with what."""

    what: str  # path, hdr …
    argument: str  # of hdr(host)
    how: str  # str, beg, end, reg, sub, found …
    nocase: bool
    values: tuple[str, ...]


class Conditions:
    """The conditions of a section: its ACLs, and the listeners that it is asked at.

    ``exact``: the beginning of a path is compared by its characters, as HAProxy does; else by
    whole segments, which reads better and routes the same paths in practice.
    """

    def __init__(
        self, lines: Sequence[Line], listeners: Sequence[Listener], directory: Path, exact: bool
    ) -> None:
        self._listeners = listeners
        self._directory = directory
        self._exact = exact
        self._acls: dict[str, list[Sequence[str]]] = {}
        for line in lines:
            if line.keyword == "acl":
                self._acls.setdefault(line.args[1], []).append(line.args[2:])

    def of(self, words: Sequence[str]) -> list[Alternative]:
        """Of ``if A !B || C``, or ``unless …``; without words, everything.

        Raises InexpressibleError.
        """
        if not words:
            return [Alternative({})]
        groups = _groups(words[1:])
        if words[0] == "unless":
            groups = [[(not negated, name) for negated, name in each] for each in product(*groups)]
        found = [each for group in groups for each in self._group(group)]
        if not found:
            raise InexpressibleError("nothing can meet it")
        return found

    def terms(self, words: Sequence[str]) -> list[list[tuple[bool, Sequence[str]]]]:
        """Its alternatives as terms, each perhaps negated; an ACL of one line by what that says."""
        if not words:
            return [[]]
        groups = _groups(words[1:])
        if words[0] == "unless":
            groups = [[(not negated, name) for negated, name in each] for each in product(*groups)]
        return [[(negated, self._said(name)) for negated, name in group] for group in groups]

    def of_terms(self, terms: Sequence[tuple[bool, Sequence[str]]]) -> list[Alternative]:
        """All of them together. Raises InexpressibleError."""
        found = self._group(terms)
        if not found:
            raise InexpressibleError("nothing can meet it")
        return found

    def _said(self, name: Sequence[str]) -> Sequence[str]:
        lines = self._acls.get(name[0], []) if len(name) == 1 else []
        return lines[0] if len(lines) == 1 else name

    def _group(self, group: Sequence[tuple[bool, Sequence[str]]]) -> list[Alternative]:
        """All of them together."""
        met: list[Match] = [{}]
        without: list[Match] = []
        for negated, name in group:
            matches = self._matches(name)
            if negated:
                matches, rest = self._negated(matches)
                without += rest
            pairs = (both(one, other) for one in met for other in matches)
            met = [each for each in pairs if each is not None]
        return [Alternative(each, tuple(without)) for each in met]

    def _negated(self, matches: list[Match]) -> tuple[list[Match], list[Match]]:
        """What can be said outright: another listener, a header that is otherwise."""
        if len(matches) == 1:
            [match] = matches
            if set(match) == {"listeners"}:
                names = [each.name for each in self._listeners]
                return [{"listeners": [n for n in names if n not in match["listeners"]]}], []
            if set(match) == {"headers"}:
                [(name, conditions)] = match["headers"].items()
                if len(conditions) == 1:
                    inverted = {**conditions[0], "invert": not conditions[0].get("invert", False)}
                    return [{"headers": {name: [inverted]}}], []
        return [{}], matches

    def _matches(self, name: Sequence[str]) -> list[Match]:
        """One of them is met."""
        if len(name) > 1 or name[0] not in self._acls:
            words = _PREDEFINED.get(name[0], ()) if len(name) == 1 else name
            if len(name) == 1 and not words:
                words = name  # `{ ssl_fc }`
            return self._match(words)
        return [match for words in self._acls[name[0]] for match in self._match(words)]

    def _match(self, words: Sequence[str]) -> list[Match]:
        fetch = _fetch(words, self._directory)
        if fetch.what == "always_true":
            return [{}]
        if fetch.what == "always_false":
            return []
        if fetch.what in ("ssl_fc", "dst_port", "fe_name"):
            return self._of_listeners(fetch)
        if fetch.what == "src":
            return [{"sources": [_network(each) for each in fetch.values]}]
        if fetch.what == "method":
            return [{"methods": list(fetch.values)}]
        if fetch.what == "path":
            return self._of_path(fetch)
        if fetch.what == "req.ssl_sni":
            return [{"server_names": _names(fetch)}]
        if fetch.what == "hdr":
            return _of_header(fetch)
        raise InexpressibleError(f"`{words[0]}` is nothing that a route can match")

    def _of_listeners(self, fetch: Fetch) -> list[Match]:
        if fetch.what == "ssl_fc":
            wanted = fetch.values[:1] not in (("0",), ("false",))
            names = [each.name for each in self._listeners if each.tls == wanted]
        elif fetch.what == "dst_port":
            ports = {int(each) for each in fetch.values}
            names = [each.name for each in self._listeners if each.port in ports]
        else:
            raise InexpressibleError("frontends are named by their listeners: `match: {listeners}`")
        if not names:
            return []
        if len(names) == len(self._listeners):
            return [{}]
        return [{"listeners": names}]

    def _of_path(self, fetch: Fetch) -> list[Match]:
        found: list[Match] = []
        for value in fetch.values:
            if fetch.how == "str" and not fetch.nocase:
                found.append({"path": value})
            elif fetch.how == "beg" and not fetch.nocase and value.startswith("/"):
                if value == "/":
                    found.append({})
                elif value.endswith("/") or not self._exact:
                    found.append({"path_prefix": value})
                else:
                    found.append({"path_regex": prefix_regex(value)})
            else:
                found.append({"path_regex": _regex(fetch, value)})
        return found


def _groups(words: Sequence[str]) -> list[list[tuple[bool, Sequence[str]]]]:
    """Alternatives of terms, each perhaps negated: a name, or the words between braces."""
    groups: list[list[tuple[bool, Sequence[str]]]] = [[]]
    negated = False
    i = 0
    while i < len(words):
        word = words[i]
        if word in ("or", "||"):
            groups.append([])
        elif word == "!":
            negated = not negated
        elif word in ("{", "!{"):
            negated = negated or word == "!{"
            try:
                end = words.index("}", i)
            except ValueError as error:
                raise InexpressibleError("a brace is not closed") from error
            groups[-1].append((negated, words[i + 1 : end]))
            negated, i = False, end
        else:
            name = word.removeprefix("!")
            groups[-1].append((negated != (name != word), (name,)))
            negated = False
        i += 1
    return groups


def _fetch(words: Sequence[str], directory: Path) -> Fetch:
    criterion, *rest = words
    found = re.fullmatch(r"([\w.]+?)(?:_(\w{3}))?(?:\(([^)]*)\))?(?:,lower)?", criterion)
    if found is None:
        raise InexpressibleError(f"`{criterion}` is computed")
    what, suffix, argument = found[1], found[2] or "", (found[3] or "").strip("'\"")
    if suffix and suffix not in _SUFFIXES:
        what, suffix = f"{what}_{suffix}", ""
    what = _CALLED.get(what, what)
    how, nocase, values = suffix or "str", criterion.endswith(",lower"), []
    i = 0
    while i < len(rest):
        if rest[i] == "-i":
            nocase = True
        elif rest[i] == "-m":
            how = rest[i + 1]
            i += 1
        elif rest[i] == "-f":
            values += _listed(directory / rest[i + 1])
            i += 1
        elif rest[i] == "--":
            values += rest[i + 1 :]
            break
        elif rest[i].startswith("-") and len(rest[i]) == 2:
            raise InexpressibleError(f"{rest[i]} of `{criterion}` has no counterpart")
        else:
            values.append(rest[i])
        i += 1
    if what in ("url", "pathq"):  # with the query, which no route sees
        if how != "beg" or any("?" in each or not each.startswith("/") for each in values):
            raise InexpressibleError(f"`{criterion}` has the query, which routes do not look at")
        what = "path"
    if what != "path" and "," in criterion and not criterion.endswith(",lower"):
        raise InexpressibleError(f"`{criterion}` is computed")
    return Fetch(what, argument, how, nocase, tuple(values))


def _listed(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InexpressibleError(f"{file} cannot be read: {error.strerror}") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise InexpressibleError(f"{text} is no network") from error


def _names(fetch: Fetch) -> list[str]:
    if fetch.how == "str":
        return [each.lower() for each in fetch.values]
    if fetch.how == "end" and all(each.startswith(".") for each in fetch.values):
        return [f"*{each.lower()}" for each in fetch.values]
    raise InexpressibleError("names are compared as a whole, or by their end from a dot on")


def _of_header(fetch: Fetch) -> list[Match]:
    name = fetch.argument.partition(",")[0].lower()
    if not name:
        raise InexpressibleError("a header has a name")
    if name == "host":
        try:
            return [{"hosts": [each.partition(":")[0] for each in _names(fetch)]}]
        except InexpressibleError:
            pass  # by an expression
    if fetch.how == "found":
        return [{"headers": {name: [{"present": True}]}}]
    if fetch.how == "str" and not fetch.nocase:
        return [{"headers": {name: [{"exact": each}]}} for each in fetch.values]
    if fetch.how == "beg" and not fetch.nocase:
        return [{"headers": {name: [{"prefix": each}]}} for each in fetch.values]
    return [{"headers": {name: [{"regex": _regex(fetch, each)}]}} for each in fetch.values]


def _regex(fetch: Fetch, value: str) -> str:
    """An expression that matches the whole text."""
    literal = re.escape(value).replace(r"\-", "-").replace(r"\/", "/")
    if fetch.how == "reg":
        try:
            re.compile(value)
        except re.error as error:
            raise InexpressibleError(f"Python does not read this expression: {error}") from error
        made = f".*(?:{value}).*"
    else:
        made = {
            "str": literal,
            "beg": f"{literal}.*",
            "end": f".*{literal}",
            "sub": f".*{literal}.*",
            "dir": f"(?:.*/)?{literal.strip('/')}(?:/.*)?",
            "dom": f"(?:.*[./])?{literal}(?:[.:/].*)?",
        }.get(fetch.how, "")
    if not made:
        raise InexpressibleError(f"comparison by `{fetch.how}` has no counterpart")
    return f"(?i:{made})" if fetch.nocase else made
