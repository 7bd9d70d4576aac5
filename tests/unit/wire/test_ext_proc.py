"""Envoy's external processing, read and written as protobuf's own library reads and writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire import ext_proc
from penstock.wire.ext_proc import decode_request
from tests.harness.ext_proc_messages import (
    ProcessingRequest,
    ProcessingResponse,
    body,
    request_headers,
    response_headers,
)

_NAMES = st.text("abc-:", max_size=8)
_VALUES = st.text(max_size=20)
_PLACES = st.lists(st.from_regex(r"\A10\.0\.0\.[0-9]{1,3}:80\Z"), max_size=4)


@given(
    st.dictionaries(_NAMES, _VALUES, max_size=5),
    st.booleans(),
    st.none() | st.tuples(st.integers(0, 5), st.integers(0, 5)),
    st.none() | _PLACES,
)
def test_the_first_message_is_read(
    headers: dict[str, str],
    ends: bool,
    modes: tuple[int, int] | None,
    subset: list[str] | None,
) -> None:
    told = request_headers(headers, ends=ends, modes=modes, subset=subset)
    read = decode_request(told.SerializeToString())
    assert read is not None
    assert read.kind == ext_proc.REQUEST_HEADERS
    assert read.headers == [(name.encode(), value.encode()) for name, value in headers.items()]
    assert (read.ends, read.subset) == (ends, subset)
    assert (read.request_body_mode, read.response_body_mode) == (modes or (-1, -1))


@given(st.binary(max_size=300), st.booleans())
def test_bodies_are_read(data: bytes, ends: bool) -> None:
    for name, kind in (
        ("request_body", ext_proc.REQUEST_BODY),
        ("response_body", ext_proc.RESPONSE_BODY),
    ):
        read = decode_request(body(name, data, ends=ends).SerializeToString())
        assert read is not None
        assert (read.kind, read.body, read.ends) == (kind, data, ends)


def test_the_endpoint_that_served_is_read() -> None:
    told = response_headers({":status": "200"}, ends=True, served="10.0.0.1:80")
    read = decode_request(told.SerializeToString())
    assert read is not None
    assert (read.kind, read.served, read.ends) == (
        ext_proc.RESPONSE_HEADERS,
        "10.0.0.1:80",
        True,
    )
    assert read.subset is None


def test_values_of_older_gateways_are_read() -> None:
    told = ProcessingRequest()
    told.request_headers.headers.headers.add(key="a", value="b")
    read = decode_request(told.SerializeToString())
    assert read is not None
    assert read.headers == [(b"a", b"b")]


def test_a_subset_may_be_one_string() -> None:
    told = ProcessingRequest()
    entry = told.metadata_context.filter_metadata.add(key="envoy.lb.subset_hint")
    entry.value.fields[ext_proc.SUBSET].string_value = "10.0.0.1:80, 10.0.0.2:80"
    read = decode_request(told.SerializeToString())
    assert read is not None
    assert read.subset == ["10.0.0.1:80", "10.0.0.2:80"]


@given(st.binary(max_size=60))
def test_no_octets_are_too_strange(data: bytes) -> None:
    """What protobuf's library refuses is refused; what it takes is not always ours."""
    try:
        ProcessingRequest.FromString(data)
    except Exception:  # noqa: BLE001 - of protobuf's own kind
        return
    decode_request(data)


def test_what_is_cut_is_refused() -> None:
    whole = request_headers({"a": "b"}, subset=["10.0.0.1:80"]).SerializeToString()
    kept = [decode_request(whole[:cut]) for cut in range(len(whole))]
    boundaries = [cut for cut, read in enumerate(kept) if read is not None]
    assert len(boundaries) < 5  # between two fields there is nothing to miss


def test_a_head_has_so_many_fields() -> None:
    told = request_headers({f"x-{number}": "" for number in range(1001)})
    assert decode_request(told.SerializeToString()) is None


def test_lists_in_lists_are_not_followed() -> None:
    value = b""
    for _ in range(20_000):
        inner = b"\x0a" + _varint(len(value)) + value
        value = b"\x32" + _varint(len(inner)) + inner
    entry = b"\x0a" + _varint(len(ext_proc.SUBSET)) + ext_proc.SUBSET.encode()
    entry += b"\x12" + _varint(len(value)) + value
    struct = b"\x0a" + _varint(len(entry)) + entry
    name = ext_proc.SUBSET_NAMESPACE.encode()
    space = b"\x0a" + _varint(len(name)) + name + b"\x12" + _varint(len(struct)) + struct
    metadata = b"\x0a" + _varint(len(space)) + space
    read = decode_request(b"\x42" + _varint(len(metadata)) + metadata)
    assert read is not None
    assert read.subset == []


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


# --- answers -----------------------------------------------------------------------------------


def test_the_pick_is_told_in_a_header_and_in_metadata() -> None:
    picked = "10.0.0.1:80,10.0.0.2:80"
    told = ProcessingResponse.FromString(
        ext_proc.headers_response(
            ext_proc.REQUEST_HEADERS,
            [(b"x-gateway-destination-endpoint", picked.encode())],
            ext_proc.picked_metadata(picked),
            [b"content-encoding"],
        )
    )
    assert told.WhichOneof is not None
    common = told.request_headers.response
    (option,) = common.header_mutation.set_headers
    assert (option.header.key, option.header.raw_value) == (
        "x-gateway-destination-endpoint",
        picked.encode(),
    )
    assert option.append_action == 2  # OVERWRITE_IF_EXISTS_OR_ADD
    assert list(common.header_mutation.remove_headers) == ["content-encoding"]
    assert common.clear_route_cache
    spaces = dict(told.dynamic_metadata)
    assert dict(spaces["envoy.lb"]) == {"x-gateway-destination-endpoint": picked}


@given(st.binary(max_size=70_000), st.booleans())
def test_bodies_go_back(data: bytes, ends: bool) -> None:
    told = ProcessingResponse.FromString(ext_proc.streamed_body(ext_proc.REQUEST_BODY, data, ends))
    streamed = told.request_body.response.body_mutation.streamed_response
    assert (streamed.body, streamed.end_of_stream) == (data, ends)
    told = ProcessingResponse.FromString(ext_proc.streamed_body(ext_proc.RESPONSE_BODY, data, ends))
    assert told.response_body.response.body_mutation.streamed_response.body == data


def test_what_goes_on_as_it_is() -> None:
    read = ProcessingResponse.FromString
    told = read(ext_proc.headers_response(ext_proc.RESPONSE_HEADERS))
    assert told.HasField("response_headers")
    assert not told.HasField("dynamic_metadata")
    assert read(ext_proc.body_as_it_is(ext_proc.RESPONSE_BODY)).HasField("response_body")
    assert read(ext_proc.trailers_response(ext_proc.REQUEST_TRAILERS)).HasField("request_trailers")


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_is_told(status: int) -> None:
    told = ProcessingResponse.FromString(
        ext_proc.immediate_response(status, [(b"retry-after", b"2")], b"{}", "shed")
    ).immediate_response
    assert (told.status.code, told.body, told.details) == (status, b"{}", "shed")
    (option,) = told.headers.set_headers
    assert (option.header.key, option.header.raw_value) == ("retry-after", b"2")
