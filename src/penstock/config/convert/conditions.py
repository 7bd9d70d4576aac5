"""Conditions on requests, in the words of a route's `match`, and lists of rules made of them.

Other balancers negate any condition; a route cannot. A rule "X if A and not B" before the rules R
is here: what meets A and B goes on to R, then A gets X, then R. The first that matches wins, so
this is the same.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock.core.route import is_path_prefix

Match = dict[str, Any]
Action = dict[str, Any]
Rules = list[tuple[Match, Action]]
_PATHS: Final = ("path", "path_prefix", "path_regex")
_MOST_RULES: Final = 2000


class InexpressibleError(ValueError):
    """A condition that routes cannot have. The text is for people."""


@dataclass(frozen=True)
class Alternative:
    """What meets ``match`` and none of ``without``."""

    match: Match
    without: tuple[Match, ...] = ()


def both(one: Match, other: Match) -> Match | None:
    """What meets both; None where nothing can. Raises InexpressibleError."""
    made: Match = {}
    for key in ("listeners", "methods", "hosts", "server_names", "sources"):
        if key in one and key in other:
            common = _common(key, one[key], other[key])
            if not common:
                return None
            made[key] = common
        elif key in one or key in other:
            made[key] = one.get(key, other.get(key))
    path = _path_of_both(_path(one), _path(other))
    if path is None:
        return None
    made.update(path)
    headers = {name: list(each) for name, each in one.get("headers", {}).items()}
    for name, each in other.get("headers", {}).items():
        mine = headers.setdefault(name, [])
        mine += [condition for condition in each if condition not in mine]
    if headers:
        made["headers"] = headers
    return made


def placed_before(alternatives: Sequence[Alternative], action: Action, rest: Rules) -> Rules:
    """``action`` for what meets one of ``alternatives``, and ``rest`` for all else."""
    for alternative in reversed(alternatives):
        rest = _before(alternative, action, rest)
        if len(rest) > _MOST_RULES:
            raise InexpressibleError("its conditions would make thousands of routes")
    return rest


def changed_where(
    alternatives: Sequence[Alternative], change: Callable[[Action], Action], rest: Rules
) -> Rules:
    """``rest``, with what happens to what meets one of ``alternatives`` changed. A change that was
    made already is made once."""
    for alternative in reversed(alternatives):
        made: Rules = []
        for excepted in alternative.without:
            narrowed = both(alternative.match, excepted)
            if narrowed is not None:
                made += within(narrowed, rest)
        made += within(alternative.match, [(match, change(action)) for match, action in rest])
        rest = made + rest if alternative.match else made
        if len(rest) > _MOST_RULES:
            raise InexpressibleError("its conditions would make thousands of routes")
    return rest


def reachable(rules: Rules) -> Rules:
    """Without those that come after one which takes all that they would."""
    made: Rules = []
    for match, action in rules:
        for earlier, _ in made:
            if all(match.get(key) == value for key, value in earlier.items()):
                break
        else:
            made.append((match, action))
    return made


def within(match: Match, rules: Rules) -> Rules:
    """The rules for what meets ``match`` alone."""
    found = ((both(match, own), action) for own, action in rules)
    return [(own, action) for own, action in found if own is not None]


def prefix_regex(prefix: str) -> str:
    """Paths that begin with these characters, in whole segments or not."""
    return re.escape(prefix).replace(r"\-", "-").replace(r"\/", "/") + ".*"


def _before(alternative: Alternative, action: Action, rest: Rules) -> Rules:
    made: Rules = []
    for excepted in alternative.without:
        narrowed = both(alternative.match, excepted)
        if narrowed is not None:
            made += within(narrowed, rest)
    made.append((alternative.match, action))
    return made + rest if alternative.match else made


def _common(key: str, one: Sequence[str], other: Sequence[str]) -> list[str]:
    found = [_narrower(key, a, b) for a in one for b in other]
    return list(dict.fromkeys(each for each in found if each is not None))


def _narrower(key: str, a: str, b: str) -> str | None:
    if a == b:
        return a
    if key in ("hosts", "server_names"):
        if a.startswith("*") and b.endswith(a[1:]):
            return b
        return a if b.startswith("*") and a.endswith(b[1:]) else None
    if key == "sources":
        first, second = ipaddress.ip_network(a), ipaddress.ip_network(b)
        if first.version != second.version:
            return None
        if first.subnet_of(second):  # type: ignore[arg-type]
            return a
        return b if second.subnet_of(first) else None  # type: ignore[arg-type]
    return None


def _path(match: Match) -> Match:
    return {key: match[key] for key in _PATHS if key in match}


def _path_of_both(one: Match, other: Match) -> Match | None:
    if not one or not other or one == other:
        return one or other
    if "path" in other:
        one, other = other, one
    if "path" in one:
        return one if _holds(other, one["path"]) else None
    if "path_prefix" in one and "path_prefix" in other:
        a, b = one["path_prefix"], other["path_prefix"]
        if is_path_prefix(a, b):
            return other
        return one if is_path_prefix(b, a) else None
    return {"path_regex": f"(?=(?:{_regex_of(one)})$)(?:{_regex_of(other)})"}


def _holds(condition: Match, path: str) -> bool:
    if "path" in condition:
        return bool(condition["path"] == path)
    if "path_prefix" in condition:
        return is_path_prefix(condition["path_prefix"], path)
    return re.fullmatch(condition["path_regex"], path) is not None


def _regex_of(condition: Match) -> str:
    if "path_regex" in condition:
        return str(condition["path_regex"])
    prefix = str(condition["path_prefix"])
    if prefix.endswith("/"):
        return prefix_regex(prefix)
    return prefix_regex(prefix).removesuffix(".*") + "(?:/.*)?"
