"""Envoy's external processing: what a gateway asks for each request, and what it is told.

Sources: envoy, service/ext_proc/v3/external_processor.proto, config/core/v3/base.proto, and the
Endpoint Picker protocol of the Gateway API Inference Extension (its proposal 004). Bodies are
streamed both ways at once (FULL_DUPLEX_STREAMED): what is not handed back does not go on.
"""

from collections.abc import Sequence
from typing import Final

from penstock.wire.protobuf import (
    DELIMITED,
    VARINT,
    Fields,
    delimited,
    delimited_head,
    number,
)

SERVICE: Final = "envoy.service.ext_proc.v3.ExternalProcessor"
METHOD: Final = "Process"

# The proposal's names.
PICKED: Final = "x-gateway-destination-endpoint"
SERVED: Final = "x-gateway-destination-endpoint-served"
SUBSET: Final = "x-gateway-destination-endpoint-subset"
NAMESPACE: Final = "envoy.lb"
SUBSET_NAMESPACE: Final = "envoy.lb.subset_hint"

# What a ProcessingRequest is about, by its field; the response to each has the number before it.
NOTHING: Final = 0
REQUEST_HEADERS: Final = 2
RESPONSE_HEADERS: Final = 3
REQUEST_BODY: Final = 4
RESPONSE_BODY: Final = 5
REQUEST_TRAILERS: Final = 6
RESPONSE_TRAILERS: Final = 7
_BODIES: Final = (REQUEST_BODY, RESPONSE_BODY)
_TRAILERS: Final = (REQUEST_TRAILERS, RESPONSE_TRAILERS)

# ProcessingMode.BodySendMode.
BODY_NONE: Final = 0
BODY_STREAMED: Final = 1
BODY_FULL_DUPLEX: Final = 4

# Fields of ProcessingRequest beside those.
_METADATA: Final = 8
_OBSERVES: Final = 10
_PROTOCOL_CONFIG: Final = 11
# Fields of ProcessingResponse beside those.
_IMMEDIATE: Final = 7
_DYNAMIC_METADATA: Final = 8

_OVERWRITE: Final = number(3, 2)  # HeaderValueOption.append_action OVERWRITE_IF_EXISTS_OR_ADD
_END_OF_STREAM: Final = number(2, 1)  # StreamedBodyResponse
_MOST_FIELDS: Final = 1000  # of a head
_MOST_IN_SUBSET: Final = 10_000


class ProcessingRequest:
    """One message of a gateway. ``kind`` is NOTHING where it is about nothing that is known."""

    kind: int = NOTHING
    ends: bool = False  # nothing of that request, or response, follows
    body: bytes = b""
    served: str = ""  # the endpoint that served it, as ``ip:port``
    observes: bool = False  # it heeds no answer
    # Among whom is to be chosen; None: among all.
    subset: list[str] | None = None
    # Of the first message of a stream; -1: not told.
    request_body_mode: int = -1
    response_body_mode: int = -1

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []  # pseudo-header fields among them


def decode_request(message: bytes) -> ProcessingRequest | None:
    """What a ProcessingRequest says; None where it is malformed, or has more than may be."""
    request = ProcessingRequest()
    fields = Fields(message)
    while fields.advance():
        field = fields.field
        if fields.kind == VARINT:
            if field == _OBSERVES:
                request.observes = fields.number != 0
        elif fields.kind != DELIMITED:
            continue
        elif REQUEST_HEADERS <= field <= RESPONSE_TRAILERS:
            _read_part(request, field, fields)
        elif field == _METADATA:
            _read_metadata(request, fields)
        elif field == _PROTOCOL_CONFIG:
            _read_protocol_config(request, fields)
    return None if fields.malformed else request


def _read_part(request: ProcessingRequest, kind: int, around: Fields) -> None:
    """HttpHeaders, HttpBody or HttpTrailers; of several the last counts (``oneof``)."""
    request.kind = kind
    request.headers = []
    request.body = b""
    request.ends = kind in _TRAILERS
    end_of_stream = 2 if kind in _BODIES else 3
    part = around.inside()
    while part.advance():
        if part.kind == VARINT and part.field == end_of_stream:
            request.ends = request.ends or part.number != 0
        elif part.field != 1 or part.kind != DELIMITED:
            continue
        elif kind in _BODIES:
            request.body = part.octets()
        else:
            _read_headers(request, part)
    around.heed(part)


def _read_headers(request: ProcessingRequest, around: Fields) -> None:
    """A HeaderMap. Values stand in ``raw_value``, or, by older gateways, in ``value``."""
    headers = around.inside()
    while headers.advance():
        if not headers.is_(1, DELIMITED):
            continue
        if len(request.headers) >= _MOST_FIELDS:
            around.malformed = True
            return
        name = b""
        value = b""
        header = headers.inside()
        while header.advance():
            if header.kind != DELIMITED:
                continue
            if header.field == 1:
                name = header.octets()
            elif header.field == 3 or (header.field == 2 and not value):
                value = header.octets()
        headers.heed(header)
        request.headers.append((name, value))
    around.heed(headers)


