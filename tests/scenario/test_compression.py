"""Answers compressed for clients that accept it, and those that never are."""

import gzip
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.snapshot import Compression, Match
from penstock.dataplane.exchange.compressed_body import SLICE_BYTES
from penstock.dataplane.io.connection import READ_BYTES
from penstock.wire.chunked import LAST_CHUNK, encode_chunk
from penstock.wire.content_coding import zstd_module
from tests.harness.client import Response
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import head as message
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, route, world

pytestmark = pytest.mark.both_fronts

TEXT = b"".join(b"<p>line %d of a page</p>\n" % number for number in range(3000))
TYPE = ("Content-Type", "text/html; charset=utf-8")
GZIP = "Accept-Encoding: gzip"
ON = Compression()


def compressing(*members: Any, **settings: Any) -> Any:
    return world(pool(*members, compression=Compression(**settings)))


@pytest.fixture
def page(endpoint: HttpEndpoint) -> HttpEndpoint:
    """Answers a page with an ETag."""
    endpoint.answer = lambda _: Answer(body=TEXT, headers=(TYPE, ("ETag", '"a"')))
    return endpoint


def decoded(answered: Response) -> bytes:
    (coding,) = answered.headers.all("content-encoding")
    if coding == "gzip":
        return gzip.decompress(answered.body)
    plain: bytes = zstd_module().decompress(answered.body)
    return plain


def is_plain(answered: Response) -> bool:
    return not answered.headers.all("content-encoding")


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0.1, gzip;q=0.2", "gzip")],
)
def test_a_page_comes_in_the_coding_that_its_client_likes_best(
    start: Callable[..., Worker], page: HttpEndpoint, accepted: str, coding: str
) -> None:
    client = start(compressing(page)).connect()

    for _ in range(2):  # the second head is a remembered one
        answered = client.get("/", f"Accept-Encoding: {accepted}")

        assert answered.headers.all("content-encoding") == [coding]
        assert len(answered.body) < len(TEXT) / 5
        assert decoded(answered) == TEXT
        assert answered.headers.all("vary") == ["Accept-Encoding"]
        assert answered.headers.all("etag") == ['W/"a"']
        assert not answered.headers.all("content-length")


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br"])
def test_a_client_that_takes_no_coding_gets_the_page_as_it_is(
    start: Callable[..., Worker], page: HttpEndpoint, accepted: str
) -> None:
    """And caches are told that others do not."""
    answered = start(compressing(page)).connect().get("/", f"Accept-Encoding: {accepted}")

    assert answered.body == TEXT
    assert answered.headers.all("vary") == ["Accept-Encoding"]
    assert answered.headers.all("etag") == ['"a"']
    assert answered.headers.all("content-length") == [str(len(TEXT))]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, (("Content-Type", "image/png"),)),
        (200, (("Content-Type", "text/event-stream"),)),
        (200, (TYPE, ("Content-Encoding", "br"))),
        (200, (TYPE, ("Cache-Control", "public, No-Transform"))),
        (200, (TYPE, ("Set-Cookie", "session=secret"))),
        (200, (TYPE, ("Content-Digest", "sha-256=:AA==:"))),
        (206, (TYPE, ("Content-Range", f"bytes 0-{len(TEXT) - 1}/9999999"))),
        (200, ()),
    ],
)
def test_what_must_come_as_it_is_does(
    start: Callable[..., Worker], page: HttpEndpoint, status: int, headers: Any
) -> None:
    page.answer = lambda _: Answer(status, TEXT, headers)
    settings = {"types": ("text/html", "text/*")}

    answered = start(compressing(page, **settings)).connect().get("/", GZIP)

    assert (answered.status, answered.body) == (status, TEXT)
    assert answered.headers.all("content-encoding") in ([], ["br"])
    assert not answered.headers.all("vary")


@pytest.mark.parametrize("told", ["Cookie: session=secret", "Authorization: Bearer secret"])
def test_pages_of_somebody_known_are_left_alone_unless_told_otherwise(
    start: Callable[..., Worker], page: HttpEndpoint, told: str
) -> None:
    """Their secrets could be guessed from the length (BREACH)."""
    worker = start(compressing(page))
    assert is_plain(worker.connect().get("/", GZIP, told))

    worker.apply(compressing(page, private=True))
    assert decoded(worker.connect().get("/", GZIP, told)) == TEXT


def test_short_pages_and_heads_alone_are_left_alone(
    start: Callable[..., Worker], page: HttpEndpoint
) -> None:
    client = start(compressing(page, minimum_size=len(TEXT) + 1)).connect()
    assert is_plain(client.get("/", GZIP))
    asked = message("HEAD / HTTP/1.1", GZIP)
    answered = start(compressing(page)).connect().request(asked, method="HEAD")
    assert is_plain(answered)
    assert answered.headers.all("content-length") == [str(len(TEXT))]


