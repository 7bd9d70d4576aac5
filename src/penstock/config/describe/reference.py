"""The reference of all keys, made from the model:
``python -m penstock.config.describe.reference --write``.

It is the part of ``docs/configuration.md`` after a mark; what stands before is written by hand.
"""

import re
import sys
from pathlib import Path
from typing import Any, Final

from penstock.config.describe.schema import schema
from penstock.config.document.choice import documentation
from penstock.config.document.grpc_status import GRPC_STATUS_PATTERN
from penstock.config.document.health import STATUS_PATTERN
from penstock.config.document.model import Document
from penstock.config.document.quantities import DURATION_PATTERN, SIZE_PATTERN
from penstock.config.document.section import Section, section_of, sections_of
from penstock.core.policy import policies

MARK: Final = (
    "<!-- From here on made by: python -m penstock.config.describe.reference --write -->\n"
)
FILE: Final = Path("docs/configuration.md")
_REFERENCE: Final = r"\$\{"  # the schema's pattern of a reference to the environment
_PATTERNS: Final = {
    DURATION_PATTERN: "duration",
    SIZE_PATTERN: "size",
    STATUS_PATTERN: "status",
    GRPC_STATUS_PATTERN: "name",
}
_WORDS: Final = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
}
# What is chosen by name, by the title in its schema.
_DESCRIBED: Final = {
    "Policy": "[policy](#policies)",
    "Limit": "[limit](policies.md#limits-on-concurrency)",
}


def reference() -> str:
    """Every section with its keys, and every policy with its options, as Markdown."""
    found = schema()
    parts = [MARK, "## All keys\n"]
    for name, section in sections_of(Document).items():
        node = found if section is Document else found["$defs"][name]
        parts += [f"### {_heading(name)}\n", _introduction(section), _keys(section, node)]
    parts += ["## Policies\n", *_policies()]
    return "\n".join(parts)


def with_reference(text: str) -> str:
    """A document whose part after the mark is the reference. Raises ValueError without a mark."""
    before, mark, _ = text.partition(MARK)
    if not mark:
        raise ValueError(f"no line {MARK!r} after which the reference could stand")
    return before + reference()


def _introduction(section: type[Section]) -> str:
    about = re.sub(r"\s+", " ", section.__doc__ or "")
    where = [f"`{path}`" for path in _paths(Document, "") if path and _at(path) is section]
    return f"{about}" + (f" At {', '.join(where)}.\n" if where else "\n")


def _at(path: str) -> type[Section]:
    section: type[Section] = Document
    for key in re.sub(r"\.NAME|\[N\]", "", path).split("."):
        inner, _ = section_of(section.model_fields[key].annotation)
        assert inner is not None
        section = inner
    return section


def _paths(section: type[Section], prefix: str) -> list[str]:
    """The paths of all sections at and below one."""
    found = [prefix]
    for key, field in section.model_fields.items():
        inner, step = section_of(field.annotation)
        if inner is not None:
            found += _paths(inner, f"{prefix}.{key}{step}".lstrip("."))
    return found


def _keys(section: type[Section], node: dict[str, Any]) -> str:
    rows = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    for key, field in section.model_fields.items():
        shown = node["properties"][key]
        meaning = (field.description or "").replace("|", "\\|")
        default = "required" if field.is_required() else _default(shown.get("default"))
        rows.append(f"| `{key}` | {_kind(shown)} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _default(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, list):
        return ", ".join(_default(item) for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(node: dict[str, Any]) -> str:
    """What a value is, in words, from its schema."""
    if "anyOf" not in node or "title" in node:
        return _simple_kind(node)
    choices = [
        choice
        for choice in node["anyOf"]
        if choice.get("pattern") != _REFERENCE and "$comment" not in choice  # other spellings
    ]
    one, *rest = choices
    if [choice.get("items") for choice in rest if choice.get("type") != "null"] == [one]:
        return f"{_kind(one)}, or a list"
    kinds = [kind for kind in dict.fromkeys(_kind(choice) for choice in choices) if kind]
    if set(kinds) >= set(_WORDS.values()):  # a header's value: any scalar
        return "text"
    return " or ".join(kinds)


def _simple_kind(node: dict[str, Any]) -> str:
    if "title" in node:
        return _DESCRIBED[node["title"]]
    if "$ref" in node:
        heading = _heading(node["$ref"].rpartition("/")[2])
        return f"[{heading.lower()}](#{heading.lower().replace(' ', '-')})"
    for key in ("const", "enum"):
        if key in node:
            values = node[key] if key == "enum" else [node[key]]
            return ", ".join(f"`{value}`" for value in values if value != "")
    if "pattern" in node:
        return _PATTERNS.get(str(node["pattern"]), "")
    if node.get("type") == "array":
        return f"list of {_kind(node['items'])}"
    if node.get("type") == "object":
        return f"mapping of names to {_kind(node['additionalProperties'])}"
    return _WORDS.get(str(node.get("type")), "")


def _policies() -> list[str]:
    parts: list[str] = []
    for name, cls in policies().items():
        first, _, _ = documentation(cls).partition("\n\n")
        parts.append(f"### {name}\n\n{first}\n")
        if cls.options:
            rows = [f"| `{o.name}` | {_default(o.default)} | {o.meaning} |" for o in cls.options]
            parts.append("\n".join(["| Option | Default | Meaning |", "|---|---|---|", *rows, ""]))
    return parts


def _heading(name: str) -> str:
    """``PoolTimeouts`` as ``Pool timeouts``."""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f" {found[1].lower()}", name)


if __name__ == "__main__":
    made = with_reference(FILE.read_text())
    if "--write" in sys.argv:
        FILE.write_text(made)
    else:
        print(made, end="")
