"""A gRPC status in a configuration: its name, or its number."""

from difflib import get_close_matches
from typing import Annotated, Final

from pydantic import Field, PlainSerializer, PlainValidator

from penstock.config.document.show import show
from penstock.wire.grpc import OK, STATUS_NAMES

_NAMES: Final = tuple(name.lower() for name in STATUS_NAMES[1:])
GRPC_STATUS_PATTERN: Final = f"^({'|'.join((*_NAMES, *STATUS_NAMES[1:]))})$"


def parse_grpc_status(value: object) -> int:
    """The number of ``unavailable``, ``UNAVAILABLE`` or 14. Raises ValueError; OK is no failure."""
    if isinstance(value, str):
        name = value.upper() if value.islower() else value
        if name in STATUS_NAMES[1:]:
            return STATUS_NAMES.index(name)
    elif isinstance(value, int) and not isinstance(value, bool) and OK < value < len(STATUS_NAMES):
        return value
    if value == OK or (isinstance(value, str) and value.lower() == "ok"):
        raise ValueError("OK is no failure: nothing is repeated after it")
    near = get_close_matches(str(value).lower().replace("-", "_"), _NAMES, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"a gRPC status such as unavailable or 14 is needed, not {show(value)}{meant}")


def _spelled(number: int) -> str:
    return _NAMES[number - 1]


_Input = (
    Annotated[int, Field(ge=1, lt=len(STATUS_NAMES))]
    | Annotated[str, Field(pattern=GRPC_STATUS_PATTERN)]
)
GrpcStatus = Annotated[
    int,
    PlainValidator(parse_grpc_status, json_schema_input_type=_Input),
    PlainSerializer(_spelled, return_type=str),
]
