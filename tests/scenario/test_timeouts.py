"""Every timeout by its name: what it waits for, and how it ends.

Those of slow clients (``client_headers_s``, ``client_body_idle_s``, ``client_write_idle_s``) are
in ``tests/security/test_transport.py``.
"""

import socket
from collections.abc import Callable
from functools import partial

import pytest

from penstock.core.snapshot import Connections, ListenerTimeouts, PoolTimeouts, Snapshot
from penstock.dataplane.board.layout import L_CONNECT_FAILURES, L_TIMEOUTS, P_1XX_TO_5XX
from tests.harness.client import Client, IncompleteResponse
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.flow import send_repeated
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer, answer_of, get, head, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, Address, listener, pool, world

BODY_BYTES = 100_000_000  # more than all buffers on the way hold
ANSWER_BYTES = 8_000_000  # the same
BLOCKED_S = 0.3  # nothing taken for so long: the other side is full
SOON_S = 0.3
MOMENT_S = 1.0  # where it passes only when told


def impatient(endpoint: ScriptedEndpoint | Address, **timeouts: float) -> Snapshot:
    settings = PoolTimeouts(**timeouts)
    return world(pool(endpoint, timeouts=settings, retry=NEVER_REPEAT))


def stall(connection: EndpointConnection) -> None:
    connection.receive_to_end()


