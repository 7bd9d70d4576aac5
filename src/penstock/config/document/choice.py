"""The choice of a policy: its name and options, checked against the policies there are."""

import ast
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import GetJsonSchemaHandler, PlainSerializer, PlainValidator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

import penstock
from penstock.config.document.show import show
from penstock.core import snapshot
from penstock.core.policy import Option, create, policies, policy_class
from penstock.core.policy import Policy as PolicyClass
from penstock.core.policy.support.own import own_failure

_SWITCHES: Final = {
    "true": True,
    "on": True,
    "yes": True,
    "false": False,
    "off": False,
    "no": False,
}


def parse_policy(value: object) -> snapshot.PolicyChoice:
    """A policy's name, or a mapping of ``name`` and options. Raises ValueError."""
    if isinstance(value, snapshot.PolicyChoice):
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict):
        raise ValueError(f"the name of a policy is needed, or a mapping, not {show(value)}")
    if not isinstance(value.get("name"), str):
        raise ValueError("a policy needs its `name`")
    return choose(value["name"], {key: value[key] for key in value if key != "name"})


def choose(name: str, options: dict[str, object]) -> snapshot.PolicyChoice:
    """The policy of that name with these options. Raises ValueError on either being wrong."""
    cls = policy_class(name)
    known = {option.name: option for option in cls.options}
    typed = typed_options(cls.options, options)
    try:
        create(name, typed)
    except ValueError:
        raise
    except Exception as error:
        reason = own_failure(error) or f"{type(error).__name__}: {error}"
        raise ValueError(f"policy {name!r} cannot be created: {reason}") from error
    return snapshot.PolicyChoice(
        name, {key: known[key].check(value) for key, value in typed.items()}
    )


def reads_prompts(choice: snapshot.PolicyChoice) -> bool:
    """Whether the policy, or the one that it hands requests on to, decides by prompts."""
    inner = choice.options.get("policy")
    names = [choice.name, inner] if isinstance(inner, str) else [choice.name]
    return any(policy_class(name).reads_prompts for name in names)


def typed_options(known: tuple[Option, ...], given: dict[str, object]) -> dict[str, object]:
    """The options given, those that are text in the type of the option of that name."""
    by_name = {option.name: option for option in known}
    return {key: _typed(by_name.get(key), value) for key, value in given.items()}


def _typed(option: Option | None, value: object) -> object:
    """Text, as it comes from the environment or a command line, in the option's own type."""
    if option is None or not isinstance(value, str) or isinstance(option.default, str):
        return value
    if isinstance(option.default, bool):
        return _SWITCHES.get(value, value)
    try:
        return type(option.default)(value)
    except ValueError:
        return value


def policy_schema() -> JsonSchemaValue:
    """JSON Schema of a policy choice: every built-in with its options, or a user's own class."""
    own = {"type": "string", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"}
    named = [
        (name, documentation(cls).partition("\n")[0], cls.options)
        for name, cls in policies().items()
    ]
    return {
        "title": "Policy",
        "description": "How an endpoint is chosen: a policy's name, or its name and options.",
        "anyOf": [
            *choice_schema(named),
            own | {"description": "A policy of your own: package.module:Class."},
            {"type": "object", "properties": {"name": own}, "required": ["name"]},
        ],
    }


def choice_schema(
    known: Iterable[tuple[str, str, tuple[Option, ...]]],
) -> list[JsonSchemaValue]:
    """JSON Schema of the ways to choose among these, each a name, its meaning and its options."""
    known = list(known)
    names: list[JsonSchemaValue] = [
        {"const": name, "description": meaning} if meaning else {"const": name}
        for name, meaning, _ in known
    ]
    return names + [_with_options(name, options) for name, _, options in known]


def documentation(cls: type[PolicyClass]) -> str:
    """The docstring of a policy's module."""
    return module_docstring(cls.__module__)


def module_docstring(module: str) -> str:
    """Read from its source, since compiled modules have none, and one file for all of them."""
    source = Path(penstock.__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    if not source.exists():  # a person's own
        source = Path(str(sys.modules[module].__file__))
    return ast.get_docstring(ast.parse(source.read_text("utf-8"))) or "" if source.exists() else ""


def _with_options(name: str, options: tuple[Option, ...]) -> JsonSchemaValue:
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            **{option.name: _option_schema(option) for option in options},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def _option_schema(option: Option) -> JsonSchemaValue:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    schema: JsonSchemaValue = {
        "type": kinds[type(option.default)],
        "default": option.default,
        "description": option.meaning,
    }
    if option.minimum is not None:
        schema["minimum"] = option.minimum
    if option.maximum is not None:
        schema["maximum"] = option.maximum
    if option.choices:
        schema["enum"] = list(option.choices)
    return schema


def spell_choice(choice: snapshot.PolicyChoice | snapshot.LimitChoice) -> str | dict[str, Any]:
    return {"name": choice.name, **choice.options} if choice.options else choice.name


class _Schema:
    """Makes the schema of a policy from the policies there are."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return policy_schema()


Policy = Annotated[
    snapshot.PolicyChoice, PlainValidator(parse_policy), PlainSerializer(spell_choice), _Schema()
]