@pytest.mark.parametrize(("came", "compressed"), [(1024, True), (1023, False), (0, False)])
def test_a_page_without_a_length_is_compressed_where_enough_of_it_is_there(
    start: Callable[..., Worker],
    scripted: Callable[..., ScriptedEndpoint],
    came: int,
    compressed: bool,
) -> None:
    """What comes in small pieces may be a stream, and each piece is passed on as it comes."""
    first, rest = TEXT[:came], TEXT[came:]

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        told = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(told + (encode_chunk(first) if first else b""))
        connection.go_on.wait(20)
        connection.send(encode_chunk(rest) + LAST_CHUNK)
        connection.receive_to_end()

    endpoint = scripted(play)
    client = start(compressing(endpoint)).connect()
    client.send(message("GET / HTTP/1.1", GZIP))
    client.put_back(client.read_some())
    endpoint.connection().go_on.set()
    answered = client.read_response()

    assert (decoded(answered) if compressed else answered.body) == TEXT
    assert is_plain(answered) != compressed


def test_each_piece_can_be_read_as_soon_as_it_is_sent(
    start: Callable[..., Worker],
    scripted: Callable[..., ScriptedEndpoint],
    front: str,
) -> None:
    if front == "http2":
        pytest.skip("pieces are read from HTTP/1.1's bytes")
    first, rest = TEXT[:2000], TEXT[2000:]

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        told = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(TEXT)}"
        connection.send(told.encode() + b"\r\n\r\n" + first)
        connection.go_on.wait(20)
        connection.send(rest)
        connection.receive_to_end()

    endpoint = scripted(play)
    client = start(compressing(endpoint)).connect()
    client.send(message("GET / HTTP/1.1", GZIP))
    head = client.read_until(b"\r\n\r\n")
    size = int(client.read_until(b"\r\n"), 16)
    piece = client.read_until(b"\r\n")
    while len(piece) < size + 2:
        piece += client.read_until(b"\r\n")

    assert zlib.decompressobj(31).decompress(piece[:-2]) == first
    endpoint.connection().go_on.set()
    client.put_back(head + b"%x\r\n" % size + piece)
    assert decoded(client.read_response()) == TEXT


def test_an_answer_that_breaks_off_never_looks_whole(
    start: Callable[..., Worker], scripted: Callable[..., ScriptedEndpoint], front: str
) -> None:
    if front == "http2":
        pytest.skip("the end is read from HTTP/1.1's bytes")

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        told = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(TEXT)}"
        connection.send(told.encode() + b"\r\n\r\n" + TEXT[:-1])

    client = start(compressing(scripted(play))).connect()
    client.send(message("GET / HTTP/1.1", GZIP))
    assert not client.read_to_end().endswith(b"0\r\n\r\n")


def test_who_asks_whether_a_compressed_page_changed_is_answered_with_its_own_tag(
    start: Callable[..., Worker], page: HttpEndpoint
) -> None:
    page.answer = lambda _: Answer(304, headers=(("ETag", '"a"'),))
    client = start(compressing(page)).connect()

    answered = client.get("/", GZIP, 'If-None-Match: W/"a"')
    of_plain = client.get("/", GZIP, 'If-None-Match: "a"')

    assert answered.headers.all("etag") == ['W/"a"']
    assert answered.headers.all("vary") == ["Accept-Encoding"]
    assert of_plain.headers.all("etag") == ['"a"']


def test_a_route_says_it_for_its_pools(start: Callable[..., Worker], page: HttpEndpoint) -> None:
    off = Compression(codings=())
    routes = [
        route("main", match=Match(path_kind="prefix", path="/raw"), compression=off),
        route("main", name="rest"),
    ]
    client = start(world(pool(page, compression=ON), routes=routes)).connect()
    assert is_plain(client.get("/raw", GZIP))
    assert decoded(client.get("/", GZIP)) == TEXT


def test_a_large_page_is_compressed_a_slice_at_a_time(
    start: Callable[..., Worker], page: HttpEndpoint, front: str
) -> None:
    """Others have their turns between two slices; what does not shrink tells their size."""
    if front == "http2":
        pytest.skip("slices are seen in HTTP/1.1's chunks")
    body = random.Random(7).randbytes(2_000_000)
    page.answer = lambda _: Answer(body=body, headers=(TYPE,))
    client = start(compressing(page)).connect()
    client.send(message("GET / HTTP/1.1", GZIP, "Connection: close"))
    sent = client.read_to_end()
    at = sent.index(b"\r\n\r\n") + 4
    sizes = []
    while sent[at:] != LAST_CHUNK:
        end = sent.index(b"\r\n", at)
        sizes.append(int(sent[at:end], 16))
        at = end + 2 + sizes[-1] + 2

    assert sizes[0] < READ_BYTES + 100
    assert max(sizes[1:]) < SLICE_BYTES + 100
    assert sum(sizes) > len(body)


def test_a_client_that_stops_reading_holds_up_the_endpoint(
    start: Callable[..., Worker], scripted: Callable[..., ScriptedEndpoint], front: str
) -> None:
    """As without compression."""
    if front == "http2":
        pytest.skip("HTTP/2's windows are tested by its own tests")
    piece = bytes((number * 2654435761 >> 7) & 255 for number in range(65536))

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        told = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000000000\r\n\r\n"
        connection.send(told)
        connection.send_repeated(piece, 0, 200_000_000, 0.3)
        connection.finished = True

    endpoint = scripted(play)
    worker = start(compressing(endpoint))
    client = worker.connect(receive_buffer=4096)
    client.send(message("GET / HTTP/1.1", GZIP))
    wait_until(lambda: endpoint.connection().finished, "the endpoint is held up")
    client.close()
