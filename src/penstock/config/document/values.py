"""The kinds of value a configuration holds: durations, sizes, addresses, names, headers."""

import ipaddress
import math
import re
import warnings
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import quote

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from penstock.config.document.backtracking import may_explode
from penstock.config.document.socket_files import parse_socket_file
from penstock.core.snapshot.address import SOCKET_FILE, shown_address, shown_url, socket_path
from penstock.wire.target_path import has_dot_segment, normal_path, other_readings

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d)")
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_LONGEST_S: Final = 366 * 86400.0
_BYTES: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|KB|MB|GB|KiB|MiB|GiB)?")
_LARGEST_BYTES: Final = 2**50
_LARGEST_COUNT: Final = 2**31 - 1
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_NAME: Final = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.:\[\]-]*")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]*")  # RFC 9110, 5.5
_PATH: Final = re.compile(r"/[\x21\x22\x24-\x3e\x40-\x7e]*")  # visible ASCII without # and ?
# A group in a template of `re.sub`; three digits would be the number of a character.
_GROUP: Final = re.compile(r"\\[1-9][0-9]?(?![0-9])|\\g<\w+>")
_REPLACEMENT: Final = re.compile(rf"(?:[\x21\x22\x24-\x3e\x40-\x5b\x5d-\x7e]|{_GROUP.pattern})*")
LISTEN_SCHEMES: Final = ("http", "tcp", "udp")
_LONGEST_HINT: Final = 120  # characters
_QUERY: Final = re.compile(r"[\x21\x22\x24-\x7e]*")


@dataclass(frozen=True)
class Address:
    """Where to listen. ``host`` is an address or name without brackets, or ``unix:/path``, which
    has no port (0)."""

    host: str
    port: int
    protocol: str = ""  # http, tcp or udp, where it is said outright

    def __str__(self) -> str:
        if not self.protocol:
            return shown_address(self.host, self.port)
        return shown_url(self.protocol, self.host, self.port)

    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if socket_path(self.host):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_duration(value: object) -> float:
    """Seconds in ``250ms``, ``2s``, ``1m30s`` or ``off`` (0). Raises ValueError."""
    if value == "off" or (value == 0 and not isinstance(value, bool)):
        return 0.0
    if isinstance(value, str) and _DURATION.fullmatch(value):
        seconds = math.fsum(
            float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value)
        )
        if seconds <= _LONGEST_S:
            return seconds
        raise ValueError(f"{value!r} is longer than a year")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"a duration needs its unit: {value:g}s or {value:g}ms")
    raise ValueError(f"a duration such as 250ms, 2s or 1m30s is needed, not {show(value)}")


def format_duration(seconds: float) -> str:
    """The shortest text that ``parse_duration`` reads as ``seconds``."""
    if seconds == 0:
        return "off"
    for unit in ("h", "m", "s", "ms"):
        count = round(seconds / _SECONDS[unit], 9)
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def parse_size(value: object) -> int:
    """Bytes in ``8MiB``, ``64KB``, a plain number or ``off`` (0). Raises ValueError."""
    if value == "off":
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"a size such as 32KiB or 8MiB is needed, not {show(value)}")
    size = float(found[1]) * _BYTES[found[2] or "B"]
    if size > _LARGEST_BYTES or size != int(size):
        raise ValueError(f"{show(value)} is not a whole number of bytes up to 2^50")
    return int(size)


def format_size(size: int) -> str:
    """The shortest text that ``parse_size`` reads as ``size``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size) if size else "off"


def parse_address(value: object) -> Address:
    """An ``Address`` from ``host:port``, ``[v6]:port``, ``:port`` or ``unix:/path``.

    Raises ValueError.
    """
    if isinstance(value, Address):
        return value
    if isinstance(value, str) and value.startswith(SOCKET_FILE):
        return Address(parse_socket_file(value), 0)
    if re.fullmatch("[0-9]+", str(value)):
        raise ValueError(f"{value} is only a port: write 127.0.0.1:{value} or 0.0.0.0:{value}")
    if not isinstance(value, str):
        raise ValueError(f"an address such as 127.0.0.1:8080 is needed, not {show(value)}")
    if value.startswith("/"):
        raise ValueError(f"{value}: write {SOCKET_FILE}{value} for a socket of the file system")
    scheme, found, address = value.partition("://")
    if found and scheme in LISTEN_SCHEMES:
        raise ValueError(f"write {address} here, and `protocol: {scheme}` beside it")
    host, colon, port = value.rpartition(":")
    if not colon:
        raise ValueError(f"an address needs a port, such as {value}:8080")
    if host in ("", "*"):
        host = "0.0.0.0"  # noqa: S104 -- ":8080" asks for every interface
    return Address(parse_host(host), parse_port(port))


def parse_listen(value: object) -> Address:
    """An ``Address`` that may say what is spoken there: ``udp://host:port``. Raises ValueError."""
    if not isinstance(value, str):
        return parse_address(value)
    scheme, plus, rest = value.partition("+")
    if plus and rest.startswith(SOCKET_FILE) and scheme in LISTEN_SCHEMES:
        return Address(parse_socket_file(rest), 0, scheme)
    scheme, found, rest = value.partition("://")
    if not found or value.startswith(SOCKET_FILE):
        return parse_address(value)
    if scheme not in LISTEN_SCHEMES:
        raise ValueError(
            f"{value}: one of {', '.join(f'{s}://' for s in LISTEN_SCHEMES)} is needed"
        )
    address = parse_address(rest)
    return Address(address.host, address.port, scheme)


def _factor_or_off(value: object) -> object:
    return 0.0 if value == "off" or value is False else _number(value)


