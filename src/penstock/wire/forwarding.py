"""What a proxy changes in a head before it passes it on (RFC 9110, 7.6; RFC 7239).

Both functions build the outgoing head up to, and without, the end of its last line, which is the
request id: so one built head serves every repetition of the same head on a connection.
"""

from typing import Final

from penstock.wire.http1 import Field, RequestHead, ResponseHead
from penstock.wire.max_forwards import hops_left
from penstock.wire.origin import Origin

# An edit: "set", "add" or "remove"; the field's name as given and in lower case; its value.
Edit = tuple[str, bytes, bytes, bytes]

REQUEST_ID_LINE: Final = b"X-Request-ID: "
# Of the answer: the id that the endpoint gave the request, where that is another than ours.
_ENDPOINTS_ID: Final = b"X-Endpoint-Request-ID"
_MAX_REQUEST_ID_BYTES: Final = 128

# Meant for the next hop only, or written anew by us. Trailer stays: trailers are passed on.
_REQUEST_DROPPED: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"content-length",
        b"upgrade",
        b"http2-settings",
        b"host",
        b"via",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-request-id",
    )
)
# Passed on from a trusted hop only; from anybody else they would be believed by the endpoint.
_TRUSTED_ONLY: Final = frozenset((b"x-real-ip", b"x-forwarded-port", b"x-forwarded-prefix"))
_RESPONSE_DROPPED: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"te",
        b"transfer-encoding",
        b"content-length",
        b"upgrade",
        b"via",
        b"x-request-id",
    )
)
# A client that nominates these in Connection would make us drop what the message rests on.
_NEVER_NOMINATED: Final = frozenset((b"host", b"content-length", b"transfer-encoding"))

# By these fields a request's head vouches for its body (RFC 9530, RFC 1864), or for both (RFC 9421,
# AWS Signature Version 4).
_DIGESTS: Final = frozenset((b"content-digest", b"repr-digest", b"digest", b"content-md5"))
_DIGESTS_AND_CODING: Final = _DIGESTS | {b"content-encoding"}
_SIGNATURES: Final = frozenset((b"signature", b"x-amz-content-sha256"))


class Hop:
    """Who sent a request, as far as forwarding headers tell it on."""

    def __init__(
        self, address: str, scheme: str, trusted: bool, via: bytes, origin: Origin
    ) -> None:
        self.address: str = address
        self.scheme: str = scheme
        self.trusted: bool = trusted  # whether its own forwarding headers are believed
        self.via: bytes = via  # ours, with what tells this instance from others
        self.origin: Origin = origin
        self.certificate: Field | None = None  # that tells the client's certificate
        self.certificate_chain: Field | None = None  # and those that vouch for it


def request_id_of(head: RequestHead, hop: Hop) -> bytes:
    """The request id to continue: a trusted hop's own; b"" when one is to be made."""
    if not hop.trusted:
        return b""
    given = head.value(b"x-request-id") or b""
    return given if len(given) <= _MAX_REQUEST_ID_BYTES else b""


