"""A first configuration file, as text with the comments that a newcomer wants."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from penstock._printable import printable
from penstock.control.engines.finding import Found

_MOST_MODELS: Final = 3  # in a comment
_MOST_NAME: Final = 60  # characters of a model's name in a comment
_TOKEN_BYTES: Final = 24
_HEAD: Final = """\
# Made by `penstock init`. What else there is: docs/configuration.md
#   penstock check {name}            is it valid, and what does it say?
#   penstock doctor {name}           what on this machine and at the endpoints should change?
#   penstock serve --config {name}   run it
"""


@dataclass(frozen=True)
class Choices:
    """What a first file is to say."""

    kind: str  # http or llm
    listen: str
    admin: str
    health_check: str
    endpoints: Sequence[Found]
    policy: str = ""


def first_file(choices: Choices, name: str) -> str:
    """The file's text, in YAML; ``name`` is what it will be called."""
    lines = [_HEAD.format(name=name)]
    lines.append(f"listen: {_text(choices.listen)}        # where clients connect")
    lines += _admin(choices.admin)
    lines += ["", "pools:", "  main:"]
    if choices.kind == "llm":
        lines.append("    kind: llm            # prompts are read: routed to where they are cached")
    if choices.policy:
        lines.append(f"    policy: {_text(choices.policy)}")
    lines.append("    endpoints:")
    for each in choices.endpoints:
        said = _comment(each)
        lines.append(f"      - {_text(each.url)}" + (f"    # {said}" if said else ""))
    if choices.health_check != "off":
        lines.append(f"    health_check: {_text(choices.health_check)}")
    return "\n".join(lines) + "\n"


def _admin(address: str) -> list[str]:
    where = "# metrics, status and `penstock ctl`"
    if address == "off" or address.startswith(("127.", "[::1]", "localhost")):
        return [f"admin: {_text(address)}         {where}"]
    return [
        f"admin:                         {where}",
        f"  address: {_text(address)}",
        f"  token: {secrets.token_urlsafe(_TOKEN_BYTES)}",
    ]


def _comment(found: Found) -> str:
    """What is there, in characters that cannot end a comment: servers choose names of models."""
    names = [_short(model) for model in found.models[:_MOST_MODELS]]
    if len(found.models) > _MOST_MODELS:
        names.append("…")
    said = [part for part in (found.engine, ", ".join(names)) if part]
    if found.problem:
        return f"not reachable when this was written: {_short(found.problem.rpartition(': ')[2])}"
    return ": ".join(said)


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _MOST_NAME else f"{shown[:_MOST_NAME]}…"


def _text(value: str) -> str:
    """A value of YAML: plain where nothing in it could be read otherwise."""
    if value and all(char.isalnum() or char in "._/-:" for char in value) and value[0] not in ":-":
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
