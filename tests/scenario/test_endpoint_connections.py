"""Connections to endpoints: used again while they live, within bounds; replaced when stale."""

from collections.abc import Callable

import pytest

from penstock.core.snapshot import Connections
from penstock.dataplane.board.layout import L_RESETS, P_RETRIES
from penstock.dataplane.io.loop import SWEEP_S
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer, answer_of, get, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, pool, world

PROOFS = 6  # answered requests after which an endpoint is known to keep connections
POST = post("Content-Length: 5", body=b"hello")


# Stale connections


def answer_once_then(die: Script) -> Script:
    """The first connection answers one request and dies of the second; later ones live."""

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer_of(b"first"))
        while connection.number > 0:
            connection.receive_head()
            connection.send(answer_of(b"later"))
        connection.receive_head()
        die(connection)

    return play


@pytest.mark.parametrize(
    "die",
    [EndpointConnection.reset, EndpointConnection.close],
    ids=["reset", "close"],
)
def test_stale_connection_is_replaced_without_counting_as_a_retry(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    die: Script,
) -> None:
    endpoint = scripted(answer_once_then(die))
    worker = start(world(pool(endpoint, retry=NEVER_REPEAT)))
    client = worker.connect()
    assert [client.get().body for _ in range(3)] == [b"first", b"first", b"later"]
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES) == 0
    assert len(endpoint.connections) == 2


def keep_and_then(die: Script) -> Script:
    """The first connection answers until it is told to, and dies of what comes then."""

    def play(connection: EndpointConnection) -> None:
        while True:
            connection.receive_head()
            if connection.number == 0 and connection.go_on.is_set():
                die(connection)
                return
            connection.send(answer_of(b"ok"))

    return play


def prove_that_connections_are_kept(client: Client) -> None:
    """Until then none takes a POST at once."""
    for _ in range(PROOFS):
        assert client.get().status == 200