def _read_protocol_config(request: ProcessingRequest, around: Fields) -> None:
    request.request_body_mode = BODY_NONE
    request.response_body_mode = BODY_NONE
    config = around.inside()
    while config.advance():
        if config.is_(1, VARINT):
            request.request_body_mode = config.number
        elif config.is_(2, VARINT):
            request.response_body_mode = config.number
    around.heed(config)


# --- metadata --------------------------------------------------------------------------------


class _Entry:
    """One of a map from names to messages."""

    def __init__(self, around: Fields) -> None:
        self.key: bytes = b""
        self.value: Fields | None = None
        entry = around.inside()
        while entry.advance():
            if entry.is_(1, DELIMITED):
                self.key = entry.octets()
            elif entry.is_(2, DELIMITED):
                self.value = entry.inside()
        around.heed(entry)


def _read_metadata(request: ProcessingRequest, around: Fields) -> None:
    """Metadata.filter_metadata: two namespaces count."""
    metadata = around.inside()
    while metadata.advance():
        if not metadata.is_(1, DELIMITED):
            continue
        namespace = _Entry(metadata)
        struct = namespace.value
        if struct is None:
            continue
        if namespace.key == SUBSET_NAMESPACE.encode():
            found = _value_of(struct, SUBSET.encode())
            if found is not None:
                request.subset = _addresses(found)
        elif namespace.key == NAMESPACE.encode():
            found = _value_of(struct, SERVED.encode())
            if found is not None:
                request.served = "".join(_addresses(found)[:1])
        metadata.heed(struct)
    around.heed(metadata)


def _value_of(struct: Fields, key: bytes) -> Fields | None:
    """The Value of that name in a google.protobuf.Struct."""
    found: Fields | None = None
    while struct.advance():
        if struct.is_(1, DELIMITED):
            entry = _Entry(struct)
            if entry.key == key:
                found = entry.value
    return found


def _addresses(value: Fields) -> list[str]:
    """The strings of a Value: one, which may hold several behind commas, or a list of them."""
    found: list[str] = []
    while value.advance():
        if value.is_(3, DELIMITED):
            found += _listed(value)
        elif value.is_(6, DELIMITED):
            items = value.inside()
            while items.advance() and len(found) < _MOST_IN_SUBSET:
                item = items.inside() if items.is_(1, DELIMITED) else Fields(b"")
                while item.advance():
                    if item.is_(3, DELIMITED):
                        found += _listed(item)
            value.heed(items)
    return found[:_MOST_IN_SUBSET]


def _listed(text: Fields) -> list[str]:
    parts = text.octets().decode("utf-8", "replace").split(",")
    return [part.strip() for part in parts if part.strip()]


# --- responses -------------------------------------------------------------------------------


def headers_response(
    kind: int,
    headers: Sequence[tuple[bytes, bytes]] = (),
    metadata: bytes = b"",
    removed: Sequence[bytes] = (),
) -> bytes:
    """The answer to headers of that kind, with fields that are set in them, or taken out.
    ``metadata``: of ``picked_metadata``."""
    common = b""
    if headers or removed:
        mutation = _mutation(headers) + b"".join([delimited(2, name) for name in removed])
        common = delimited(2, mutation)
        if kind == REQUEST_HEADERS:
            common += number(5, 1)  # clear_route_cache: routes may go by what was set
    response = delimited(kind - 1, delimited(1, common))
    return response + (delimited(_DYNAMIC_METADATA, metadata) if metadata else b"")


def picked_metadata(endpoints: str) -> bytes:
    """The dynamic metadata that names the endpoints, in order of preference."""
    value = delimited(3, endpoints.encode())
    entry = delimited(1, PICKED.encode()) + delimited(2, value)
    struct = delimited(1, entry)
    value = delimited(5, struct)
    return delimited(1, delimited(1, NAMESPACE.encode()) + delimited(2, value))


def streamed_body(kind: int, data: bytes, ends: bool) -> bytes:
    """A piece of the body that goes on, in the place of what came."""
    tail = _END_OF_STREAM if ends else b""
    head = delimited_head(1, len(data)) if data else b""
    size = len(head) + len(data) + len(tail)
    for field in (3, 3, 1, kind - 1):  # streamed_response, body_mutation, response
        outer = delimited_head(field, size)
        head = outer + head
        size += len(outer)
    return b"".join((head, data, tail))


def body_as_it_is(kind: int) -> bytes:
    """What came of a body goes on; where bodies are not streamed both ways at once."""
    return delimited(kind - 1, delimited(1, b""))


def trailers_response(kind: int) -> bytes:
    """Trailers go on as they are."""
    return delimited(kind - 1, b"")


def immediate_response(
    status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, details: str
) -> bytes:
    """The client is answered in the endpoint's place."""
    answer = delimited(1, number(1, status))
    if headers:
        answer += delimited(2, _mutation(headers))
    if body:
        answer += delimited(3, body)
    if details:
        answer += delimited(5, details.encode())
    return delimited(_IMMEDIATE, answer)


def _mutation(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A HeaderMutation that sets them."""
    options: list[bytes] = []
    for name, value in headers:
        header = delimited(1, name) + delimited(3, value)
        options.append(delimited(1, delimited(1, header) + _OVERWRITE))
    return b"".join(options)
