"""Which form of an answer a client gets by its Accept and Accept-Encoding (RFC 9110, 12.5)."""

import pytest

from penstock.wire.negotiation import best_coding, best_type

TEXT, JSON, HTML = b"text/plain", b"application/json", b"text/html"
ALL = [TEXT, JSON, HTML]
CHROME = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (CHROME, HTML),
        (b"application/json", JSON),
        (b"application/json, text/plain, */*", JSON),  # axios
        (b"*/*", TEXT),  # curl
        (b"", TEXT),
        (b"text/*", TEXT),
        (b"text/*;q=0.5, text/html;q=0.9", HTML),
        (b"text/html;q=0, */*", TEXT),
        (b"TEXT/HTML;Q=1.0", HTML),
        (b"text/html;level=1;q=0.4, application/json;q=0.5", JSON),
        (b"text/html;q=often, application/json;q=0.1", JSON),
    ],
)
def test_a_client_gets_the_type_that_it_likes_best(accept: bytes, given: bytes) -> None:
    assert ALL[best_type(accept, ALL)] == given


@pytest.mark.parametrize("accept", [b"image/png", b"text/html;q=0", b"*/*;q=0"])
def test_a_client_that_takes_none_gets_none(accept: bytes) -> None:
    assert best_type(accept, [HTML]) == -1


@pytest.mark.parametrize(
    ("accepted", "given"),
    [
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"gzip", b"gzip"),
        (b"x-gzip", b"gzip"),
        (b"zstd;q=0.5, gzip", b"gzip"),
        (b"*", b"zstd"),
        (b"zstd;q=0, *", b"gzip"),
        (b"identity, gzip;q=0.5", b""),
        (b"identity;q=0.5, gzip;q=0.5", b"gzip"),
        (b"gzip;q=0", b""),
        (b"gzip;q=0.000", b""),
        (b"br", b""),
        (b"", b""),
    ],
)
def test_a_client_gets_a_coding_that_it_takes(accepted: bytes, given: bytes) -> None:
    assert best_coding(accepted, [b"zstd", b"gzip"]) == given
