"""Which answers are compressed, by what their heads say."""

import gzip
import random

import pytest

from penstock.core.snapshot import Compression as Spec
from penstock.dataplane.route.compression import (
    COMPRESSED,
    PASSED_SMALL,
    PASSED_TYPE,
    Compression,
)
from penstock.wire.content_coding import decoder_of
from penstock.wire.content_encoding import encoder_of
from penstock.wire.encoded_head import encoded_head
from penstock.wire.http1 import RequestHead, ResponseHead, all_values, parse_request, parse_response

HTML = "Content-Type: text/html"
SIZED = "Content-Length: 5000"


def asked(*lines: str) -> RequestHead:
    fields = "".join(f"{line}\r\n" for line in ("Host: a", "Accept-Encoding: gzip", *lines))
    return parse_request(f"GET / HTTP/1.1\r\n{fields}\r\n".encode(), 100, 100)


def answered(*lines: str) -> ResponseHead:
    fields = "".join(f"{line}\r\n" for line in lines)
    return parse_response(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode())


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc-web+proto"])
def test_calls_of_grpc_get_no_coding(kind: str) -> None:
    compression = Compression(Spec())
    assert compression.coding_for(asked()) == b"gzip"
    assert compression.coding_for(asked(f"Content-Type: {kind}")) == b""


@pytest.mark.parametrize(
    ("told", "coding"),
    [
        ("Cookie: where=e1", b"gzip"),
        ("Cookie: where=e1; ", b"gzip"),
        ("Cookie: where=e1; session=x", b""),
        ("Cookie: session", b""),
        ("Authorization: Basic eDp5", b""),
    ],
)
def test_the_cookie_that_names_an_endpoint_is_no_secret(told: str, coding: bytes) -> None:
    assert Compression(Spec()).coding_for(asked(told), b"where") == coding
    assert Compression(Spec(private=True)).coding_for(asked(told), b"where") == b"gzip"


def test_all_of_a_kind_is_none_of_its_streams() -> None:
    compression = Compression(Spec(types=("text/*", "application/*")))
    assert compression.verdict(answered("Content-Type: text/x-own; a=b", SIZED)) == COMPRESSED
    for streamed in ("text/event-stream", "Text/Event-Stream", "application/x-ndjson"):
        assert compression.verdict(answered(f"Content-Type: {streamed}", SIZED)) == PASSED_TYPE


def test_a_verdict_is_of_the_settings_that_made_it() -> None:
    """A remembered head outlives a reload."""
    head = answered(HTML, SIZED)
    assert Compression(Spec()).verdict(head) == COMPRESSED
    assert Compression(Spec(minimum_size=5001)).verdict(head) == PASSED_SMALL


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [b"Accept-Encoding"]),
        (["Vary: Cookie"], [b"Cookie", b"Accept-Encoding"]),
        (["Vary: cookie, ACCEPT-encoding"], [b"cookie, ACCEPT-encoding"]),
        (["Vary: *"], [b"*"]),
    ],
)
def test_vary_names_accept_encoding_once(before: list[str], after: list[bytes]) -> None:
    head = encoded_head(answered(HTML, SIZED, *before), b"gzip", True)
    assert [value for lower, _, value in head.fields if lower == b"vary"] == after


def test_a_weak_tag_stays_and_ranges_go() -> None:
    head = encoded_head(answered(HTML, 'ETag: W/"a"', "Accept-Ranges: bytes"), b"zstd", True)
    assert all_values(head.fields, b"etag") == b'W/"a"'
    assert all_values(head.fields, b"accept-ranges") == b""
    assert head.content_length == -1


@pytest.mark.parametrize("coding", [b"gzip", b"zstd"])
def test_all_that_went_in_comes_out_after_each_piece(coding: bytes) -> None:
    chance = random.Random(3)
    pieces = [chance.randbytes(chance.randrange(1, 3000)) * 2 for _ in range(50)]
    encoder = encoder_of(coding, -1)
    decoder = decoder_of(coding, 1 << 20)
    assert decoder is not None
    for piece in pieces:
        assert decoder.feed(encoder.feed(piece)) == piece
    assert decoder.feed(encoder.end(b"last")) == b"last"
    decoder.end()


@pytest.mark.parametrize("size", [0, 1, 1024, 5000, 70_000])
def test_a_window_that_fits_its_body_is_enough(size: int) -> None:
    body = random.Random(size).randbytes(size // 2) * 2
    assert gzip.decompress(encoder_of(b"gzip", len(body)).end(body)) == body