def test_post_on_a_stale_connection_is_not_repeated_when_it_arrived(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """The endpoint may have done it before it died."""
    endpoint = scripted(keep_and_then(EndpointConnection.reset))
    client = start(world(pool(endpoint)), held=True).connect()
    prove_that_connections_are_kept(client)
    endpoint.connection().go_on.set()
    assert client.request(POST, "POST").status == 502
    assert endpoint.received.count(b"POST ") == 1


def test_post_that_crossed_the_end_of_its_connection_is_sent_again(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """TCP tells that nobody can have read it: RFC 9112, 9.3.1, lets it be repeated."""

    def answer_until_told(connection: EndpointConnection) -> None:
        for _ in range(PROOFS):
            connection.receive_head()
            connection.send(answer_of(b"ok"))
        if connection.number == 0:
            connection.go_on.wait()
            return
        connection.receive_bytes(5)

    endpoint = scripted(answer_until_told)
    worker = start(world(pool(endpoint, retry=NEVER_REPEAT)), held=True)
    client = worker.connect()
    prove_that_connections_are_kept(client)
    with worker.paused():  # it learns of both at once, of the request first
        client.send(POST)
        endpoint.connection().go_on.set()
        wait_until(lambda: endpoint.connection().finished, "the endpoint closed its connection")
        endpoint.connection().socket.close()
    assert client.read_response().status == 200
    assert endpoint.received.count(b"POST ") == 1
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES) == 0
    assert worker.load(endpoint, L_RESETS) == 0


def test_a_connection_rests_before_a_post_until_the_endpoint_is_known_to_keep_them(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """llama.cpp closes each right after a streamed answer: its end may be under way."""
    worker = start(world(pool(endpoint)), held=True)
    client = worker.connect()
    for _ in range(2):
        assert client.request(POST, "POST").status == 200
    assert len(endpoint.connections) == 2
    for _ in range(PROOFS):
        worker.pass_time(SWEEP_S)  # rested
        assert client.request(POST, "POST").status == 200
    assert len(endpoint.connections) == 2
    for _ in range(3):
        assert client.request(POST, "POST").status == 200
    assert len(endpoint.connections) == 2


def test_a_post_takes_no_connection_that_the_endpoint_is_about_to_close(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """uvicorn closes what was idle for 5 s, and does not say so before."""

    def answer_until_told(connection: EndpointConnection) -> None:
        while True:
            connection.receive_head()
            connection.send(answer_of(b"ok"))
            if connection.number == 0:
                connection.go_on.wait()
                connection.end_sending()
                connection.receive_to_end()
                return

    endpoint = scripted(answer_until_told)
    worker = start(world(pool(endpoint)), held=True)
    client = worker.connect()
    assert client.get().status == 200
    worker.pass_time(5.0)
    endpoint.connection().go_on.set()
    endpoint.wait_for_end(0)
    for _ in range(PROOFS):
        assert client.get().status == 200
    worker.pass_time(4.5)
    assert client.request(POST, "POST").status == 200
    assert len(endpoint.connections) == 3
    worker.pass_time(3.0)
    assert client.request(POST, "POST").status == 200
    assert len(endpoint.connections) == 3


def test_replacement_is_tried_once(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def answer_only_the_first(connection: EndpointConnection) -> None:
        connection.receive_head()
        if connection.number == 0:
            connection.send(answer_of(b"first"))
            connection.receive_head()
        connection.reset()

    endpoint = scripted(answer_only_the_first)
    client = start(world(pool(endpoint, retry=NEVER_REPEAT))).connect()
    assert [client.get().status for _ in range(2)] == [200, 502]
    assert len(endpoint.connections) == 2


def test_connection_that_the_endpoint_closed_while_idle_is_not_used(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """So that even a POST goes through."""

    def answer_and_close(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.receive_bytes(5)
        connection.send(answer_of(b"ok"))
        connection.end_sending()
        connection.receive_to_end()

    endpoint = scripted(answer_and_close)
    client = start(world(pool(endpoint, retry=NEVER_REPEAT))).connect()
    for number in range(3):
        assert client.request(POST, "POST").status == 200
        endpoint.wait_for_end(number)


def hold_until_told(connection: EndpointConnection) -> None:
    while True:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"ok"))


# Idle connections


def test_idle_connections_are_bounded(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(hold_until_told)
    worker = start(world(pool(endpoint, connections=Connections(max_idle=2))))
    clients = [worker.connect() for _ in range(5)]
    for client in clients:
        client.send(get())
    wait_until(lambda: endpoint.requests_begun == 5, "all were sent")
    for connection in endpoint.connections:
        connection.go_on.set()
    assert [client.read_response().status for client in clients] == [200] * 5

    def closed() -> int:
        return sum(connection.finished for connection in endpoint.connections)

    wait_until(lambda: closed() == 3, "the surplus was closed")


@pytest.mark.parametrize(
    ("settings", "used"), [(Connections(max_requests=2), 3), (Connections(max_idle=0), 6)]
)
def test_connections_are_used_so_many_times(
    start: Callable[..., Worker], endpoint: HttpEndpoint, settings: Connections, used: int
) -> None:
    client = start(world(pool(endpoint, connections=settings))).connect()
    for _ in range(6):
        assert client.get().status == 200
    assert len(endpoint.connections) == used


@pytest.mark.parametrize(
    ("told", "kept_s"),
    [("timeout=5, max=100", 4.0), ("max=3, Timeout=1", 0.5), ("timeout=abc, x", 55.0)],
)
def test_the_servers_own_idle_timeout_is_heeded(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    told: str,
    kept_s: float,
) -> None:
    """The connection ends here before it can end there under a request."""

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer(f"Keep-Alive: {told}", "Content-Length: 5"))
        connection.receive_to_end()

    endpoint = scripted(play)
    worker = start(world(pool(endpoint)), held=True)
    assert worker.connect().get().status == 200
    worker.pass_time(kept_s - SWEEP_S)
    assert endpoint.connection().closed_at == 0.0
    worker.pass_time(SWEEP_S)
    endpoint.wait_for_end(0)


@pytest.mark.parametrize("told", ["timeout=0", "timeout=5, max=0"])
def test_a_server_that_lets_a_connection_be_idle_for_no_time_is_believed(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint], told: str
) -> None:
    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer(f"Keep-Alive: {told}", "Content-Length: 5"))
        connection.receive_to_end()

    endpoint = scripted(play)
    assert start(world(pool(endpoint)), held=True).connect().get().status == 200
    endpoint.wait_for_end(0)
