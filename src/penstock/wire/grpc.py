"""gRPC over HTTP as a balancer needs it: what a call asks for, how it ended, and our own errors.

Sources: grpc/grpc, doc/PROTOCOL-HTTP2.md, doc/http-grpc-status-mapping.md, doc/statuscodes.md and
doc/PROTOCOL-WEB.md; google.rpc, code.proto.
"""

import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from penstock.wire.http1 import Field

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
ALREADY_EXISTS: Final = 6
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
ABORTED: Final = 10
OUT_OF_RANGE: Final = 11
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
DATA_LOSS: Final = 15
UNAUTHENTICATED: Final = 16

# By number; in configurations, logs and labels.
STATUS_NAMES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

# What a client is to make of a response without grpc-status (http-grpc-status-mapping.md).
_OF_HTTP: Final[dict[int, int]] = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    429: UNAVAILABLE,
    431: INTERNAL,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}
# Of what a balancer itself refuses, for which that table must not be used: by what each status
# means to gRPC's callers (statuscodes.md). They repeat UNAVAILABLE only.
_OF_OWN_ERROR: Final[dict[int, int]] = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,  # no route: there is no such service here
    405: UNIMPLEMENTED,
    408: DEADLINE_EXCEEDED,
    413: RESOURCE_EXHAUSTED,
    414: RESOURCE_EXHAUSTED,
    415: INTERNAL,
    429: RESOURCE_EXHAUSTED,
    431: RESOURCE_EXHAUSTED,
    499: CANCELLED,
    500: INTERNAL,
    501: UNIMPLEMENTED,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
    505: UNIMPLEMENTED,
}
# By number of the gRPC status (google.rpc, code.proto).
_TO_HTTP: Final = (
    200,  # OK
    499,  # CANCELLED
    500,  # UNKNOWN
    400,  # INVALID_ARGUMENT
    504,  # DEADLINE_EXCEEDED
    404,  # NOT_FOUND
    409,  # ALREADY_EXISTS
    403,  # PERMISSION_DENIED
    429,  # RESOURCE_EXHAUSTED
    400,  # FAILED_PRECONDITION
    409,  # ABORTED
    400,  # OUT_OF_RANGE
    501,  # UNIMPLEMENTED
    500,  # INTERNAL
    503,  # UNAVAILABLE
    500,  # DATA_LOSS
    401,  # UNAUTHENTICATED
)
# By HTTP/2's error code (PROTOCOL-HTTP2.md, "Errors"); all others are INTERNAL.
_OF_RESET: Final[dict[int, int]] = {
    0x7: UNAVAILABLE,  # REFUSED_STREAM: nothing was done
    0x8: CANCELLED,  # CANCEL, by a server
    0xB: RESOURCE_EXHAUSTED,  # ENHANCE_YOUR_CALM
    0xC: PERMISSION_DENIED,  # INADEQUATE_SECURITY
}

NOT_GRPC: Final = 0
GRPC: Final = 1
GRPC_WEB: Final = 2  # status in the body: framed as messages, over HTTP/1.1 too
GRPC_WEB_TEXT: Final = 3  # the same in base64

_MEDIA_TYPE: Final = re.compile(
    rb"application/grpc(-web(?:-text)?)?(?:\+[^;]*)?[ \t]*(?:;.*)?", re.IGNORECASE
)

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_MAX_TIMEOUT_VALUE: Final = 99_999_999  # 8 digits
# Of a second, the parts that a unit is; or, from a second on, the seconds that it has.
_PARTS: Final[dict[bytes, int]] = {b"n": 1_000_000_000, b"u": 1_000_000, b"m": 1_000}
_SECONDS: Final[dict[bytes, int]] = {b"S": 1, b"M": 60, b"H": 3600}

_STATUS: Final = re.compile(rb"0|[1-9][0-9]?")
# Percent-Byte-Unencoded of PROTOCOL-HTTP2.md.
_PLAIN: Final = bytes([byte for byte in range(0x20, 0x7F) if byte != 0x25])


