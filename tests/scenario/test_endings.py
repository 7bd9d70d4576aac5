"""Whoever leaves, the other side is told at once, and no cut answer passes for a whole one.

At once is while the worker's clock stands still: it waits for nothing but the end itself.
"""

import socket
from collections.abc import Callable

import pytest

from penstock.dataplane.board.layout import (
    L_RESETS,
    P_CLIENT_GONE,
    P_CUT,
    W_IDLE_ENDPOINT_CONNECTIONS,
)
from tests.harness.client import Client, IncompleteResponse
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.flow import send_repeated, wait_until_taken
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer, get, head, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, Address, pool, world

BLOCKED_S = 0.1  # no byte taken for so long
LEAVING = {"close": Client.close, "reset": Client.reset}


def hold(connection: EndpointConnection) -> None:
    """Takes a request and never answers."""
    connection.receive_to_end()


def hold_after_first_byte(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
    connection.receive_to_end()


def begun(endpoint: ScriptedEndpoint, number: int) -> None:
    """Wait until that connection got a request's head."""
    connection = endpoint.connection(number)
    wait_until(lambda: b"\r\n\r\n" in connection.received, "the request arrived")


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING.keys())
def test_client_leaving_before_the_first_byte_is_told_at_once(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    leave: Callable[[Client], None],
) -> None:
    endpoint = scripted(hold)
    worker = start(world(pool(endpoint)), held=True)
    client = worker.connect()
    client.send(get())
    begun(endpoint, 0)
    leave(client)
    endpoint.wait_for_end()
    worker.wait_until_idle()
    worker.wait_until_published()
    assert worker.pool_count(P_CLIENT_GONE) == 1


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING.keys())
def test_client_leaving_after_the_first_byte_is_told_at_once(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    leave: Callable[[Client], None],
) -> None:
    endpoint = scripted(hold_after_first_byte)
    worker = start(world(pool(endpoint)), held=True)
    client = worker.connect()
    client.send(get())
    client.read_until(b"hello")
    leave(client)
    endpoint.wait_for_end()
    worker.wait_until_idle()


