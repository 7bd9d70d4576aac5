"""JSON Schema of a configuration file, for editors."""

import json
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from penstock.config.document.model import Document
from penstock.config.document.section import section_of, sections_of, spelled_default

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_FROM_ENVIRONMENT: Final = {"type": "string", "pattern": r"\$\{"}
_CHOICES: Final = ("policy", "limit")  # their titles tell where the choices are described
_INSTEAD_OF_ONE: Final = ("certificates", "acme")
_SHORT: Final = "one certificate"
_NOTES: Final = ("default", "description", "title")


def schema_text() -> str:
    """The schema as text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False)


def schema() -> dict[str, Any]:
    """The schema of the document; any value that is not free text may be a ``${NAME}``."""
    found = Document.model_json_schema(schema_generator=_WithoutDefaults)
    for name, section in sections_of(Document).items():
        part = found if section is Document else found["$defs"][name]
        part.pop("title", None)
        for key, field in section.model_fields.items():
            value = part["properties"][key]
            if key not in _CHOICES:
                value.pop("title", None)
            if not field.is_required() and section_of(field.annotation)[0] is None:
                value["default"] = spelled_default(section, key)
            part["properties"][key] = _or_environment(value)
    _allow_one_certificate(found["$defs"])
    found["patternProperties"] = {"^x-": {"description": "Yours, as a place for YAML anchors."}}
    return {"$schema": _DIALECT, "title": "Penstock configuration", **found}


def _allow_one_certificate(parts: dict[str, Any]) -> None:
    """``tls`` of a listener with the one certificate's keys in the place of ``certificates``."""
    whole, one = parts["ListenerTls"], parts["Certificate"]
    others = {key: of for key, of in whole["properties"].items() if key not in _INSTEAD_OF_ONE}
    parts["ListenerTlsOfOne"] = {
        **whole,
        "properties": {**one["properties"], **others},
        "required": one["required"],
    }
    tls = parts["Listener"]["properties"]["tls"]
    tls["anyOf"] = [*tls["anyOf"], {"$ref": "#/$defs/ListenerTlsOfOne", "$comment": _SHORT}]


class _WithoutDefaults(GenerateJsonSchema):
    """Leaves defaults to ``spelled_default``: pydantic would show seconds for durations. Switches
    may be words, as they are in YAML."""

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return {
            "anyOf": [
                {"type": "boolean"},
                {"enum": ["on", "off", "yes", "no"], "$comment": "as YAML has them"},
            ]
        }

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def _or_environment(node: dict[str, Any]) -> dict[str, Any]:
    """The schema, where every value but free text may also be a reference to the environment."""
    notes = {key: value for key, value in node.items() if key in _NOTES}
    bare = {key: value for key, value in node.items() if key not in _NOTES}
    choices = [_inside(choice) for choice in bare.get("anyOf", [bare])]
    if any(_is_limited(choice) for choice in choices):
        choices.append(_FROM_ENVIRONMENT)
    return (choices[0] if len(choices) == 1 else {"anyOf": choices}) | notes


def _inside(node: dict[str, Any]) -> dict[str, Any]:
    """The schema, with the same done to what it contains."""
    node = dict(node)
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            node[inner] = _or_environment(node[inner])
    if "properties" in node:
        node["properties"] = {
            key: value if key == "name" else _or_environment(value)
            for key, value in node["properties"].items()
        }
    return node


def _is_limited(node: dict[str, Any]) -> bool:
    """Whether only some texts, or none, fit."""
    if node.get("type") in ("integer", "number", "boolean"):
        return True
    return "pattern" in node or "enum" in node or "const" in node
