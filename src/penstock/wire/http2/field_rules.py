"""What one field line may be in HTTP/2 (RFC 9113, 8.2 and 8.3), whatever message holds it.

A line's ``kind`` says in one number what it is, or, below zero, why it makes its message malformed.
"""

import re
from typing import Final

REGULAR: Final = 0
METHOD: Final = 1
SCHEME: Final = 2
AUTHORITY: Final = 3
PATH: Final = 4
PROTOCOL: Final = 5
STATUS: Final = 6
LAST_PSEUDO: Final = STATUS
CONTENT_LENGTH: Final = 7
HOST: Final = 8
COOKIE: Final = 9
PRIORITY_FIELD: Final = 10

_BAD_NAME: Final = -1
_BAD_VALUE: Final = -2
_CONNECTION_SPECIFIC: Final = -3
_BAD_TE: Final = -4
_BAD_LENGTH: Final = -5
_UNKNOWN_PSEUDO: Final = -6
_BAD_METHOD: Final = -7
_BAD_SCHEME: Final = -8
_BAD_AUTHORITY: Final = -9
_BAD_PATH: Final = -10
_BAD_PROTOCOL: Final = -11
_BAD_STATUS: Final = -12
_UPPER_CASE: Final = -13
_NO_NAME: Final = -14
_BAD_HOST: Final = -15

_REASONS: Final = {
    _BAD_NAME: "a field name holds a character that is not allowed in one",
    _BAD_VALUE: "a field value holds a control character, or white space around it",
    _CONNECTION_SPECIFIC: "a connection-specific field, which HTTP/2 has no place for",
    _BAD_TE: "TE has another value than trailers",
    _BAD_LENGTH: "Content-Length is not a number of bytes",
    _UNKNOWN_PSEUDO: "an unknown pseudo-header field",
    _BAD_METHOD: ":method is not a method's name",
    _BAD_SCHEME: ":scheme is not a scheme's name",
    _BAD_AUTHORITY: ":authority is not a valid host",
    _BAD_PATH: ":path is empty or holds a character that is not allowed in one",
    _BAD_PROTOCOL: ":protocol is not a protocol's name",
    _BAD_STATUS: ":status is not a number of three digits",
    _UPPER_CASE: "a field name has capital letters",
    _NO_NAME: "a field has no name",
    _BAD_HOST: "Host is not a valid host",
}

_TOKEN_OCTETS: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
# RFC 9110, 5.5: visible characters, SP, HTAB and obs-text.
_VALUE_OCTETS: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_PATH_OCTETS: Final = bytes(set(range(0x21, 0x7F)) - {0x23})  # visible, and no fragment
_BLANKS: Final = b" \t"

_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*")
# As in HTTP/1.1's Host: RFC 3986, 3.2.2, without escapes and without user information.
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=-]+)(?::\d{1,5})?")
_STATUS: Final = re.compile(rb"[1-9]\d\d")
_MAX_LENGTH_DIGITS: Final = 19
MAX_CONTENT_LENGTH: Final = 2**63 - 1

_UNKNOWN: Final = -100
_KINDS: Final[dict[bytes, int]] = {
    b":method": METHOD,
    b":scheme": SCHEME,
    b":authority": AUTHORITY,
    b":path": PATH,
    b":protocol": PROTOCOL,
    b":status": STATUS,
    b"content-length": CONTENT_LENGTH,
    b"host": HOST,
    b"cookie": COOKIE,
    b"priority": PRIORITY_FIELD,
    b"te": _BAD_TE,  # but for one value
    b"connection": _CONNECTION_SPECIFIC,
    b"proxy-connection": _CONNECTION_SPECIFIC,
    b"keep-alive": _CONNECTION_SPECIFIC,
    b"transfer-encoding": _CONNECTION_SPECIFIC,
    b"upgrade": _CONNECTION_SPECIFIC,
}
# Valid names that are seen often, so that they need no look at each letter.
_COMMON_NAMES: Final = (
    b"accept accept-encoding accept-language accept-ranges access-control-allow-origin age alt-svc "
    b"authorization cache-control content-disposition content-encoding content-language "
    b"content-location content-range content-type date etag expires forwarded from "
    b"grpc-accept-encoding grpc-encoding grpc-message grpc-status grpc-timeout if-match "
    b"if-modified-since if-none-match if-range if-unmodified-since last-modified link location "
    b"max-forwards origin pragma range referer retry-after sec-fetch-dest sec-fetch-mode "
    b"sec-fetch-site server set-cookie strict-transport-security traceparent tracestate "
    b"transfer-encoding user-agent vary via x-forwarded-for x-forwarded-proto x-request-id"
)


def _all_kinds() -> dict[bytes, int]:
    kinds = dict(_KINDS)
    for name in _COMMON_NAMES.split(b" "):
        kinds.setdefault(name, REGULAR)
    return kinds


_KIND_BY_NAME: Final[dict[bytes, int]] = _all_kinds()


def kind_of(name: bytes, value: bytes) -> int:
    """What a field line is; below zero, why it may not be (``reason_of``)."""
    kind = _KIND_BY_NAME.get(name, _UNKNOWN)
    if kind == _UNKNOWN:
        kind = _kind_of_name(name)
    if kind != REGULAR:
        if kind < 0:
            return REGULAR if kind == _BAD_TE and value == b"trailers" else kind
        return _special_kind(kind, value)
    return REGULAR if is_value(value) else _BAD_VALUE


def is_value(value: bytes) -> bool:
    """Whether a value holds no control character and no white space around it."""
    if not value:
        return True
    if value.translate(None, _VALUE_OCTETS):
        return False
    return value[0] not in _BLANKS and value[-1] not in _BLANKS


def reason_of(kind: int) -> str:
    """Why a field line of this kind makes its message malformed."""
    return _REASONS.get(kind, "a malformed field")


def _kind_of_name(name: bytes) -> int:
    if not name:
        return _NO_NAME
    if not name.translate(None, _TOKEN_OCTETS):
        return REGULAR
    if name.startswith(b":"):
        return _UNKNOWN_PSEUDO
    return _UPPER_CASE if name != name.lower() else _BAD_NAME


def _special_kind(kind: int, value: bytes) -> int:
    if kind == PATH:
        return _BAD_PATH if not value or value.translate(None, _PATH_OCTETS) else PATH
    if kind == METHOD:
        return METHOD if _METHOD.fullmatch(value) is not None else _BAD_METHOD
    if kind == SCHEME:
        return SCHEME if _SCHEME.fullmatch(value) is not None else _BAD_SCHEME
    if kind == AUTHORITY:
        return AUTHORITY if _HOST.fullmatch(value) is not None else _BAD_AUTHORITY
    if kind == HOST:
        return HOST if _HOST.fullmatch(value) is not None else _BAD_HOST
    if kind == PROTOCOL:
        return PROTOCOL if _METHOD.fullmatch(value) is not None else _BAD_PROTOCOL
    if kind == STATUS:
        return STATUS if _STATUS.fullmatch(value) is not None else _BAD_STATUS
    if kind == CONTENT_LENGTH:
        return CONTENT_LENGTH if _is_length(value) else _BAD_LENGTH
    return kind if is_value(value) else _BAD_VALUE


def _is_length(value: bytes) -> bool:
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        return False
    return int(value) <= MAX_CONTENT_LENGTH
