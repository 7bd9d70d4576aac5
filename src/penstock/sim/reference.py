"""The keys of a scenario, made from its model: ``python -m penstock.sim.reference --write``.

It is the part of ``docs/simulator.md`` between two marks; the rest is written by hand.
"""

import re
import sys
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from penstock.config.document.section import Section, section_of, sections_of, spelled_default
from penstock.sim.scenario import Scenario

FILE: Final = Path("docs") / "simulator.md"
BEGIN: Final = "<!-- Begin: made by python -m penstock.sim.reference --write -->\n"
END: Final = "<!-- End: made by python -m penstock.sim.reference --write -->"


def reference() -> str:
    """Every part of a scenario with its keys, as Markdown."""
    parts = []
    for section in sections_of(Scenario).values():
        about = re.sub(r"\s+", " ", section.__doc__ or "").replace("``", "`")
        parts.append(f"### {_heading(section)}\n\n{about}\n\n{_keys(section)}")
    return "\n".join(parts)


def with_reference(text: str) -> str:
    """The document with the part between the marks made anew. Raises ValueError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no lines {BEGIN!r} and {END!r} between which the keys could stand")
    return before + begin + reference() + end + after


def _keys(section: type[Section]) -> str:
    rows = ["| Key | Default | Meaning |", "|---|---|---|"]
    for key, field in section.model_fields.items():
        inner, _ = section_of(field.annotation)
        meaning = (field.description or "").replace("|", "\\|")
        if inner is not None:
            meaning += f" See [{_heading(inner).lower()}](#{_anchor(inner)})."
        if choices := _choices(field.annotation):
            meaning += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
        rows.append(f"| `{key}` | {_default(section, key)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _choices(annotation: Any) -> list[str]:
    """The words that may stand there, where only these may."""
    if get_origin(annotation) is not Literal:
        return []
    return [str(word) for word in get_args(annotation)]


def _default(section: type[Section], key: str) -> str:
    if section.model_fields[key].is_required():
        return "required"
    value: Any = spelled_default(section, key)
    if value is None or value == "" or isinstance(value, dict | list | tuple):
        return ""
    if value == "off":
        value = "0s"  # a duration of nothing
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _heading(section: type[Section]) -> str:
    """``ServerGroup`` as ``Server group``, ``LawSpec`` as ``Law``."""
    name = section.__name__.removesuffix("Spec")
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f" {found[1].lower()}", name)


def _anchor(section: type[Section]) -> str:
    return _heading(section).lower().replace(" ", "-")


if __name__ == "__main__":
    made = with_reference(FILE.read_text("utf-8"))
    if "--write" in sys.argv:
        FILE.write_text(made, "utf-8")
    else:
        print(made, end="")
