"""Trailers, from either front to either kind of endpoint and back, as far as they may pass."""

from collections.abc import Callable

import pytest

from penstock.core.snapshot import Http2
from tests.harness.http2_client import Http2Client, StreamAnswer
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import post
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, world

Start = Callable[..., Worker]
# What would change how a message is read, routed or let in (RFC 9110, 6.5.1).
FORBIDDEN = (
    "content-length",
    "content_length",
    "host",
    "authorization",
    "cookie",
    "x-forwarded-for",
    "x-request-id",
    "te",
    "trailer",
    "content-type",
    "client-cert",  # which tells of a certificate that somebody verified (RFC 9440)
)


@pytest.fixture(params=["http1", "http2"])
def worker(request: pytest.FixtureRequest, start: Start, endpoint: HttpEndpoint) -> Worker:
    """Its endpoint speaks the one or the other; what reaches a server is seen in ``endpoint``."""
    if request.param == "http1":
        return start(world(pool(endpoint)))
    inner = start(world(pool(endpoint), listeners=[listener(http2=Http2())]))
    return start(world(pool(at(Address(inner.address()[1]), http2=True))))


def ask_http1(worker: Worker, body: bytes, *trailers: tuple[str, str]) -> int:
    chunks = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    lines = "".join([f"{name}: {value}\r\n" for name, value in trailers]).encode()
    client = worker.connect()
    client.send(post("Transfer-Encoding: chunked", body=chunks + b"0\r\n" + lines + b"\r\n"))
    return client.read_response("POST").status


def ask_http2(worker: Worker, body: bytes, *trailers: tuple[str, str]) -> int:
    return sent_over_http2(worker, body, (), trailers).status


def sent_over_http2(
    worker: Worker,
    body: bytes,
    fields: tuple[tuple[str, str], ...],
    trailers: tuple[tuple[str, str], ...],
) -> StreamAnswer:
    with Http2Client(worker.address()) as client:
        stream = client.begin("/form", *fields, method="POST", end=False)
        client.send_data(stream, body, end=False)
        client.h2.send_headers(stream, trailers, end_stream=True)
        client.flush()
        return client.wait(stream)


def test_trailers_pass_behind_the_body(worker: Worker, endpoint: HttpEndpoint) -> None:
    for ask in (ask_http1, ask_http2):
        for size in (1, 100_000, 1_000_000):
            body = bytes(range(256)) * (size // 256) + bytes(size % 256)
            assert ask(worker, body, ("x-checksum", "abc"), ("x-empty", "")) == 200
            assert endpoint.last.body == body
            assert endpoint.last.trailers.fields == [("x-checksum", "abc"), ("x-empty", "")]
            assert "x-checksum" not in endpoint.last.headers


def test_trailers_that_may_not_be_any_are_dropped(worker: Worker, endpoint: HttpEndpoint) -> None:
    given = [(name, "trailers" if name == "te" else "5") for name in FORBIDDEN]
    for ask in (ask_http1, ask_http2):
        assert ask(worker, b"hello", *given, ("x-good", "1")) == 200
        assert endpoint.last.trailers.fields == [("x-good", "1")]
        assert endpoint.last.body == b"hello"
    # Of HTTP/1.1, with a length told, there is no place for them.
    told = (("content-length", "5"),)
    assert sent_over_http2(worker, b"hello", told, (("x-checksum", "abc"),)).status == 200
    assert endpoint.last.body == b"hello"
    assert endpoint.last.trailers.fields == []


@pytest.mark.parametrize("chunks", [(b"hello",), (b"h" * 100_000, b"i"), ()])
def test_trailers_of_answers_reach_clients_of_either_protocol(
    worker: Worker, endpoint: HttpEndpoint, chunks: tuple[bytes, ...]
) -> None:
    told = (("x-checksum", "abc"), ("set-cookie", "a=b"))  # of which one may not be any
    endpoint.answer = lambda _: Answer(chunks=chunks, trailers=told)
    answer = worker.connect().get("/")
    assert answer.body == b"".join(chunks)
    assert answer.trailers.fields == [("x-checksum", "abc")]
    with Http2Client(worker.address()) as client:
        stream = client.wait(client.begin("/"))
        assert (stream.status, stream.body) == (200, b"".join(chunks))
        assert stream.trailers == [("x-checksum", "abc")]