class ForwardedHead:
    """A request's head as an endpoint gets it, but for X-Request-ID, which is new each time.

    Built once for each distinct head of a client; each codec keeps what it made of it.
    """

    chunked: bool = False
    content_length: int = -1  # -1: none is told
    upgrade: bytes = b""
    has_grpc_timeout: bool = False  # which is told anew each time, less what is gone
    block: object = None  # as HTTP/2 has it
    _http1: bytes = b""

    def __init__(self, method: bytes, target: bytes, host: bytes) -> None:
        self.method: bytes = method
        self.target: bytes = target
        self.host: bytes = host
        self.fields: list[Field] = []  # without Host and framing

    def http1(self) -> bytes:
        """As HTTP/1.1 writes it, up to the value of its last field, X-Request-ID."""
        if not self._http1:
            lines = [b"%b %b HTTP/1.1" % (self.method, self.target), b"Host: " + self.host]
            lines += [b"%b: %b" % (name, value) for _, name, value in self.fields]
            self._http1 = b"\r\n".join(lines) + b"\r\n" + self._ending()
        return self._http1

    def for_other_body(self, length: int, decoded: bool) -> "ForwardedHead":
        """The same for another body than the client's, of that length.

        Digests of the client's body are left out, and its content coding where it is ``decoded``. A
        body that comes in chunks tells no length.
        """
        other = ForwardedHead(self.method, self.target, self.host)
        other.fields = self.fields
        other.chunked = self.chunked
        other.has_grpc_timeout = self.has_grpc_timeout
        other.content_length = length if self.content_length >= 0 else -1
        if decoded or is_sealed(self.fields):
            left_out = _DIGESTS_AND_CODING if decoded else _DIGESTS
            other.fields = [field for field in self.fields if field[0] not in left_out]
        else:  # all but its end is the same
            other._http1 = self.http1().removesuffix(self._ending()) + other._ending()
        return other

    def for_length(self, length: int) -> "ForwardedHead":
        """The same for a body of that length, where one is told."""
        other = ForwardedHead(self.method, self.target, self.host)
        other.fields = self.fields
        other.upgrade = self.upgrade
        other.has_grpc_timeout = self.has_grpc_timeout
        other.content_length = length
        other._http1 = self.http1().removesuffix(self._ending()) + other._ending()
        return other

    def with_fields(self, fields: list[Field]) -> "ForwardedHead":
        """The same with further fields, for one request."""
        other = ForwardedHead(self.method, self.target, self.host)
        other.fields = self.fields + fields
        other.chunked = self.chunked
        other.content_length = self.content_length
        other.upgrade = self.upgrade
        other.has_grpc_timeout = self.has_grpc_timeout
        return other

    def with_trace(self, parent: Field, continued: bool) -> "ForwardedHead":
        """The same below that ``traceparent``. The state of a trace goes on with it alone."""
        left_out = (parent[0],) if continued else (parent[0], b"tracestate")
        fields = [field for field in self.fields if field[0] not in left_out]
        fields.append(parent)
        other = ForwardedHead(self.method, self.target, self.host)
        other.fields = fields
        other.chunked = self.chunked
        other.content_length = self.content_length
        other.upgrade = self.upgrade
        other.has_grpc_timeout = self.has_grpc_timeout
        return other

    def _ending(self) -> bytes:
        ending = REQUEST_ID_LINE
        if self.upgrade:
            ending = b"Connection: Upgrade\r\nUpgrade: %b\r\n%b" % (self.upgrade, ending)
        if self.chunked:
            return b"Transfer-Encoding: chunked\r\n" + ending
        if self.content_length >= 0:
            return b"Content-Length: %d\r\n%b" % (self.content_length, ending)
        return ending


def forwarded_request(
    head: RequestHead,
    target: bytes,
    host: bytes,
    hop: Hop,
    edits: list[Edit],
    upgrade: bytes = b"",
) -> ForwardedHead:
    """The head for the endpoint. ``upgrade`` is a protocol that it is asked to change to."""
    trusted = hop.trusted
    origin = hop.origin
    via: list[bytes] = []
    hops = hops_left(head)
    counted_down = False
    fields: list[tuple[bytes, bytes, bytes]] = []
    for field in head.fields:
        lower, _, value = field
        if lower == b"via":
            via.append(value)
        if lower in _REQUEST_DROPPED or (not trusted and lower in _TRUSTED_ONLY):
            continue
        if lower in head.connection and lower not in _NEVER_NOMINATED:
            continue
        if lower == b"expect" and not head.expects_continue:
            continue
        if lower == b"max-forwards" and hops >= 0:
            if counted_down:
                continue
            counted_down = True
            field = (lower, field[1], b"%d" % max(hops - 1, 0))
        fields.append(field)
    address = hop.address.encode()
    before = [*origin.forwarded_for, address]
    elements = [*origin.forwarded, _forwarded_element(address, hop.scheme, head.host)]
    via.append(b"%b %b" % (head.version, hop.via))
    scheme = hop.scheme.encode()
    fields.append((b"x-forwarded-for", b"X-Forwarded-For", b", ".join(before)))
    fields.append((b"x-forwarded-proto", b"X-Forwarded-Proto", origin.proto or scheme))
    if origin.host or head.host:
        fields.append((b"x-forwarded-host", b"X-Forwarded-Host", origin.host or head.host))
    fields.append((b"forwarded", b"Forwarded", b", ".join(elements)))
    fields.append((b"via", b"Via", b", ".join(via)))
    if hop.certificate is not None:
        fields.append(hop.certificate)
        if hop.certificate_chain is not None:
            fields.append(hop.certificate_chain)
    for operation, _, lower, value in edits:
        if lower == b"host" and operation != "remove":
            host = value
        if operation != "add" and b"-" in lower:
            fields = _without_lookalikes(fields, lower)
    forwarded = ForwardedHead(head.method, target, host)
    # Exactly one Host, whatever the edits are.
    forwarded.fields = [field for field in edited(fields, edits) if field[0] != b"host"]
    forwarded.chunked = head.chunked
    forwarded.content_length = -1 if head.chunked else head.content_length
    forwarded.upgrade = upgrade
    forwarded.has_grpc_timeout = any([field[0] == b"grpc-timeout" for field in forwarded.fields])
    return forwarded


