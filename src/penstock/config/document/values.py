"""The kinds of value a configuration holds: durations, sizes, addresses, names, headers."""

import re
import warnings
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, PlainSerializer, PlainValidator
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from penstock.config.document.addresses import (
    Address,
    parse_address,
    parse_authority,
    parse_listen,
    parse_network,
    parse_port,
)
from penstock.config.document.backtracking import may_explode
from penstock.config.document.paths import parse_path, parse_rule_path, parse_target
from penstock.config.document.quantities import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from penstock.config.document.show import show
from penstock.core.snapshot import MAX_PRIORITY

_LARGEST_COUNT: Final = 2**31 - 1
_NAME: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.:\[\]-]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")  # RFC 9110, 5.5


def _factor_or_off(value: object) -> object:
    return 0.0 if value == "off" or value is False else _number(value)


def _spell_factor(value: float) -> float | str:
    return value or "off"


def parse_regex(value: object) -> str:
    """A regular expression in Python's syntax that does not explode. Raises ValueError."""
    try:
        with warnings.catch_warnings():
            # What a later Python would read differently is ambiguous today.
            warnings.simplefilter("error", FutureWarning)
            re.compile(str(value))
            explodes = may_explode(str(value))
    except (re.error, OverflowError, RecursionError, FutureWarning) as error:
        raise ValueError(f"{show(value)} is not a regular expression: {error}") from error
    if explodes:
        raise ValueError(
            f"{show(value)} may take exponential time on what a client sends: it repeats a "
            "repetition. Write a+ for (a+)+, or make the inner one possessive: (a++)+"
        )
    return str(value)


def parse_name(value: object) -> str:
    """A name for a listener, route, pool or endpoint. Raises ValueError."""
    text = str(value)
    if not _NAME.fullmatch(text) or len(text) > 128:
        raise ValueError(f"a name is letters, digits and . _ : -, at most 128, not {show(value)}")
    return text


def parse_token(value: object) -> str:
    """A token, as in names of headers, cookies and methods. Raises ValueError."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError(f"{show(value)} holds characters that HTTP does not allow here")
    return value


def parse_field_value(value: object) -> str:
    """The value of a header. Raises ValueError."""
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, (int, float)):
        value = str(value)
    if not isinstance(value, str) or not _FIELD_VALUE.fullmatch(value):
        raise ValueError(f"{show(value)} cannot be the value of a header")
    return value.strip()


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"a number is needed, not {show(value)}")
    return 0 if value == "off" else value


def _nonzero(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than 0")
    return value


def _boolean(value: object) -> object:
    if isinstance(value, str) and value in ("on", "yes", "off", "no"):
        return value in ("on", "yes")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"true or false is needed, not {show(value)}")
    return value


# What may be written besides, and is not worth a word in the reference.
_BESIDES: Final[JsonDict] = {"$comment": "another spelling of 0"}
_OFF: Final = Annotated[Literal["off"], Field(json_schema_extra=_BESIDES)]
_ZERO: Final = Annotated[Literal[0], Field(json_schema_extra=_BESIDES)]
_DURATION_INPUT: Final = Annotated[str, Field(pattern=DURATION_PATTERN)]
_SIZE_INPUT: Final = int | Annotated[str, Field(pattern=SIZE_PATTERN)]


def _one_or_many(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else [value]


class _OneOrMany:
    """Shows in the schema that a list of one needs no brackets."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


def _reads(parse: Any, input_type: Any = str) -> PlainValidator:
    return PlainValidator(parse, json_schema_input_type=input_type)


def _number_up_to(kind: type[int] | type[float], most: int) -> tuple[Any, ...]:
    """What stands beside its type: a number from 0 on, which may be written `off`."""
    bounds = Field(ge=0, le=most)
    written: Any = Annotated[kind, bounds] | _OFF
    return bounds, BeforeValidator(_number, json_schema_input_type=written)


Item = TypeVar("Item")
OneOrMany = Annotated[tuple[Item, ...], BeforeValidator(_one_or_many), _OneOrMany()]
_SPELLED_DURATION: Final = PlainSerializer(format_duration, return_type=str)
Duration = Annotated[float, _reads(parse_duration, _DURATION_INPUT | _ZERO), _SPELLED_DURATION]
PositiveDuration = Annotated[
    float,
    _reads(lambda value: _nonzero(parse_duration(value)), _DURATION_INPUT),
    _SPELLED_DURATION,
]
Size = Annotated[
    int, _reads(parse_size, _SIZE_INPUT), PlainSerializer(format_size, return_type=int | str)
]
PositiveSize = Annotated[
    int,
    _reads(lambda value: int(_nonzero(parse_size(value))), _SIZE_INPUT),
    PlainSerializer(format_size, return_type=int | str),
]
Count = Annotated[int, *_number_up_to(int, _LARGEST_COUNT)]
Priority = Annotated[int, *_number_up_to(int, MAX_PRIORITY)]
PositiveCount = Annotated[int, Field(ge=1, le=_LARGEST_COUNT), BeforeValidator(_number)]
Share = Annotated[float, *_number_up_to(float, 1)]
Weight = Annotated[float, *_number_up_to(float, 1_000_000)]
Factor = Annotated[float, *_number_up_to(float, 1_000_000)]
FactorOrOff = Annotated[
    float,
    Field(ge=0, le=1_000_000),
    BeforeValidator(
        _factor_or_off,
        json_schema_input_type=Annotated[float, Field(ge=0, le=1_000_000)] | Literal["off"],
    ),
    PlainSerializer(_spell_factor, return_type=float | str),
]
Flag = Annotated[bool, BeforeValidator(_boolean)]
ListenAddress = Annotated[
    Address, _reads(parse_address), PlainSerializer(str, return_type=str, when_used="unless-none")
]
ListenUrl = Annotated[
    Address, _reads(parse_listen), PlainSerializer(str, return_type=str, when_used="unless-none")
]
Authority = Annotated[str, _reads(parse_authority)]
Port = Annotated[int, _reads(parse_port, Annotated[int, Field(ge=0, le=65535)])]
Network = Annotated[str, _reads(parse_network)]
Regex = Annotated[str, _reads(parse_regex)]
Name = Annotated[str, _reads(parse_name)]
Token = Annotated[str, _reads(parse_token)]
FieldValue = Annotated[str, _reads(parse_field_value, str | int | float | bool)]
RequestPath = Annotated[str, _reads(parse_path)]
RulePath = Annotated[str, _reads(parse_rule_path)]
RequestTarget = Annotated[str, _reads(parse_target)]