def _spell_factor(value: float) -> float | str:
    return value or "off"


def parse_host(text: str) -> str:
    """A host name or IP address, brackets removed. Raises ValueError."""
    bare = text
    if text.startswith("[") and text.endswith("]"):
        bare = text[1:-1]
    if ":" in bare:
        if bare == text:
            raise ValueError(f"write an IPv6 address in brackets: [{text}]")
        return str(ipaddress.IPv6Address(bare))
    labels = bare.removesuffix(".").split(".")  # of 1 to 63 characters (RFC 1035, 2.3.4)
    fits = len(bare) <= 253 and all(0 < len(label) <= 63 for label in labels)
    if not _HOST.fullmatch(bare) or not fits or bare != text:
        raise ValueError(f"{show(text)} is not a host name or an IP address")
    return bare.lower()


def parse_authority(value: object) -> str:
    """What a Host header holds: a host, and a port if there is one. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"a host such as inner.example:8000 is needed, not {show(value)}")
    host, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        host = value
    else:
        parse_port(port)
    parse_host(host)
    return value


def parse_port(value: object) -> int:
    """A port, 0..65535. Raises ValueError."""
    text = str(value)
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError(f"a port is a number from 0 to 65535, not {show(value)}")
    return int(text)


def parse_network(value: object) -> str:
    """A network in CIDR form, or one address. Raises ValueError."""
    try:
        return str(ipaddress.ip_network(str(value), strict=True))
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(str(value), strict=False)
        except ValueError:
            raise ValueError(
                f"a network such as 10.0.0.0/8 is needed, not {show(value)}"
            ) from error
        raise ValueError(f"{value} has bits outside its mask; did you mean {meant}?") from error


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


def parse_path(value: object) -> str:
    """The path of a request, in the form it is sent. Raises ValueError."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"a path begins with '/', not {show(value)}")
    if not _PATH.fullmatch(value):
        raise ValueError(
            f"{show(value)} holds characters that are escaped in a path{_escaped(value)}"
        )
    return value


def parse_path_piece(value: str) -> str:
    """What may become a part of a path: without a leading slash too. Raises ValueError."""
    if not _PATH.fullmatch("/" + value):
        raise ValueError(
            f"{show(value)} holds characters that are escaped in a path{_escaped(value)}"
        )
    if has_dot_segment(f"/{value}".encode()) or has_dot_segment(value.encode()):
        raise ValueError(f"{show(value)} holds a dot segment")
    return value


def _escaped(value: str) -> str:
    """A hint how a path is written: ASCII, all else as its bytes in UTF-8 (RFC 3987, 3.1)."""
    escaped = quote(value, safe="/%:@!$&'()*+,;=~")
    return f": write {escaped}" if len(escaped) <= _LONGEST_HINT else ""


def parse_replacement(regex: str, value: str) -> str:
    """A template for what ``regex`` matches in a path. Raises ValueError."""
    if not _REPLACEMENT.fullmatch(value):
        literal = _GROUP.sub("", value)
        if "\\" in literal:
            raise ValueError(
                f"{show(value)}: after a backslash stands the number of a group of `regex`, as in "
                r"\1, or its name, as in \g<name>"
            )
        parse_path_piece(literal)
    try:
        # On a text that every pattern with an empty alternative matches.
        re.sub(f"{regex}\n|", value, "")
    except (re.error, IndexError) as error:
        raise ValueError(f"{show(value)} does not fit `regex`: {error}") from error
    return value


def parse_rule_path(value: object) -> str:
    """A path that requests are compared with, in the normal form of theirs. Raises ValueError."""
    path = parse_path(value)
    normal = normal_path(path.encode(), False)
    if other_readings(normal):
        raise ValueError(
            f"{show(value)} is a path that servers read in several ways (for %2F, //, ; or \\), so "
            "requests for it are refused; a rule cannot ask for it"
        )
    return normal.decode()


def parse_target(value: object) -> str:
    """A path, and a query if there is one. Raises ValueError."""
    path, question, query = str(value).partition("?")
    if not _QUERY.fullmatch(query):
        raise ValueError(f"{show(value)} holds characters that must be percent-encoded")
    return parse_path(path if isinstance(value, str) else value) + question + query


def show(value: object) -> str:
    """A value as it may stand in a message: short, and its kind where it has no text."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case bool():
            return str(value).lower()
        case _:
            text = repr(value)
            return text if len(text) <= 60 else f"{text[:57]}…"


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


DURATION_PATTERN: Final = rf"^(off|{_DURATION.pattern})$"
SIZE_PATTERN: Final = rf"^(off|{_SIZE.pattern})$"
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


Item = TypeVar("Item")
OneOrMany = Annotated[tuple[Item, ...], BeforeValidator(_one_or_many), _OneOrMany()]
_SPELLED_DURATION: Final = PlainSerializer(format_duration, return_type=str)

Duration = Annotated[float, _reads(parse_duration, _DURATION_INPUT), _SPELLED_DURATION]
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
Count = Annotated[int, Field(ge=0, le=_LARGEST_COUNT), BeforeValidator(_number)]
PositiveCount = Annotated[int, Field(ge=1, le=_LARGEST_COUNT), BeforeValidator(_number)]
Share = Annotated[float, Field(ge=0, le=1), BeforeValidator(_number)]
Weight = Annotated[float, Field(ge=0, le=1_000_000), BeforeValidator(_number)]
Factor = Annotated[float, Field(ge=0, le=1_000_000), BeforeValidator(_number)]
FactorOrOff = Annotated[
    float,
    Field(ge=0, le=1_000_000),
    BeforeValidator(_factor_or_off),
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
