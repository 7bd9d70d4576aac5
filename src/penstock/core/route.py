"""Routes: which one a request takes. The first that matches wins."""

import re
from collections.abc import Callable

from penstock.core.snapshot import HeaderMatch, Match, Rewrite


class RouteFacts:
    """What routes look at. ``host`` is lower case and without port; header names lower case.

    Of a connection that is relayed unread all that is known are ``listener``, ``source``, the
    client's address, and ``server_name``, which its TLS asks for ("" without one).
    """

    def __init__(
        self,
        listener: str,
        host: str,
        path: str,
        method: str,
        headers: list[tuple[str, str]],
        source: str = "",
        server_name: str = "",
    ) -> None:
        self.listener: str = listener
        self.host: str = host
        self.path: str = path  # without query, in exactly the form that is forwarded
        self.method: str = method
        self.headers: list[tuple[str, str]] = headers
        self.source: str = source
        self.server_name: str = server_name


class _NamePatterns:
    """Host names, some of them ``*.`` and a name; none given: any."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._exact: frozenset[str] = frozenset([p for p in patterns if not p.startswith("*.")])
        self._suffixes: list[str] = [p[1:] for p in patterns if p.startswith("*.")]
        self._any: bool = not patterns or "*" in patterns

    def hold(self, name: str) -> bool:
        if self._any or name in self._exact:
            return True
        return any([name.endswith(suffix) and name != suffix for suffix in self._suffixes])


class _HeaderCondition:
    def __init__(self, match: HeaderMatch) -> None:
        self.name: str = match.name.lower()
        self.kind: str = match.kind
        self.value: str = match.value
        self.invert: bool = match.invert
        self.pattern: re.Pattern[str] = compiled(match.value if match.kind == "regex" else "")

    def holds(self, headers: list[tuple[str, str]]) -> bool:
        values = [value for name, value in headers if name == self.name]
        return any([self._accepts(value) for value in values]) != self.invert

    def _accepts(self, value: str) -> bool:
        if self.kind == "exact":
            return value == self.value
        if self.kind == "prefix":
            return value.startswith(self.value)
        if self.kind == "regex":
            return self.pattern.fullmatch(value) is not None
        return True


class Matcher:
    """One route's conditions, ready to be asked."""

    def __init__(self, match: Match, is_source: Callable[[str], bool] | None = None) -> None:
        """``is_source`` says whether an address is in ``match.sources``; None: there are none.

        Raises ValueError on a pattern that is no regular expression.
        """
        self._is_source: Callable[[str], bool] | None = is_source
        self._server_names: _NamePatterns = _NamePatterns(match.server_names)
        self._listeners: frozenset[str] = frozenset(match.listeners)
        self._hosts: _NamePatterns = _NamePatterns(match.hosts)
        self._path_kind: str = match.path_kind
        self._path: str = match.path
        self._pattern: re.Pattern[str] = compiled(match.path if match.path_kind == "regex" else "")
        self._methods: frozenset[str] = frozenset(match.methods)
        self._headers: list[_HeaderCondition] = [_HeaderCondition(h) for h in match.headers]

    def matches(self, facts: RouteFacts) -> bool:
        """Whether every condition holds."""
        if self._listeners and facts.listener not in self._listeners:
            return False
        if self._methods and facts.method not in self._methods:
            return False
        if not self._hosts.hold(facts.host) or not self._path_matches(facts.path):
            return False
        if not self._server_names.hold(facts.server_name):
            return False
        if self._is_source is not None and not self._is_source(facts.source):
            return False
        return all([condition.holds(facts.headers) for condition in self._headers])

    def _path_matches(self, path: str) -> bool:
        if self._path_kind == "any":
            return True
        if self._path_kind == "exact":
            return path == self._path
        if self._path_kind == "prefix":
            return is_path_prefix(self._path, path)
        return self._pattern.fullmatch(path) is not None


def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression. Raises ValueError, naming it, when it is none."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error


def check_rewrite(rewrite: Rewrite) -> None:
    """Raises ValueError when the pattern or its replacement cannot be used."""
    if rewrite.kind == "regex":
        try:
            compiled(rewrite.pattern).sub(rewrite.replacement, "")
        except (re.error, IndexError) as error:
            raise ValueError(f"{rewrite.replacement!r} cannot replace: {error}") from error


def is_path_prefix(prefix: str, path: str) -> bool:
    """Whether ``prefix`` covers ``path`` on a segment's boundary: /v1 covers /v1 and /v1/x only."""
    if not path.startswith(prefix):
        return False
    return prefix.endswith("/") or len(path) == len(prefix) or path[len(prefix)] == "/"


def first_match(routes: list[Matcher], facts: RouteFacts) -> int:
    """The index of the first route whose conditions hold; -1 when there is none."""
    for index, matcher in enumerate(routes):
        if matcher.matches(facts):
            return index
    return -1


def rewritten_path(path: str, rewrite: Rewrite | None) -> str:
    """The path after a rewrite, always beginning with "/"."""
    if rewrite is None:
        return path
    if rewrite.kind == "prefix":
        if not is_path_prefix(rewrite.pattern, path):
            return path
        rest = path[len(rewrite.pattern) :]
        path = (
            rewrite.replacement.rstrip("/") + "/" + rest.lstrip("/")
            if rest
            else rewrite.replacement
        )
    else:
        path = re.sub(rewrite.pattern, rewrite.replacement, path, count=1)
    return path if path.startswith("/") else "/" + path