def _without_lookalikes(fields: list[Field], lower: bytes) -> list[Field]:
    """Without those that CGI and WSGI servers take for that field: with ``_`` for ``-``."""
    return [field for field in fields if field[0] == lower or field[0].replace(b"_", b"-") != lower]


class ResponseRules:
    """What is done to every response of one pool on one route; shared by all its requests."""

    def __init__(self, via: bytes, edits: list[Edit]) -> None:
        self.via: bytes = via
        self.edits: list[Edit] = edits


# How a response's body is delimited towards the client.
NO_BODY: Final = 0
LENGTH: Final = 1
CHUNKED: Final = 2
UNTIL_CLOSE: Final = 3
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def is_sealed(fields: list[Field]) -> bool:
    """Whether a request's head vouches for the bytes of its body."""
    return any([field[0] in _DIGESTS or field[0] in _SIGNATURES for field in fields])


def forwarded_response(
    head: ResponseHead,
    framing: int,
    keep_alive: bool,
    client_minor: int,
    rules: ResponseRules,
    request_id: bytes = b"",
    decoded: bool = False,
) -> bytes:
    """The head for the client, up to the value of its last field, X-Request-ID.

    With NO_BODY the length that the endpoint told is kept: it speaks of what GET would give. With
    UNTIL_CLOSE it is not: the body may be another. ``decoded``: its content coding is taken off. An
    X-Request-ID of the endpoint's own, by which its logs and its makers know the request, goes on
    under another name, unless it is ``request_id``, which the endpoint was told.
    """
    fields = forwarded_fields(head, rules, request_id, decoded)
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason)]
    lines += [b"%b: %b" % (name, value) for _, name, value in fields]
    if framing == CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    elif (
        framing != UNTIL_CLOSE
        and head.content_length >= 0
        and head.status != 204
        and head.status >= 200
    ):
        lines.append(b"Content-Length: %d" % head.content_length)
    if not keep_alive:
        lines.append(b"Connection: close")
    elif client_minor == 0:
        lines.append(b"Connection: keep-alive")
    lines.append(REQUEST_ID_LINE)
    return b"\r\n".join(lines)


def forwarded_fields(
    head: ResponseHead, rules: ResponseRules, request_id: bytes, decoded: bool
) -> list[Field]:
    """The fields of a response as they are passed on, but for framing and X-Request-ID."""
    fields: list[tuple[bytes, bytes, bytes]] = []
    vias: list[bytes] = []
    for field in head.fields:
        lower = field[0]
        if lower == b"via":
            vias.append(field[2])
        elif lower == b"x-request-id" and field[2] and field[2] != request_id:
            head.request_id = field[2]
            fields.append((_ENDPOINTS_ID.lower(), _ENDPOINTS_ID, field[2]))
        if lower in _RESPONSE_DROPPED or (decoded and lower == b"content-encoding"):
            continue
        if lower in head.connection and lower not in _NEVER_NOMINATED:
            continue
        fields.append(field)
    vias.append(b"%b %b" % (head.version, rules.via))
    fields.append((b"via", b"Via", b", ".join(vias)))
    return edited(fields, rules.edits)


def switched_response(
    head: ResponseHead, protocol: bytes, rules: ResponseRules, request_id: bytes
) -> bytes:
    """A 101 for the client, up to the value of its last field, X-Request-ID."""
    lines = forwarded_response(head, NO_BODY, True, 1, rules, request_id)
    switched = b"Connection: Upgrade\r\nUpgrade: %b\r\n%b" % (protocol, REQUEST_ID_LINE)
    return lines.removesuffix(REQUEST_ID_LINE) + switched


def lacks_date(head: ResponseHead, rules: ResponseRules) -> bool:
    """Whether a proxy that has a clock is to add Date (RFC 9110, 6.6.1); edits may forbid it."""
    names = [field[0] for field in head.fields] + [edit[2] for edit in rules.edits]
    return b"date" not in names


def interim_response(head: ResponseHead) -> bytes:
    """A 1xx head as it is passed on, whole."""
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason)]
    lines += [
        b"%b: %b" % (name, value)
        for lower, name, value in head.fields
        if lower not in _RESPONSE_DROPPED and lower not in head.connection
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def edited(
    fields: list[tuple[bytes, bytes, bytes]], edits: list[Edit]
) -> list[tuple[bytes, bytes, bytes]]:
    """The fields after the edits, applied in order."""
    for operation, name, lower, value in edits:
        if operation != "add":
            fields = [field for field in fields if field[0] != lower]
        if operation != "remove":
            fields.append((lower, name, value))
    return fields


def _forwarded_element(address: bytes, scheme: str, host: bytes) -> bytes:
    node = b'"[%b]"' % address if b":" in address else address
    element = b"for=%b;proto=%b" % (node, scheme.encode())
    return element + b';host="%b"' % host if host else element