def grpc_kind(content_type: bytes) -> int:
    """By the value of Content-Type: GRPC, GRPC_WEB, GRPC_WEB_TEXT or NOT_GRPC."""
    match = _MEDIA_TYPE.fullmatch(content_type)
    if match is None:
        return NOT_GRPC
    web = match.group(1)
    if web is None:
        return GRPC
    return GRPC_WEB if len(web) == 4 else GRPC_WEB_TEXT


def parse_timeout(value: bytes) -> float:
    """The seconds of a ``grpc-timeout``; -1.0 for what is none.

    0 is read, although it should not be sent: the time is over.
    """
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        return -1.0
    number = int(match.group(1))
    unit = match.group(2)
    parts = _PARTS.get(unit, 0)
    return number / parts if parts else float(number * _SECONDS[unit])


def format_timeout(seconds: float) -> bytes:
    """A ``grpc-timeout`` in the finest unit that it fits in, rounded down: never a later deadline.

    The least is a nanosecond, also for 0 and less: the value must be positive. The most, some
    11,000 years, stands for all that is longer, infinity too.
    """
    if seconds <= 0.0:
        return b"1n"
    for unit, parts in _PARTS.items():
        if seconds * parts < _MAX_TIMEOUT_VALUE + 1:
            return b"%d%b" % (max(int(seconds * parts), 1), unit)
    for unit, length in _SECONDS.items():
        if seconds / length < _MAX_TIMEOUT_VALUE + 1:
            return b"%d%b" % (int(seconds / length), unit)
    return b"%dH" % _MAX_TIMEOUT_VALUE


def parse_status(value: bytes) -> int:
    """The status of a ``grpc-status``, 0 to 16; UNKNOWN for every other, as clients have it."""
    if _STATUS.fullmatch(value) is None:
        return UNKNOWN
    status = int(value)
    return status if status < len(STATUS_NAMES) else UNKNOWN


def encode_status_message(text: str) -> bytes:
    """A ``grpc-message``: UTF-8 with percent-encoding. Lone surrogates become ``?``.

    Blanks at its ends are encoded too: field values have none there (RFC 9113, 8.2.1).
    """
    encoded = quote_from_bytes(text.encode("utf-8", "replace"), _PLAIN)
    inner = encoded.strip(" ")
    before = len(encoded) - len(encoded.lstrip(" "))
    after = len(encoded) - len(inner) - before if inner else 0
    return ("%20" * before + inner + "%20" * after).encode("ascii")


def decode_status_message(value: bytes) -> str:
    """The text of a ``grpc-message``. Broken escapes stay as they are, and what is not UTF-8 is
    replaced: a message is never thrown away."""
    return unquote_to_bytes(value).decode("utf-8", "replace")


def status_of_http(http_status: int) -> int:
    """What a response to a gRPC call means that has no ``grpc-status``; 200 is UNKNOWN too."""
    return _OF_HTTP.get(http_status, UNKNOWN)


def status_of_own_error(http_status: int) -> int:
    """What to answer a gRPC call where another request would be answered ``http_status``."""
    return _OF_OWN_ERROR.get(http_status, UNKNOWN)


def http_status_of(status: int) -> int:
    """The HTTP status that says the same as a gRPC status; 500 for numbers without a meaning."""
    return _TO_HTTP[status] if 0 <= status < len(_TO_HTTP) else 500


def status_of_reset(error_code: int) -> int:
    """What it means that an endpoint reset the stream of a call, by HTTP/2's error code."""
    return _OF_RESET.get(error_code, INTERNAL)


def trailers(status: int, text: str = "") -> list[Field]:
    """The end of a response, with a message for people where there is one."""
    fields: list[Field] = [(b"grpc-status", b"grpc-status", b"%d" % status)]
    if text:
        fields.append((b"grpc-message", b"grpc-message", encode_status_message(text)))
    return fields


def trailers_only(status: int, text: str = "") -> list[Field]:
    """The fields of a whole response without messages, whose HTTP status is 200."""
    fields: list[Field] = [(b"content-type", b"content-type", b"application/grpc")]
    return fields + trailers(status, text)
