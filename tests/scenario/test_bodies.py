"""Bodies arrive whole and unchanged, whichever way they are delimited on either side."""

import hashlib
from collections.abc import Callable

import pytest

from tests.harness.client import Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import answer, answer_of, get, head, post
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, pool, world

pytestmark = pytest.mark.both_fronts

MIB = 1024 * 1024


@pytest.fixture
def balanced(start: Callable[..., Worker], endpoint: HttpEndpoint) -> tuple[Worker, HttpEndpoint]:
    return start(world(pool(endpoint))), endpoint


def answered(endpoint: HttpEndpoint, worker: Worker, reply: Answer, request: bytes) -> Response:
    """What a client gets when the endpoint answers so."""
    endpoint.answer = lambda _: reply
    method = request.split()[0].decode()
    with worker.connect() as client:
        return client.request(request, method)


@pytest.mark.http1_only
def test_chunked_answer_with_trailers(balanced: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = balanced
    reply = Answer(
        chunks=(b"one", b"two"),
        headers=(("Trailer", "X-Checksum"),),
        trailers=(("X-Checksum", "abc"), ("grpc-status", "0")),
    )
    response = answered(endpoint, worker, reply, get())
    assert response.body == b"onetwo"
    assert response.trailers.fields == [("x-checksum", "abc"), ("grpc-status", "0")]


@pytest.mark.http1_only
def test_chunked_request_with_trailers(balanced: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = balanced
    body = b"3\r\none\r\n3;ext=1\r\ntwo\r\n0\r\nX-Checksum: abc\r\n\r\n"
    with worker.connect() as client:
        assert client.request(post("Transfer-Encoding: chunked", body=body), "POST").status == 200
    assert endpoint.last.body == b"onetwo"
    assert endpoint.last.trailers.fields == [("x-checksum", "abc")]
    assert b"ext" not in endpoint.received


def test_chunked_answer_for_http10_is_plain(balanced: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = balanced
    reply = Answer(chunks=(b"one", b"two"), trailers=(("X-Checksum", "abc"),))
    response = answered(endpoint, worker, reply, head("GET / HTTP/1.0"))
    assert "transfer-encoding" not in response.headers
    assert response.body == b"onetwo"


@pytest.mark.parametrize("reply", [Answer(body=b"x" * 100), Answer(chunks=(b"x" * 100,))])
def test_answer_to_head_has_no_body(balanced: tuple[Worker, HttpEndpoint], reply: Answer) -> None:
    worker, endpoint = balanced
    endpoint.answer = lambda _: reply
    with worker.connect() as client:
        for _ in range(2):
            response = client.request(head("HEAD / HTTP/1.1"), "HEAD")
            assert (response.status, response.body) == (200, b"")
            if reply.body:
                assert response.headers["content-length"] == "100"
        assert client.get().body == b"x" * 100
    assert {request.connection for request in endpoint.requests} == {0}


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body(balanced: tuple[Worker, HttpEndpoint], status: int) -> None:
    worker, endpoint = balanced
    endpoint.answer = lambda _: Answer(status=status, headers=(("ETag", '"1"'),))
    with worker.connect() as client:
        for _ in range(2):
            response = client.get()
            assert (response.status, response.body) == (status, b"")
            assert response.headers["etag"] == '"1"'
            assert "transfer-encoding" not in response.headers
    assert {request.connection for request in endpoint.requests} == {0}


def test_length_of_a_304_is_passed_on_and_no_body_awaited(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """RFC 9110, 15.4.5: it tells the length that a 200 would have."""

    def not_modified(connection: EndpointConnection) -> None:
        while True:
            connection.receive_head()
            connection.send(answer("Content-Length: 9", status="304 Not Modified", body=b""))

    client = start(world(pool(scripted(not_modified)))).connect()
    for _ in range(2):
        response = client.get()
        assert (response.status, response.headers["content-length"]) == (304, "9")


def test_interim_answers_are_passed_on(balanced: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = balanced
    link = (("Link", "</style.css>; rel=preload"),)
    reply = Answer(body=b"done", interim=((103, link), (102, ()), (103, link)))
    response = answered(endpoint, worker, reply, get())
    assert [status for status, _ in response.interim] == [103, 102, 103]
    assert response.interim[0][1]["link"] == link[0][1]
    assert response.body == b"done"


def test_interim_answers_are_kept_from_http10(balanced: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = balanced
    reply = Answer(body=b"done", interim=((103, ()),))
    response = answered(endpoint, worker, reply, head("GET / HTTP/1.0"))
    assert (response.interim, response.body) == ([], b"done")


# Expect: 100-continue

EXPECTING = post("Content-Length: 5", "Expect: 100-continue")


def test_endpoint_that_says_continue_gets_the_body(balanced: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = balanced
    with worker.connect() as client:
        client.send(EXPECTING)
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        assert client.read_response("POST").status == 200
        assert client.get().status == 200
    assert endpoint.requests[0].body == b"hello"


def test_endpoint_that_answers_at_once_spares_the_body(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def refuse(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer_of(b"no", status="401 Unauthorized"))
        connection.receive_to_end()

    endpoint = scripted(refuse)
    client = start(world(pool(endpoint, retry=NEVER_REPEAT))).connect()
    client.send(EXPECTING)
    response = client.read_response("POST")
    assert (response.status, response.body) == (401, b"no")
    assert not endpoint.received.endswith(b"hello")


def test_endpoint_that_never_says_continue_still_gets_the_body(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """RFC 9110, 10.1.1: a client does not wait for ever."""

    def ignore_expectation(connection: EndpointConnection) -> None:
        connection.receive_head()
        body = connection.receive_bytes(5)
        connection.send(answer_of(body))

    endpoint = scripted(ignore_expectation)
    client = start(world(pool(endpoint))).connect()
    client.send(EXPECTING)
    endpoint.connection()
    client.send(b"hello")
    assert client.read_response("POST").body == b"hello"


def test_client_that_does_not_wait_for_continue(balanced: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = balanced
    with worker.connect() as client:
        response = client.request(EXPECTING + b"hello", "POST")
        assert response.status == 200
    assert endpoint.last.body == b"hello"


def test_expectation_of_http10_is_ignored(balanced: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = balanced
    request = head("POST / HTTP/1.0", "Content-Length: 5", "Expect: 100-continue") + b"hello"
    with worker.connect() as client:
        response = client.request(request, "POST")
    assert (response.status, response.interim) == (200, [])
    assert "expect" not in endpoint.last.headers


# Sizes

SIZES = [1, 4095, 4096, 65535, 65536, 65537, 3 * MIB + 7]


def pattern(size: int) -> bytes:
    """Bytes that differ from place to place, so that a lost or moved piece shows."""
    block = hashlib.sha512(str(size).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_bodies_of_any_size_come_through_unchanged(start: Callable[..., Worker], size: int) -> None:
    """Sent by length and in chunks, echoed by length and in chunks."""
    body = pattern(size)

    def echo(request: Recorded) -> Answer:
        if request.target == "/chunks":
            third = size // 3 + 1
            pieces = tuple(request.body[at : at + third] for at in range(0, size, third))
            return Answer(chunks=pieces)
        return Answer(body=request.body)

    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    with HttpEndpoint(echo) as endpoint:
        client = start(world(pool(endpoint))).connect()
        for target in ("/length", "/chunks"):
            by_length = post(f"Content-Length: {size}", body=body, target=target)
            in_chunks = post("Transfer-Encoding: chunked", body=chunk, target=target)
            assert client.request(by_length, "POST").body == body
            assert client.request(in_chunks, "POST").body == body
