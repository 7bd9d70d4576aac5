"""Messages of Envoy's external processing, by protobuf's own library.

The part of external_processor.proto (and of what it imports) that the Endpoint Picker protocol
uses, with the field numbers of Envoy's API; ``Struct`` is protobuf's.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "ext_proc_of_tests"
_STRUCT = ".google.protobuf.Struct"
_SCALARS = {
    "bytes": _Field.TYPE_BYTES,
    "string": _Field.TYPE_STRING,
    "bool": _Field.TYPE_BOOL,
    "enum": _Field.TYPE_INT32,
}
# message → field → (number, type); "*" before a type: repeated.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "HeaderValue": {"key": (1, "string"), "value": (2, "string"), "raw_value": (3, "bytes")},
    "HeaderMap": {"headers": (1, "*HeaderValue")},
    "HttpHeaders": {"headers": (1, "HeaderMap"), "end_of_stream": (3, "bool")},
    "HttpBody": {"body": (1, "bytes"), "end_of_stream": (2, "bool")},
    "HttpTrailers": {"trailers": (1, "HeaderMap")},
    "MetadataEntry": {"key": (1, "string"), "value": (2, _STRUCT)},
    "Metadata": {"filter_metadata": (1, "*MetadataEntry")},
    "ProtocolConfiguration": {"request_body_mode": (1, "enum"), "response_body_mode": (2, "enum")},
    "ProcessingRequest": {
        "request_headers": (2, "HttpHeaders"),
        "response_headers": (3, "HttpHeaders"),
        "request_body": (4, "HttpBody"),
        "response_body": (5, "HttpBody"),
        "request_trailers": (6, "HttpTrailers"),
        "response_trailers": (7, "HttpTrailers"),
        "metadata_context": (8, "Metadata"),
        "observability_mode": (10, "bool"),
        "protocol_config": (11, "ProtocolConfiguration"),
    },
    "HeaderValueOption": {"header": (1, "HeaderValue"), "append_action": (3, "enum")},
    "HeaderMutation": {"set_headers": (1, "*HeaderValueOption"), "remove_headers": (2, "*string")},
    "StreamedBodyResponse": {"body": (1, "bytes"), "end_of_stream": (2, "bool")},
    "BodyMutation": {"streamed_response": (3, "StreamedBodyResponse")},
    "CommonResponse": {
        "status": (1, "enum"),
        "header_mutation": (2, "HeaderMutation"),
        "body_mutation": (3, "BodyMutation"),
        "clear_route_cache": (5, "bool"),
    },
    "HeadersResponse": {"response": (1, "CommonResponse")},
    "BodyResponse": {"response": (1, "CommonResponse")},
    "TrailersResponse": {"header_mutation": (1, "HeaderMutation")},
    "HttpStatus": {"code": (1, "enum")},
    "ImmediateResponse": {
        "status": (1, "HttpStatus"),
        "headers": (2, "HeaderMutation"),
        "body": (3, "bytes"),
        "details": (5, "string"),
    },
    "ProcessingResponse": {
        "request_headers": (1, "HeadersResponse"),
        "response_headers": (2, "HeadersResponse"),
        "request_body": (3, "BodyResponse"),
        "response_body": (4, "BodyResponse"),
        "request_trailers": (5, "TrailersResponse"),
        "response_trailers": (6, "TrailersResponse"),
        "immediate_response": (7, "ImmediateResponse"),
        "dynamic_metadata": (8, _STRUCT),
    },
}


def _described() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="ext_proc_of_tests.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/struct.proto"],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            repeated = kind.startswith("*")
            kind = kind.removeprefix("*")
            added = message.field.add(
                name=field,
                number=number,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
                type=_SCALARS.get(kind, _Field.TYPE_MESSAGE),
            )
            if kind not in _SCALARS:
                added.type_name = kind if kind.startswith(".") else f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    described = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(described)
    pool.Add(described)
    pool.Add(file)
    return pool


_POOL = _described()


def _class_of(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


ProcessingRequest: Any = _class_of("ProcessingRequest")
ProcessingResponse: Any = _class_of("ProcessingResponse")
_MetadataEntry: Any = _class_of("MetadataEntry")


def request_headers(
    headers: dict[str, str],
    *,
    ends: bool = False,
    modes: tuple[int, int] | None = (4, 4),
    subset: list[str] | None = None,
) -> Any:
    """The first message of a stream. ``modes``: how bodies of requests and answers are told."""
    told = ProcessingRequest()
    _fill(told.request_headers.headers.headers, headers)
    told.request_headers.end_of_stream = ends
    if modes is not None:
        told.protocol_config.request_body_mode = modes[0]
        told.protocol_config.response_body_mode = modes[1]
    if subset is not None:
        entry = told.metadata_context.filter_metadata.add(key="envoy.lb.subset_hint")
        entry.value.fields["x-gateway-destination-endpoint-subset"].list_value.SetInParent()
        for place in subset:
            listed = entry.value.fields["x-gateway-destination-endpoint-subset"].list_value
            listed.values.add(string_value=place)
    return told


def response_headers(headers: dict[str, str], *, ends: bool = False, served: str = "") -> Any:
    told = ProcessingRequest()
    _fill(told.response_headers.headers.headers, headers)
    told.response_headers.end_of_stream = ends
    if served:
        entry = told.metadata_context.filter_metadata.add(key="envoy.lb")
        entry.value.fields["x-gateway-destination-endpoint-served"].string_value = served
    return told


def body(kind: str, data: bytes, *, ends: bool = False) -> Any:
    """``kind``: request_body or response_body."""
    told = ProcessingRequest()
    getattr(told, kind).body = data
    getattr(told, kind).end_of_stream = ends
    return told


def set_headers(response: Any) -> dict[str, str]:
    """What an answer to headers sets in them."""
    options = response.response.header_mutation.set_headers
    return {each.header.key: each.header.raw_value.decode() for each in options}


def _fill(headers: Any, told: dict[str, str]) -> None:
    for name, value in told.items():
        headers.add(key=name, raw_value=value.encode())