def test_client_leaving_with_requests_queued_behind_is_told_at_once(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """The end lies behind more pipelined bytes than are taken in ahead of their turn."""
    endpoint = scripted(hold)
    worker = start(world(pool(endpoint)), held=True)
    client = worker.connect()
    client.send(get() * 3000)
    wait_until_taken(client.socket)
    begun(endpoint, 0)
    client.close()
    endpoint.wait_for_end()


def test_client_resetting_while_its_body_is_held_back_settles_the_ticket(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def read_only_the_head(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()

    endpoint = scripted(read_only_the_head)
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    client.send(post("Content-Length: 100000000"))
    assert send_repeated(client.socket, b"x" * 65536, 0, 100_000_000, BLOCKED_S) < 100_000_000
    wait_until(lambda: worker.in_flight() == 1, "the request was taken")
    client.reset()
    worker.wait_until_idle()


def test_client_leaving_while_connecting_settles_the_ticket(start: Callable[..., Worker]) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        with socket.create_connection(listening.getsockname()):
            full = Address(listening.getsockname()[1])
            worker = start(world(pool(full)))
            with worker.connect() as client:
                client.send(get())
                wait_until(lambda: worker.in_flight() == 1, "the request was taken")
            worker.wait_until_idle()


def test_one_client_leaving_does_not_touch_the_others(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(hold_after_first_byte)
    worker = start(world(pool(endpoint)))
    clients = [worker.connect() for _ in range(5)]
    for client in clients:
        client.send(get())
        client.read_until(b"hello")
    clients[2].close()
    wait_until(lambda: worker.in_flight() == 4, "one ticket was settled")

    def ended() -> int:
        return sum(connection.closed_at > 0.0 for connection in endpoint.connections)

    wait_until(lambda: ended() == 1, "its endpoint connection was closed")
    assert worker.in_flight() == 4


# Endpoints

DYING = {"closed": EndpointConnection.end_sending, "reset": EndpointConnection.reset}


@pytest.mark.parametrize("die", DYING.values(), ids=DYING.keys())
@pytest.mark.parametrize(
    "begin",
    [
        answer("Content-Length: 10", body=b"hello"),
        answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
        answer("Transfer-Encoding: chunked", body=b"f\r\nhello"),
    ],
    ids=["length", "between-chunks", "within-a-chunk"],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_endpoint_dying_within_a_body_cuts_the_client_off(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    die: Script,
    begin: bytes,
    version: str,
) -> None:
    def die_within(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(begin)
        connection.go_on.wait()
        die(connection)

    endpoint = scripted(die_within)
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    client.send(head(f"GET / HTTP/{version}"))
    client.put_back(client.read_until(b"hello"))
    endpoint.connection().go_on.set()
    with pytest.raises(IncompleteResponse):
        client.read_response()
    assert len(endpoint.connections) == 1, "repeated after its first byte"
    wait_until(lambda: worker.pool_count(P_CUT) == 1, "the cut was counted")
    wait_until(lambda: worker.load(endpoint, L_RESETS) == 1, "the endpoint was blamed")


@pytest.mark.parametrize("die", DYING.values(), ids=DYING.keys())
def test_endpoint_dying_before_its_answer_is_a_bad_gateway(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint], die: Script
) -> None:
    def die_at_once(connection: EndpointConnection) -> None:
        connection.receive_head()
        die(connection)

    worker = start(world(pool(scripted(die_at_once), retry=NEVER_REPEAT)))
    client = worker.connect()
    for _ in range(2):
        response = client.get()
        assert response.status == 502
        assert not response.closes


def test_endpoint_dying_while_the_body_is_sent_is_a_bad_gateway(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def die_midway(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.receive_bytes(1000)
        connection.reset()

    worker = start(world(pool(scripted(die_midway), retry=NEVER_REPEAT)))
    client = worker.connect()
    client.send(post("Content-Length: 10000000"))
    client.send_while_open(b"x" * 10_000_000)
    assert client.read_response("POST").status == 502
    worker.wait_until_idle()


# The worker


def test_stopping_worker_finishes_what_runs(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def finish_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Content-Length: 10", body=b"hello"))
        connection.go_on.wait()
        connection.send(b"world")

    endpoint = scripted(finish_when_told)
    worker = start(world(pool(endpoint)))
    running, idle = worker.connect(), worker.connect()
    running.send(get())
    seen = running.read_until(b"hello")
    worker.send({"kind": "stop", "deadline_s": 10.0})
    idle.expect_end()
    endpoint.connection().go_on.set()
    assert (seen + running.read_to_end()).endswith(b"helloworld")
    running.close()
    worker.wait_for_exit()


def test_stopping_worker_says_that_it_closes(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """A client whose answer begins after the stop learns that its connection ends."""

    def answer_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer("Content-Length: 5"))

    endpoint = scripted(answer_when_told)
    worker = start(world(pool(endpoint)))
    client, idle = worker.connect(), worker.connect()
    client.send(get())
    begun(endpoint, 0)
    worker.send({"kind": "stop", "deadline_s": 10.0})
    idle.expect_end()
    endpoint.connection().go_on.set()
    assert client.read_response().closes
    client.expect_end()
    worker.wait_for_exit()


def test_stopping_worker_cuts_what_outlives_the_deadline(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(hold_after_first_byte)
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    client.send(get())
    client.read_until(b"hello")
    worker.send({"kind": "stop", "deadline_s": 0.1})
    assert b"0\r\n\r\n" not in client.read_to_end()
    endpoint.wait_for_end()
    worker.wait_for_exit()


def test_worker_outlives_its_supervisor(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    worker.abandon_mailbox()
    for each in (client, worker.connect()):
        assert each.get().status == 200
    worker.terminate()
    worker.wait_for_exit()


def test_who_asks_for_the_end_again_does_not_put_it_off(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(hold)
    worker = start(world(pool(endpoint)), held=True)
    client = worker.connect()
    client.send(get())
    begun(endpoint, 0)
    worker.send({"kind": "stop", "deadline_s": 1.0})
    worker.pass_time(0.5)
    worker.terminate()  # which has a deadline of its own, of half a minute
    worker.pass_time(0.3)
    worker.send({"kind": "stop", "deadline_s": 20.0})
    worker.pass_time(1.0)
    endpoint.wait_for_end()
    worker.wait_for_exit()


def test_idle_connections_to_endpoints_are_counted(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    worker.connect().get()
    worker.wait_until_published()
    assert worker.count(W_IDLE_ENDPOINT_CONNECTIONS) == 1