def begin_and_stall(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
    connection.receive_to_end()


def drip(connection: EndpointConnection) -> None:
    """A byte now and then, without end."""
    connection.receive_head()
    connection.send(answer("Transfer-Encoding: chunked", body=b""))
    while not connection.go_on.wait(SOON_S / 4):
        connection.send(b"1\r\nx\r\n")


def test_connect_timeout(start: Callable[..., Worker], black_hole: Address) -> None:
    worker = start(impatient(black_hole, connect_s=SOON_S))
    response = worker.connect().get()
    assert response.status == 504
    worker.wait_until_idle()
    wait_until(lambda: worker.load(black_hole, L_CONNECT_FAILURES) == 1, "it was counted")


def test_first_byte_timeout(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(stall)
    worker = start(impatient(endpoint, first_byte_s=SOON_S))
    client = worker.connect()
    assert client.get().status == 504
    endpoint.wait_for_end()
    wait_until(lambda: worker.load(endpoint, L_TIMEOUTS) == 1, "it was counted")
    wait_until(lambda: worker.pool_count(P_1XX_TO_5XX + 4) == 1, "the answer was counted")


def test_first_byte_timeout_leaves_the_client_connected(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    client = start(impatient(scripted(stall), first_byte_s=SOON_S)).connect()
    for _ in range(2):
        assert client.get().status == 504


def test_first_byte_timeout_runs_from_the_end_of_the_request(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """A client may take longer to send than an endpoint may take to answer."""

    def answer_the_whole(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer_of(connection.receive_bytes(3)))

    endpoint = scripted(answer_the_whole)
    worker = start(impatient(endpoint, first_byte_s=SOON_S), held=True)
    client = worker.connect()
    client.send(post("Content-Length: 3"))
    for number in range(3):
        passed_on = b"\r\n\r\n" + b"x" * number
        wait_until(partial(endpoint.connection().received.endswith, passed_on), "it came")
        worker.pass_time(2 * SOON_S)
        client.send(b"x")
    assert client.read_response("POST").body == b"xxx"


def test_first_byte_timeout_holds_for_the_leave_that_a_client_waits_for(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """The body is not due before the endpoint says 100, so that nobody else would be late."""
    client = start(impatient(scripted(stall), first_byte_s=SOON_S)).connect()
    client.send(post("Content-Length: 5", "Expect: 100-continue"))
    assert client.read_response("POST").status == 504


def test_first_byte_timeout_holds_for_an_endpoint_that_takes_no_more_of_the_body(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """It is not the client that is waited for."""

    def take_only_the_head(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()

    endpoint = scripted(take_only_the_head)
    worker = start(impatient(endpoint, first_byte_s=SOON_S))
    client = worker.connect()
    client.send(post("Content-Length: 100000000"))
    assert not client.send_while_open(b"x" * 100_000_000)
    assert client.read_response("POST").status == 504
    wait_until(lambda: worker.load(endpoint, L_TIMEOUTS) == 1, "it was counted")


def test_interim_answers_do_not_count_as_the_first_byte(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def hint_and_stall(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer(status="103 Early Hints", body=b""))
        connection.receive_to_end()

    client = start(impatient(scripted(hint_and_stall), first_byte_s=SOON_S)).connect()
    response = client.get()
    assert ([status for status, _ in response.interim], response.status) == ([103], 504)


def test_half_a_head_does_not_count_as_the_first_byte(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def begin_a_head(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-")
        connection.receive_to_end()

    client = start(impatient(scripted(begin_a_head), first_byte_s=SOON_S)).connect()
    assert client.get().status == 504


def test_stream_idle_timeout(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(begin_and_stall)
    worker = start(impatient(endpoint, stream_idle_s=SOON_S))
    with pytest.raises(IncompleteResponse) as cut:
        worker.connect().get()
    assert cut.value.partial.body == b"hello"
    endpoint.wait_for_end()
    worker.wait_until_idle()


def test_stream_that_moves_is_not_idle(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def send_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Content-Length: 3", body=b""))
        for byte in (b"1", b"2", b"3"):
            connection.go_on.wait()
            connection.go_on.clear()
            connection.send(byte)

    endpoint = scripted(send_when_told)
    timeouts = impatient(endpoint, stream_idle_s=MOMENT_S, first_byte_s=MOMENT_S)
    worker = start(timeouts, held=True)
    client = worker.connect()
    client.send(get())
    client.read_until(b"\r\n\r\n")
    for byte in (b"1", b"2", b"3"):
        worker.pass_time(0.6 * MOMENT_S)
        endpoint.connection().go_on.set()
        assert client.read_until(byte) == byte


def test_request_timeout_before_the_first_byte(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(stall)
    assert start(impatient(endpoint, request_s=SOON_S)).connect().get().status == 504
    endpoint.wait_for_end()


def test_request_timeout_ends_a_stream_that_moves(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(drip)
    worker = start(impatient(endpoint, request_s=SOON_S))
    with pytest.raises(IncompleteResponse):
        worker.connect().get()
    endpoint.wait_for_end()


def test_request_timeout_holds_for_a_client_that_does_not_read(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def send_without_end(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Content-Length: 1000000000", body=b""))
        while True:
            connection.send(b"x" * 65536)

    endpoint = scripted(send_without_end)
    worker = start(impatient(endpoint, request_s=SOON_S))
    client = worker.connect(receive_buffer=16384)
    client.send(get())
    endpoint.wait_for_end()
    worker.wait_until_idle()


def test_request_timeout_holds_while_the_body_comes(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(stall)
    worker = start(impatient(endpoint, request_s=SOON_S))
    client = worker.connect()
    client.send(post("Content-Length: 1000", body=b"x"))
    assert client.read_response("POST").status in (408, 504)
    endpoint.wait_for_end()


def test_keep_alive_timeout(start: Callable[..., Worker], endpoint: HttpEndpoint) -> None:
    timeouts = ListenerTimeouts(keep_alive_idle_s=SOON_S)
    worker = start(world(pool(endpoint), listeners=[listener(timeouts=timeouts)]))
    client = worker.connect()
    assert client.get().status == 200
    client.expect_end()
    assert not client.was_reset


def test_keep_alive_timeout_spares_a_running_request(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def answer_late(connection: EndpointConnection) -> None:
        for _ in range(2):
            connection.receive_head()
            connection.go_on.wait()
            connection.go_on.clear()
            connection.send(answer_of(b"late"))

    timeouts = ListenerTimeouts(
        keep_alive_idle_s=SOON_S, client_headers_s=SOON_S, client_body_idle_s=SOON_S
    )
    endpoint = scripted(answer_late)
    worker = start(world(pool(endpoint), listeners=[listener(timeouts=timeouts)]), held=True)
    client = worker.connect()
    for request in (get(), post("Content-Length: 1", body=b"x")):
        endpoint.forget()
        client.send(request)
        wait_until(lambda: endpoint.requests_begun == 1, "the request runs")
        worker.pass_time(3 * SOON_S)
        endpoint.connections[-1].go_on.set()
        assert client.read_response().body == b"late"


def test_idle_endpoint_connections_are_closed(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    settings = Connections(idle_timeout_s=SOON_S)
    client = start(world(pool(endpoint, connections=settings))).connect()
    assert client.get().status == 200
    endpoint.wait_for_end(0)
    assert client.get().status == 200
    assert endpoint.last.connection == 1


def test_timeouts_that_are_off_never_end_anything(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def answer_late(connection: EndpointConnection) -> None:
        while True:
            connection.receive_head()
            connection.go_on.wait(2 * SOON_S)
            connection.send(answer_of(b"late"))

    off = ListenerTimeouts(
        client_headers_s=0, client_body_idle_s=0, keep_alive_idle_s=0, client_write_idle_s=0
    )
    members = pool(
        scripted(answer_late),
        timeouts=PoolTimeouts(connect_s=0, first_byte_s=0, stream_idle_s=0, request_s=0),
        connections=Connections(idle_timeout_s=0),
    )
    client: Client = start(world(members, listeners=[listener(timeouts=off)])).connect()
    assert client.is_silent(2 * SOON_S)
    client.send(head("GET / HTTP/1.1")[:10])
    assert client.is_silent(2 * SOON_S)
    client.send(head("GET / HTTP/1.1")[10:])
    assert client.read_response().body == b"late"
    assert client.is_silent(2 * SOON_S)
    assert client.get().body == b"late"


def test_a_client_that_waits_for_100_is_not_late(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """RFC 9110, 10.1.1: until the endpoint lets it go on, its body is not due."""

    def think(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = connection.receive_bytes(5)
        connection.send(answer_of(body))

    timeouts = ListenerTimeouts(client_body_idle_s=SOON_S)
    endpoint = scripted(think)
    worker = start(world(pool(endpoint), listeners=[listener(timeouts=timeouts)]), held=True)
    client = worker.connect()
    client.send(post("Content-Length: 5", "Expect: 100-continue"))
    wait_until(lambda: endpoint.requests_begun == 1, "the endpoint was asked")
    worker.pass_time(3 * SOON_S)
    endpoint.connection().go_on.set()
    assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    client.send(b"hello")
    assert client.read_response("POST").body == b"hello"


def test_a_client_whose_body_is_held_is_not_late(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """That it reads again what it was sent does not make it its turn to send."""

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Connection: close", body=b"y" * ANSWER_BYTES))
        connection.go_on.wait()
        connection.count_bytes(BODY_BYTES)

    timeouts = ListenerTimeouts(client_body_idle_s=30.0, client_write_idle_s=0.0)
    endpoint = scripted(play)
    unbounded = PoolTimeouts(first_byte_s=0.0, stream_idle_s=0.0)
    members = pool(endpoint, timeouts=unbounded)
    worker = start(world(members, listeners=[listener(timeouts=timeouts)]), held=True)
    client = worker.connect(receive_buffer=16384)
    client.send(post(f"Content-Length: {BODY_BYTES}"))
    assert client.socket.recv(1, socket.MSG_PEEK), "the answer began"
    sent = send_repeated(client.socket, b"#" * 65536, 0, BODY_BYTES, BLOCKED_S)
    assert sent < BODY_BYTES, "the endpoint's side is full, so the body is held"
    client.read_until(b"\r\n\r\n")
    taken = 0
    while taken < ANSWER_BYTES:
        taken += client.read_some().count(b"y")
    client.is_silent(BLOCKED_S)  # the last chunk's end
    worker.pass_time(60.0)
    assert worker.in_flight() == 1, "it was cut as if it were late"
