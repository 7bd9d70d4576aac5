"""gRPC-Web: the end of a response in its body, written and read."""

from base64 import b64encode
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.chunked import LAST_CHUNK, encode_chunk
from penstock.wire.grpc_messages import encode_message
from penstock.wire.grpc_web import StatusReader, trailers_frame


def read(pieces: list[bytes], *, in_base64: bool = False, in_chunks: bool = False) -> int:
    reader = StatusReader(in_base64, in_chunks)
    for piece in pieces:
        reader.feed(piece)
    return reader.status()


def test_trailers_are_the_last_frame() -> None:
    assert trailers_frame(0, "", False) == b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
    frame = trailers_frame(14, "full: 100%", False)
    assert frame[5:] == b"grpc-status:14\r\ngrpc-message:full: 100%25\r\n"
    assert trailers_frame(14, "full: 100%", True) == b64encode(frame)


@given(
    st.lists(st.binary(max_size=3000), max_size=4),
    st.integers(0, 16),
    st.lists(st.integers(0, 9000), max_size=5),
    st.booleans(),
    st.booleans(),
)
def test_status_is_read_however_a_body_is_cut(
    messages: list[bytes], status: int, cuts: list[int], in_base64: bool, in_chunks: bool
) -> None:
    frames = [encode_message(each) for each in messages] + [trailers_frame(status, "x", False)]
    body = b"".join([b64encode(frame) if in_base64 else frame for frame in frames])
    marks = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:stop] for start, stop in pairwise(marks)]
    if in_chunks:
        pieces = [encode_chunk(piece) for piece in pieces if piece] + [LAST_CHUNK]
    assert read(pieces, in_base64=in_base64, in_chunks=in_chunks) == status


@given(st.binary(max_size=5000), st.booleans())
def test_any_bytes_are_read_without_an_error(body: bytes, in_base64: bool) -> None:
    assert -1 <= read([body], in_base64=in_base64) <= 16


@pytest.mark.parametrize(
    "end",
    [
        b"",
        encode_message(b"grpc-status:0\r\n"),
        trailers_frame(0, "", False)[:-1],
        trailers_frame(0, "", False) + b"x",
        trailers_frame(0, "a" * 3000, False),
        b"\x80\x00\x00\x00\x04x:1\r",
    ],
)
def test_a_body_without_such_an_end_tells_none(end: bytes) -> None:
    assert read([encode_message(b"hello"), end]) == -1


def test_field_names_have_any_case_and_blanks_around_their_values() -> None:
    lines = b"X-Own: a\r\nGrpc-Status: 5\r\n"
    assert read([b"\x80" + len(lines).to_bytes(4, "big") + lines]) == 5


def test_little_is_kept_of_a_long_body() -> None:
    reader = StatusReader(False, False)
    for _ in range(100):
        reader.feed(bytes(1000))
    assert len(reader._tail) <= 2048
