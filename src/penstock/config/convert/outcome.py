"""What a conversion made, and what it left out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from penstock._printable import printable
from penstock.config.load.yaml_tree import resolve

_MOST_TEXT: Final = 120
Kind = Literal["access", "part", "needless"]


@dataclass(frozen=True)
class LeftOut:
    """A line that has no counterpart in what was made.

    ``access``: it says who may pass, or guards against them, and without it more get through;
    ``needless``: here nothing needs it.
    """

    file: str
    line: int
    text: str
    why: str
    kind: Kind = "part"

    def __str__(self) -> str:
        text = printable(self.text)
        shown = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
        return f"{printable(self.file)}:{self.line}: {shown}: {printable(self.why)}"


@dataclass
class Outcome:
    """A document under construction."""

    source: str
    interpolates: bool = False  # whether ${NAME} in it is meant as ours is
    document: dict[str, Any] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)  # that stand beside it: secrets

    @property
    def access(self) -> list[LeftOut]:
        """Rules of access that the document does not hold."""
        return [each for each in self.left_out if each.kind == "access"]

    def text(self) -> str:
        """The document as YAML, below what it leaves out."""
        lines = [f"# Made from {printable(self.source)} by `penstock convert`.\n"]
        told = [each for each in self.left_out if each.kind != "needless"]
        if told:
            lines.append("# Left out:\n")
            lines += [f"#   {each}\n" for each in told]
        body = yaml.dump(
            self.document if self.interpolates else _literal(self.document),
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=100,
        )
        return "".join(lines) + "\n" + body


class _Dumper(yaml.SafeDumper):
    """Never writes an anchor: what is shared is written out."""

    def ignore_aliases(self, data: Any) -> bool:
        """Called by yaml."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Quoted where the core schema of YAML 1.2 would read a number, which 1.1 does not."""
    plain = isinstance(resolve(value), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def _literal(value: Any) -> Any:
    """With every ``${`` written so that nothing is put in its place."""
    if isinstance(value, dict):
        return {_literal(key): _literal(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_literal(each) for each in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def unique(name: str, taken: Iterable[str]) -> str:
    """A name of ours that is like theirs, and not taken."""
    base = "".join(
        char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in name
    )
    base = base.strip("-.")[:100] or "unnamed"
    found, number = base, 2
    known = set(taken)
    while found in known:
        found, number = f"{base}-{number}", number + 1
    return found


def duration(seconds: float) -> str:
    """As the document writes it."""
    if seconds == int(seconds):
        return f"{int(seconds)}s"
    return f"{round(seconds * 1000)}ms"
