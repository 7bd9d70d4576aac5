"""Verbs of ``penstock ctl`` that are made from commands of the admin address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import cleandoc
from math import isfinite
from typing import Any, Final

import click
import msgspec
from msgspec import NODEFAULT
from msgspec.inspect import (
    BoolType,
    DictType,
    Field,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    UnionType,
    type_info,
)

from penstock.admin.command import Command
from penstock.cli._admin_client import Admin

_OF_ENDPOINT: Final = ("pool", "endpoint")  # one argument: POOL/ENDPOINT
# Shows an answer: the admin address, the command's values, the answer, and further options by name.
Show = Callable[..., None]


class _Number(click.FloatRange):
    """A number that is finite: ``nan`` is in no range, and in every one."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number = float(value)
        except ValueError:
            number = 0.0  # which the range tells of
        if not isfinite(number):
            self.fail(f"a number is needed, not {value}", param, ctx)
        converted: float = super().convert(value, param, ctx)
        return converted


def verb_of(
    command: type[Command],
    options: Sequence[click.Option] = (),
    show: Show | None = None,
    examples: Sequence[str] = (),
) -> click.Command:
    """The verb that gives this command and prints its answer, or has ``show`` do so."""
    fields = _fields(command)
    own = {option.name for option in options}

    def give(**given: Any) -> None:
        admin = click.get_current_context().find_object(Admin)
        assert admin is not None
        further = {name: given.pop(name) for name in own if name is not None}
        if "pool/endpoint" in given:
            given["pool"], given["endpoint"] = given.pop("pool/endpoint")
        answer = admin.give(command, given)
        if show is None:
            click.echo(command.told(answer))
        else:
            show(admin, given, answer, **further)

    parameters: list[click.Parameter] = []
    if set(_OF_ENDPOINT) <= {field.name for field in fields if field.required}:
        fields = [field for field in fields if field.name not in _OF_ENDPOINT]
        parameters.append(
            click.Argument(["pool/endpoint"], metavar="POOL/ENDPOINT", callback=_endpoint)
        )
    parameters += [_parameter(field) for field in fields]
    return click.Command(
        command.name,
        params=[*parameters, *options],
        callback=give,
        help=cleandoc(command.__doc__ or ""),
        epilog=_examples(command, examples),
    )


def _fields(command: type[Command]) -> list[Field]:
    info = type_info(command)
    assert isinstance(info, msgspec.inspect.StructType)
    return list(info.fields)


def _parameter(field: Field) -> click.Parameter:
    kind, about = field.type, ""
    if isinstance(kind, Metadata):
        about = str((kind.extra_json_schema or {}).get("description", ""))
        kind = kind.type
    shown = field.name.replace("_", "-")
    if field.required:
        return click.Argument([field.name], metavar=shown.upper(), type=_type(kind))
    default = None if field.default is NODEFAULT else field.default
    return click.Option(
        [f"--{shown}"],
        type=_type(kind),
        is_flag=isinstance(kind, BoolType),
        default=default,
        show_default=default not in ("", None, False),
        help=about,
    )


def _type(kind: msgspec.inspect.Type) -> click.ParamType[Any]:
    match kind:
        case UnionType(types=types):  # with None, or with what is no text in JSON
            given = [each for each in types if not isinstance(each, NoneType | DictType)]
            return _type(given[0])
        case FloatType(ge=least, le=most):
            return _Number(least, most)
        case IntType(ge=least, le=most):
            return click.IntRange(least, most)
        case BoolType():
            return click.BOOL
        case LiteralType(values=values):
            return click.Choice([str(value) for value in values])
        case StrType():
            return click.STRING
    raise TypeError(f"no verb can take a {kind}")


def _endpoint(_: click.Context, __: click.Parameter, value: str) -> tuple[str, str]:
    """``POOL/ENDPOINT``, split at the first slash."""
    pool, slash, endpoint = value.partition("/")
    if not (pool and slash and endpoint):
        raise click.BadParameter(f"write POOL/ENDPOINT, as in main/10.0.0.1:8000, not {value!r}")
    return pool, endpoint


def _examples(command: type[Command], further: Sequence[str]) -> str:
    given = [f"{command.name} {each}".rstrip() for each in (command.example, *further)]
    lines = [f"  penstock ctl {each}" for each in given]
    return "\n".join(["\b", "Examples:" if further else "Example:", *lines])
