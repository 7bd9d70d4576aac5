"""What is wrong with a configuration, said to a person: where, what, and what was likely meant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

Location = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One thing wrong. ``location`` is the path of keys to it, () for the whole document."""

    location: Location
    text: str
    position: Position | None = None


class ConfigError(Exception):
    """A configuration that cannot be used. ``str()`` is the full text for people."""

    def __init__(self, text: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(text)
        self.problems: tuple[Problem, ...] = tuple(problems)


def spell(location: Location) -> str:
    """``("routes", 2, "match")`` as ``routes[2].match``."""
    spelled = ""
    for key in location:
        if isinstance(key, int):
            spelled += f"[{key}]"
        else:
            spelled += f".{key}" if spelled else key
    return spelled


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """``; did you mean …?`` when something known is close to what was given, else nothing."""
    close = get_close_matches(given, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
