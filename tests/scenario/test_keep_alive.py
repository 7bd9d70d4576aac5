"""Connections of both sides are kept and used again, and pipelined answers keep their order."""

from collections.abc import Callable, Iterator

import pytest

from penstock.core.snapshot import Limits
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import answer_of, get, head, post
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, world


def name_the_target(request: Recorded) -> Answer:
    return Answer(body=request.target.encode())


@pytest.fixture(scope="module")
def naming() -> Iterator[tuple[Worker, HttpEndpoint]]:
    """A worker before an endpoint that answers with the target it was asked for."""
    with HttpEndpoint(name_the_target) as endpoint, Worker(world(pool(endpoint))) as worker:
        yield worker, endpoint


def test_both_sides_keep_their_connections(naming: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = naming
    endpoint.forget()
    client = worker.connect()
    for number in range(5):
        assert client.get(f"/{number}").body == f"/{number}".encode()
    assert len({request.connection for request in endpoint.requests}) == 1


def test_clients_one_after_the_other_share_an_endpoint_connection(
    naming: tuple[Worker, HttpEndpoint],
) -> None:
    worker, endpoint = naming
    endpoint.forget()
    for _ in range(3):
        with worker.connect() as client:
            client.get()
    assert len({request.connection for request in endpoint.requests}) == 1


def test_pipelined_requests_are_answered_in_order(naming: tuple[Worker, HttpEndpoint]) -> None:
    client = naming[0].connect()
    targets = [f"/{number}" for number in range(200)]
    client.send(b"".join(get(target) for target in targets))
    assert [client.read_response().body.decode() for _ in targets] == targets


def test_pipelined_bodies_and_bodiless_requests_mix(naming: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = naming
    endpoint.forget()
    client = worker.connect()
    client.send(
        post("Content-Length: 5", body=b"hello", target="/1")
        + get("/2")
        + post("Transfer-Encoding: chunked", body=b"5\r\nworld\r\n0\r\n\r\n", target="/3")
        + head("HEAD /4 HTTP/1.1")
        + get("/5")
    )
    methods = ["POST", "GET", "POST", "HEAD", "GET"]
    answers = [client.read_response(method).body for method in methods]
    assert answers == [b"/1", b"/2", b"/3", b"", b"/5"]
    assert [request.body for request in endpoint.requests] == [b"hello", b"", b"world", b"", b""]


def test_pipelined_request_after_a_slow_one_waits_for_its_turn(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def answer_slowly(connection: EndpointConnection) -> None:
        while True:
            target = connection.receive_head().split()[1]
            if target == b"/slow":
                connection.go_on.wait()
            connection.send(answer_of(target))

    endpoint = scripted(answer_slowly)
    client = start(world(pool(endpoint))).connect()
    client.send(get("/slow") + get("/quick"))
    endpoint.connection().go_on.set()
    assert [client.read_response().body for _ in range(2)] == [b"/slow", b"/quick"]


def test_more_pipelined_requests_than_are_held_wait_in_the_kernel(
    naming: tuple[Worker, HttpEndpoint],
) -> None:
    """Ten thousand requests sent ahead: every one is answered, in order."""
    client = naming[0].connect()
    client.send(b"".join(get(f"/{n}", f"X-Padding: {'p' * 400}") for n in range(1000)))
    answers = [client.read_response().body for _ in range(1000)]
    assert answers == [f"/{n}".encode() for n in range(1000)]


def test_empty_line_before_a_request_is_ignored(naming: tuple[Worker, HttpEndpoint]) -> None:
    """RFC 9112, 2.2."""
    client = naming[0].connect()
    for target in ("/1", "/2"):
        assert client.request(b"\r\n" + get(target)).body == target.encode()


def test_client_that_asks_for_the_end_gets_it(naming: tuple[Worker, HttpEndpoint]) -> None:
    client = naming[0].connect()
    response = client.get("/", "Connection: close")
    assert response.closes
    client.expect_end()
    assert not client.was_reset


def test_request_after_connection_close_is_not_served(naming: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = naming
    endpoint.forget()
    client = worker.connect()
    client.send(get("/last", "Connection: close") + get("/after"))
    assert client.read_response().body == b"/last"
    client.expect_end()
    assert [request.target for request in endpoint.requests] == ["/last"]


def test_http10_client_gets_one_answer_and_the_end(naming: tuple[Worker, HttpEndpoint]) -> None:
    worker, endpoint = naming
    client = worker.connect()
    assert client.request(head("GET /old HTTP/1.0", host=None)).body == b"/old"
    client.expect_end()
    assert endpoint.last.version == "1.1"
    assert endpoint.last.headers["host"] == endpoint.name


def test_http10_client_may_keep_its_connection(naming: tuple[Worker, HttpEndpoint]) -> None:
    client = naming[0].connect()
    for _ in range(3):
        response = client.request(head("GET / HTTP/1.0", "Connection: keep-alive"))
        assert response.headers["connection"].lower() == "keep-alive"


def test_requests_per_connection_are_limited(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    limits = Limits(requests_per_connection=3)
    worker = start(world(pool(endpoint), listeners=[listener(limits=limits)]))
    client = worker.connect()
    assert [client.get().closes for _ in range(3)] == [False, False, True]
    client.expect_end()


def test_endpoint_that_closes_does_not_close_the_client(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def answer_once(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")

    endpoint = scripted(answer_once)
    client = start(world(pool(endpoint))).connect()
    for _ in range(3):
        response = client.get()
        assert (response.status, response.body, response.closes) == (200, b"ok", False)
    assert len(endpoint.connections) == 3
