"""gRPC's health protocol, and its messages on a stream."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.grpc_health import (
    MALFORMED,
    NOT_SERVING,
    SERVICE_UNKNOWN,
    SERVING,
    UNKNOWN,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from penstock.wire.grpc_messages import MessageReader, encode_message

# --- messages on a stream ----------------------------------------------------------------------


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
def test_messages_are_read_however_they_are_cut(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join([encode_message(each) for each in messages])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = MessageReader(40)
    read: list[bytes] = []
    for start, end in pairwise([0, *cuts, len(stream)]):
        read += reader.feed(stream[start:end])
    assert read == messages
    assert reader.reason == ""
    assert not reader.ends_within


def test_a_message_that_is_not_whole_is_known() -> None:
    whole = encode_message(b"abc")
    assert whole == b"\0\0\0\0\3abc"
    for cut in range(1, len(whole)):
        reader = MessageReader(10)
        assert reader.feed(whole[:cut]) == []
        assert reader.ends_within
        assert reader.feed(whole[cut:]) == [b"abc"]


@pytest.mark.parametrize("wrong", [b"\0\0\0\0\x0b", b"\0\xff\xff\xff\xff", b"\1", b"\x80", b"\2"])
def test_a_wrong_message_ends_the_reading(wrong: bytes) -> None:
    reader = MessageReader(10)
    assert reader.feed(encode_message(b"before") + wrong) == [b"before"]
    assert reader.reason.startswith("gRPC: a message ")
    assert not reader.ends_within
    assert reader.feed(encode_message(b"behind")) == []


# --- the protocol ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("", b""),
        ("a", b"\x0a\1a"),
        ("grpc.health.v1.Health", b"\x0a\x15grpc.health.v1.Health"),
        ("ü" * 100, b"\x0a\xc8\1" + "ü".encode() * 100),
    ],
)
def test_a_request_names_a_service(service: str, message: bytes) -> None:
    assert encode_request(service) == message
    assert decode_request(message) == service


@pytest.mark.parametrize(
    ("status", "message"),
    [(UNKNOWN, b""), (SERVING, b"\x08\1"), (NOT_SERVING, b"\x08\2"), (SERVICE_UNKNOWN, b"\x08\3")],
)
def test_a_response_tells_a_status(status: int, message: bytes) -> None:
    assert encode_response(status) == message
    assert decode_response(message) == status


# What protobuf's own library (7.36.2, upb) makes of these.
@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\x08\0", UNKNOWN),
        (b"\x08\1\x08\2", NOT_SERVING),
        (b"\x08\2\x08\1", SERVING),
        (b"\x08\x81\0", SERVING),
        (b"\x88\0\1", SERVING),
        (b"\x08\x81\x80\x80\x80\x10", SERVING),  # 2^32 + 1: an enum has 32 bits
        (b"\x08\7", 7),
        (b"\x08" + b"\xff" * 9 + b"\1", 0xFFFF_FFFF),
        (b"\x08\x81\x80\x80\x80\x08", 0x8000_0001),
        (b"\x08\1\x12\3abc\x18\5\x25abcd\x31abcdefgh", SERVING),  # fields to come
        (b"\x0a\1\1", UNKNOWN),  # field 1 of another type is another field
        (b"\x0d\1\0\0\0", UNKNOWN),
        (b"\x08", MALFORMED),
        (b"\x08\x80", MALFORMED),
        (b"\x08" + b"\xff" * 10 + b"\1", MALFORMED),
        (b"\0\1", MALFORMED),
        (b"\x0b", MALFORMED),
        (b"\x0c", MALFORMED),
        (b"\x0e\1", MALFORMED),
        (b"\x08\1\x12\4abc", MALFORMED),
        (b"\x08\1\x25abc", MALFORMED),
        (b"\x08\1\x31abcdefg", MALFORMED),
        (b"\x08\1\x12" + b"\xff" * 9 + b"\1", MALFORMED),
        (b"not protobuf", MALFORMED),
    ],
)
def test_a_response_is_read_as_protobuf_reads_it(message: bytes, status: int) -> None:
    assert decode_response(message) == status


@pytest.mark.parametrize(
    ("message", "service"),
    [
        (b"\x0a\0", ""),
        (b"\x0a\1a\x0a\1b", "b"),
        (b"\x12\1x\x0a\1a\x18\5", "a"),
        (b"\x0a\x81\0a", "a"),
        (b"\x08\1", ""),
        (b"\x0a\1\xff", None),
        (b"\x0a\1\xff\x0a\1a", None),
        (b"\x0a\2a", None),
        (b"\x0a", None),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1a", None),
    ],
)
def test_a_request_is_read_as_protobuf_reads_it(message: bytes, service: str | None) -> None:
    assert decode_request(message) == service


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(0, 2**31 - 1))
def test_what_was_written_is_read_again(service: str, status: int) -> None:
    assert decode_request(encode_request(service)) == service
    assert decode_response(encode_response(status)) == status


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_malformed(message: bytes) -> None:
    assert MALFORMED <= decode_response(message) < 2**32
    assert (decode_request(message) is None) >= (decode_response(message) == MALFORMED)
