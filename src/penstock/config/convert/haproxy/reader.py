"""A haproxy.cfg as sections of lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SECTIONS: Final = frozenset(
    (
        *("global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "userlist"),
        *(
            "mailers",
            "program",
            "cache",
            "ring",
            "http-errors",
            "fcgi-app",
            "log-forward",
            "traces",
        ),
        *("crt-store", "log-profile", "acme"),
    )
)
_TIMES: Final = {"us": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Line:
    """A keyword with its arguments, and where it stands."""

    args: tuple[str, ...]
    file: str
    number: int

    @property
    def keyword(self) -> str:
        """The first word."""
        return self.args[0]

    @property
    def text(self) -> str:
        """As it stood there."""
        return " ".join(self.args)

    def begins(self, *words: str) -> bool:
        """Whether these are its first words."""
        return self.args[: len(words)] == words

    def after(self, word: str) -> str | None:
        """The argument that follows that word."""
        args = self.args
        return next((args[i + 1] for i in range(len(args) - 1) if args[i] == word), None)


@dataclass
class Section:
    """``name`` is empty where there is none; ``defaults`` are its own, or those before it."""

    kind: str
    name: str
    line: Line
    lines: list[Line] = field(default_factory=list)
    defaults: "Section | None" = None

    def of(self, *keywords: str) -> list[Line]:
        """Its own lines that begin with one of them."""
        return [each for each in self.lines if each.keyword in keywords]


def read(file: Path) -> list[Section]:
    """Its sections, in their order. Raises OSError, UnicodeDecodeError, ValueError."""
    sections: list[Section] = []
    defaults: dict[str, Section] = {}
    last: Section | None = None
    for number, text in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        words = tuple(_words(text, f"{file}:{number}"))
        if not words or words[0].startswith("."):  # .if, .else: both branches would be read
            if words:
                raise ValueError(
                    f"line {number}: {words[0]}: conditional blocks are not understood"
                )
            continue
        line = Line(words, str(file), number)
        if line.keyword in _SECTIONS:
            name = words[1] if len(words) > 1 and words[1] != "from" else ""
            section = Section(line.keyword, name, line)
            if line.keyword == "defaults":
                last = section
                if name:
                    defaults[name] = section
            else:
                named = line.after("from")
                section.defaults = defaults.get(named or "", last)
            sections.append(section)
        elif not sections:
            raise ValueError(f"line {number}: {line.keyword} stands before any section")
        else:
            sections[-1].lines.append(line)
    return sections


def seconds(text: str) -> float:
    """Of ``5000``, which is milliseconds, or ``5s``. Raises ValueError."""
    found = re.fullmatch(r"(\d+)(us|ms|s|m|h|d)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    return int(found[1]) * _TIMES[found[2] or "ms"]


def _words(text: str, place: str) -> Iterator[str]:
    """Words, by HAProxy's rules: quotes of two kinds, backslashes, and comments."""
    word: list[str] = []
    started = False
    quote = ""
    i = 0
    while i < len(text):
        char = text[i]
        if quote:
            if char == quote:
                quote = ""
            elif char == "\\" and quote == '"' and i + 1 < len(text) and text[i + 1] in '"\\$':
                i += 1
                word.append(text[i])
            else:
                word.append(char)
        elif char in "'\"":
            quote, started = char, True
        elif char == "\\" and i + 1 < len(text):
            i += 1
            word.append({"n": "\n", "r": "\r", "t": "\t"}.get(text[i], text[i]))
            started = True
        elif char == "#":
            break
        elif char in " \t\r":
            if started:
                yield "".join(word)
            word, started = [], False
        else:
            word.append(char)
            started = True
        i += 1
    if quote:
        raise ValueError(f"{place}: a quotation does not end")
    if started:
        yield "".join(word)


def split_condition(args: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words, and the condition with its `if` or `unless`."""
    for i, word in enumerate(args):
        if word in ("if", "unless") and i > 1:
            return args[:i], args[i:]
    return args, ()
