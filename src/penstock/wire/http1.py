"""HTTP/1.1 heads: strict parsing of requests and responses (RFC 9110, RFC 9112).

A head goes in as its exact bytes, ending with the empty line, and comes out as an object or as a
``BadMessage``. Nothing is repaired that two parsers could read differently: such a head is refused.
Of servers, what the RFC says how to read is read, noted as ``irregular``, and ends the connection.
"""

import re
from typing import Final

from penstock.wire.target_path import has_dot_segment, normal_path, other_readings

MAX_CONTENT_LENGTH: Final = 2**63 - 1

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# Field values: no control characters but HTAB (RFC 9110, 5.5); obs-text passes.
_VALUE: Final = rb"[^\x00-\x08\x0a-\x1f\x7f]"
_REQUEST_LINE: Final = re.compile(rb"(%s++) ([\x21-\x7e]++) HTTP/(\d)\.(\d)\r\n" % _TOKEN)
_REQUEST_FIELDS: Final = re.compile(rb"(?:%s++:%s*+\r\n)*+\r\n" % (_TOKEN, _VALUE))
# Any status of three digits: a client is to treat one without a meaning as x00 of its class, or as
# a 5xx where there is no such class (RFC 9110, 15).
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.(\d) ([1-9]\d\d)(?: (%s*+))?\r\n" % _VALUE)
# A proxy removes white space before the colon of a response's field (RFC 9112, 5.1).
_RESPONSE_FIELDS: Final = re.compile(rb"(?:%s++[ \t]*+:%s*+\r\n)*+\r\n" % (_TOKEN, _VALUE))
# RFC 3986, 3.2.2, without escapes: no name in use needs them, and they would pass rules on hosts.
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=-]+)(?::\d{1,5})?")
_ABSOLUTE: Final = re.compile(rb"(https?)://([^/?#@]+)([/?].*)?", re.IGNORECASE)
# Methods that rules are written for (RFC 9110, 9; RFC 5789). Names of methods tell cases apart, and
# some servers do not.
_METHODS: Final = frozenset(
    (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH")
)
# What is forwarded, for Allow: other methods than these and TRACE and CONNECT are as well.
ALLOWED_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_DIGITS: Final = re.compile(rb"\d{1,19}")
_SHORT_NUMBER: Final = re.compile(rb"\d{1,9}")

# Fields that the framing and the routing of a message rest on: spellings with "_" are dropped,
# because servers that turn both "-" and "_" into "_" (CGI) would take one for the other.
CONFUSABLE: Final = frozenset(
    (
        b"transfer-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"connection",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-forwarded-port",
        b"x-real-ip",
        b"x-request-id",
        b"proxy-connection",
        b"proxy-authorization",
    )
)

# How the framing of a response may be irregular, and yet be read in one way only. The connection
# ends with such a response: who reads it otherwise would take its rest for another's beginning.
CHUNKED_IN_HTTP10: Final = 1  # RFC 9112, 6.1: processed, then closed
LENGTH_BESIDE_CHUNKED: Final = 2  # 6.3: the length is removed
LENGTH_REPEATED: Final = 4  # RFC 9110, 8.6: the same number several times is that number
BLANKS_AFTER_SIZE: Final = 8  # of a chunk, which some servers pad (wire.chunked)
IRREGULARITIES: Final = (
    "chunked_in_http10",
    "length_beside_chunked",
    "length_repeated",
    "blanks_after_chunk_size",
)
# Before the time after which a server says that it closes an idle connection, it is to be closed
# here: by this much, or by half of a shorter time.
_BEFORE_ITS_TIMEOUT_S: Final = 1.0

# A field: its name in lower case, its name as written, its value without white space around.
Field = tuple[bytes, bytes, bytes]


class BadMessage(Exception):
    """A head that is not passed on: the status to answer a client with, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status: int = status
        self.reason: str = reason


class RequestHead:
    """A request's head. ``content_length`` is -1 when the field is absent."""

    def __init__(self, raw: bytes, method: bytes, target: bytes, minor: int) -> None:
        self.raw: bytes = raw
        self.length: int = len(raw)
        self.method: bytes = method
        self.bodiless: bool = method == b"HEAD"  # the response to it has no body
        self.target: bytes = target  # in origin-form with a normal path, or "*"
        self.readings: list[bytes] = []  # what its path may be to others (``other_readings``)
        self.minor: int = minor  # of HTTP/1.x; 1 for what came over HTTP/2
        self.version: bytes = b"1.1" if minor else b"1.0"  # as Via tells it
        self.host: bytes = b""
        self.fields: list[Field] = []
        self.connection: list[bytes] = []  # the options nominated, in lower case
        self.content_length: int = -1
        self.chunked: bool = False
        self.keep_alive: bool = minor == 1
        self.expects_continue: bool = False
        self.upgrade: bool = False
        # It came as extended CONNECT (RFC 8441): nothing but the protocol asked for is an answer.
        self.extended_connect: bool = False

    def value(self, name: bytes) -> bytes | None:
        """The first value of a field by its lower-case name."""
        for lower, _, value in self.fields:
            if lower == name:
                return value
        return None

    def has_body(self) -> bool:
        """Whether body bytes follow the head."""
        return self.chunked or self.content_length > 0


class ResponseHead:
    """A response's head. ``content_length`` is -1 when the field is absent or overridden."""

    def __init__(self, raw: bytes, status: int, reason: bytes, minor: int) -> None:
        self.raw: bytes = raw
        self.length: int = len(raw)
        self.status: int = status
        self.reason: bytes = reason
        self.minor: int = minor
        self.version: bytes = b"1.1" if minor else b"1.0"  # as Via tells it
        self.fields: list[Field] = []
        self.connection: list[bytes] = []
        self.content_length: int = -1
        self.chunked: bool = False
        self.keep_alive: bool = minor == 1
        self.idle_s: float = 0.0  # that its server lets the connection be idle; 0.0: not told
        self.irregular: int = 0  # sum of kinds
        # What was last built from this head for a client, and what it was built for.
        self.lacks_date: bool = False
        self.rewritten: bytes = b""
        # The same for HTTP/2.
        self.rewritten_block: object = None
        self.block_for: object = None
        self.block_flags: int = -1
        self.rewritten_for: object = None
        self.rewritten_flags: int = -1
        # What compression makes of it, and the heads that it then has (``encoded_head``).
        self.judged_by: object = None
        self.verdict: int = 0
        self.variants: dict[bytes, ResponseHead] | None = None
        self.request_id: bytes = b""  # its own X-Request-ID, once it was rewritten


def all_values(fields: list[Field], name: bytes) -> bytes:
    """All values of a field that is a list, as one, by its lower-case name; b"" without any."""
    return b", ".join([value for lower, _, value in fields if lower == name])


def find_head_end(data: bytes, start: int) -> int:
    """Where the head that begins ``data`` ends, searching from ``start``; -1 if it is not whole.

    Raises BadMessage when a line ends with a bare LF, so that such input is answered at once.
    """
    end = data.find(b"\r\n\r\n", start)
    if end >= 0:
        return end + 4
    if has_bare_lf(data, start):
        raise BadMessage(400, "a line ends with LF without CR")
    return -1


def has_bare_lf(data: bytes, start: int) -> bool:
    """Whether a line ends with LF alone, at ``start`` or after it.

    Asked again for every piece of an unfinished head, so by counting: a regular expression that
    looks behind takes 25 ns for every byte, a client's means to keep a worker busy.
    """
    return data.count(b"\n", start) != data.count(b"\r\n", max(start - 1, 0))


def parse_request(
    raw: bytes, max_target_bytes: int, max_fields: int, merge_slashes: bool = False
) -> RequestHead:
    """The head that these bytes are. Raises BadMessage."""
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise _bad_request_line(raw)
    method, target, major, minor = line.groups()
    if major != b"1":
        raise BadMessage(505, "the HTTP version is not 1.0 or 1.1")
    if len(target) > max_target_bytes:
        raise BadMessage(414, f"the target is over {max_target_bytes} bytes")
    if _REQUEST_FIELDS.fullmatch(raw, line.end()) is None:
        raise BadMessage(400, "a header field is malformed")
    # A higher minor version is as the highest that is known (RFC 9110, 2.5).
    head = RequestHead(raw, method, target, 0 if minor == b"0" else 1)
    _read_request_fields(head, _field_lines(raw, line.end()), max_fields)
    check_target(head)
    normalise_path(head, merge_slashes)
    return head


def parse_response(raw: bytes) -> ResponseHead:
    """The head that these bytes are. Raises BadMessage with status 502."""
    line = _STATUS_LINE.match(raw)
    if line is None:
        raise BadMessage(502, "the status line is malformed")
    if _RESPONSE_FIELDS.fullmatch(raw, line.end()) is None:
        raise BadMessage(502, "a header field of the response is malformed")
    minor, status, reason = line.groups()
    head = ResponseHead(raw, int(status), reason or b"", 0 if minor == b"0" else 1)
    _read_response_fields(head, _field_lines(raw, line.end()))
    return head


def _field_lines(raw: bytes, start: int) -> list[bytes]:
    # Not a slice whose end may lie before its start: compiled, that is an error (mypyc 2.4).
    return raw[start:-4].split(b"\r\n") if len(raw) - 4 > start else []


def _bad_request_line(raw: bytes) -> BadMessage:
    first = raw.split(b"\r\n", 1)[0]
    parts = first.split(b" ")
    if len(parts) == 3 and re.fullmatch(rb"HTTP/\d+\.\d+", parts[2]):
        version_ok = re.fullmatch(rb"HTTP/\d\.\d", parts[2]) is not None
        if not version_ok:
            return BadMessage(505, "the HTTP version is not 1.0 or 1.1")
    return BadMessage(400, "the request line is malformed")


def _read_request_fields(head: RequestHead, lines: list[bytes], max_fields: int) -> None:
    if len(lines) > max_fields:
        raise BadMessage(431, f"more than {max_fields} header fields")
    hosts = 0
    encoded = False
    for line in lines:
        name, _, value = line.partition(b":")
        lower = name.lower()
        value = value.strip(b" \t")
        if b"_" in lower and lower.replace(b"_", b"-") in CONFUSABLE:
            continue
        head.fields.append((lower, name, value))
        if lower == b"host":
            hosts += 1
            head.host = value
        elif lower == b"content-length":
            if head.content_length >= 0:
                raise BadMessage(400, "more than one Content-Length")
            head.content_length = _content_length(value, 400)
        elif lower == b"transfer-encoding":
            if encoded:
                raise BadMessage(400, "more than one Transfer-Encoding")
            encoded = True
            _check_request_coding(head, value)
        elif lower == b"connection":
            head.connection += _options(value)
        elif lower == b"expect":
            if value.lower() != b"100-continue":
                raise BadMessage(417, "the only expectation known is 100-continue")
            head.expects_continue = head.minor == 1  # RFC 9110, 10.1.1: ignored in HTTP/1.0
        elif lower == b"upgrade":
            head.upgrade = True
    if head.chunked and head.content_length >= 0:
        raise BadMessage(400, "both Content-Length and Transfer-Encoding")
    if hosts > 1 or (hosts == 0 and head.minor == 1):
        raise BadMessage(400, "a request has exactly one Host")
    if hosts and _HOST.fullmatch(head.host) is None:
        raise BadMessage(400, "Host is not a valid host")
    head.keep_alive = _persists(head.minor, head.connection)


def _check_request_coding(head: RequestHead, value: bytes) -> None:
    if head.minor == 0:
        raise BadMessage(400, "Transfer-Encoding in HTTP/1.0")
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if codings == [b"chunked"]:
        head.chunked = True
        return
    known = all([re.fullmatch(rb"%s+" % _TOKEN, coding) is not None for coding in codings])
    if known and codings[-1] == b"chunked" and codings.count(b"chunked") == 1:
        raise BadMessage(501, "a transfer coding other than chunked")
    raise BadMessage(400, "Transfer-Encoding is malformed or does not end with chunked")


def check_target(head: RequestHead) -> None:
    """Refuse methods and targets that are not offered, and take a URL's host. Raises BadMessage."""
    target = head.target
    upper = head.method.upper()
    if upper != head.method and upper in _METHODS:
        raise BadMessage(400, "methods are written in upper case")
    if head.method == b"CONNECT":
        raise BadMessage(501, "CONNECT is not offered here")
    if head.method == b"TRACE":
        raise BadMessage(405, "TRACE is not forwarded")  # it would tell a client what hops add
    if b"#" in target:
        raise BadMessage(400, "the target holds a fragment")
    if target.startswith(b"/"):
        return
    if target == b"*":
        if head.method != b"OPTIONS":
            raise BadMessage(400, "the target * is for OPTIONS only")
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or _HOST.fullmatch(absolute.group(2)) is None:
        raise BadMessage(400, "the target is neither a path nor a URL with a valid host")
    rest = absolute.group(3) or b""
    if not rest and head.method == b"OPTIONS":
        head.target = b"*"  # RFC 9112, 3.2.4: the server as a whole
    else:
        head.target = rest if rest.startswith(b"/") else b"/" + rest
    head.host = absolute.group(2)  # RFC 9112, 3.2.2: the target wins over Host


def normalise_path(head: RequestHead, merge_slashes: bool) -> None:
    """Put the path in the form in which it is matched and forwarded. Raises BadMessage."""
    target = head.target
    if target == b"*":
        return
    path, question, query = target.partition(b"?")
    try:
        normal = normal_path(path, merge_slashes)
    except ValueError as error:
        raise BadMessage(400, str(error)) from error
    if normal != path:
        head.target = normal + question + query
    head.readings = other_readings(normal)
    if any([has_dot_segment(reading) for reading in head.readings]):
        raise BadMessage(400, "the path hides a dot segment, such as ..%2f or ..;")


def _read_response_fields(head: ResponseHead, lines: list[bytes]) -> None:
    told_idle = b""
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.rstrip(b" \t")
        lower = name.lower()
        value = value.strip(b" \t")
        head.fields.append((lower, name, value))
        if lower == b"content-length":
            _read_response_length(head, value)
        elif lower == b"transfer-encoding":
            if head.chunked or value.lower() != b"chunked":
                raise BadMessage(502, "the response's Transfer-Encoding is not just chunked")
            head.chunked = True
            if head.minor == 0:
                head.irregular |= CHUNKED_IN_HTTP10
        elif lower == b"connection":
            head.connection += _options(value)
        elif lower == b"keep-alive":
            told_idle = value
    if head.chunked and head.content_length >= 0:
        head.irregular |= LENGTH_BESIDE_CHUNKED
        head.content_length = -1
    head.keep_alive = _persists(head.minor, head.connection) and head.irregular == 0
    if told_idle:
        _heed_keep_alive(head, told_idle)


def _read_response_length(head: ResponseHead, value: bytes) -> None:
    for number in value.split(b","):
        length = _content_length(number.strip(b" \t"), 502)
        if head.content_length >= 0:
            if length != head.content_length:
                raise BadMessage(
                    502, "the response has more than one Content-Length, and they differ"
                )
            head.irregular |= LENGTH_REPEATED
        head.content_length = length


def _heed_keep_alive(head: ResponseHead, value: bytes) -> None:
    """``timeout`` and ``max`` of a server's Keep-Alive (RFC 2068, 19.7.1.1, which many send)."""
    for parameter in _options(value):
        name, _, number = parameter.partition(b"=")
        if _SHORT_NUMBER.fullmatch(number) is None:
            continue
        if name == b"timeout":
            told_s = float(int(number))
            head.idle_s = told_s - min(_BEFORE_ITS_TIMEOUT_S, told_s / 2.0)
        if int(number) == 0 and (name == b"timeout" or name == b"max"):
            head.keep_alive = False


def _content_length(value: bytes, status: int) -> int:
    if _DIGITS.fullmatch(value) is None or int(value) > MAX_CONTENT_LENGTH:
        raise BadMessage(status, "Content-Length is not a number of bytes")
    return int(value)


def _options(value: bytes) -> list[bytes]:
    return [option.strip(b" \t").lower() for option in value.split(b",") if option.strip(b" \t")]


def _persists(minor: int, connection: list[bytes]) -> bool:
    if b"close" in connection:
        return False
    return minor == 1 or b"keep-alive" in connection
