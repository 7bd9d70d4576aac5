"""Cases 64–66: a peer that is slow on purpose is waited for a bounded time, at a bounded price."""

from collections.abc import Callable
from functools import partial

import pytest

from penstock.core.snapshot import Limits, Listener, ListenerTimeouts
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import HELLO, answer_of, chunked, head, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import listener, pool, world

SOON_S = 0.4  # the timeout under test
MOMENT_S = 1.0  # the same, where it passes only when told
DRIP_S = 0.05  # a byte every so often: never idle for long
MIB = 1024 * 1024


def impatient(**timeouts: float) -> list[Listener]:
    return [listener(timeouts=ListenerTimeouts(**timeouts))]


def drip(client: Client, data: bytes) -> bool:
    """Send a byte at a time until answered (True) or nothing is left (False)."""
    for byte in data:
        if not client.send_while_open(bytes([byte])) or not client.is_silent(DRIP_S):
            return True
    return False


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nX-A: " + b"b" * 200, b"G" * 200, b"\r\n" + b"G" * 200],
    ids=["field", "method", "after-empty-line"],
)
def test_case64_dripping_head_is_cut_off_by_a_total_timer(
    start: Callable[..., Worker], endpoint: HttpEndpoint, data: bytes
) -> None:
    worker = start(world(pool(endpoint), listeners=impatient(client_headers_s=SOON_S)))
    client = worker.connect()
    assert drip(client, data), "ten times the time allowed, and no answer"
    assert client.read_response().status == 408
    client.expect_end()
    assert endpoint.received == b""


def test_case64_dripping_empty_lines_are_cut_off_too(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """No request has begun with them, so none is answered."""
    worker = start(world(pool(endpoint), listeners=impatient(client_headers_s=SOON_S)))
    client = worker.connect()
    assert drip(client, b"\r\n" * 100)
    client.expect_end()


def test_case64_stalled_head_is_cut_off(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint), listeners=impatient(client_headers_s=SOON_S)))
    client = worker.connect()
    client.send(head("GET / HTTP/1.1")[:-2])
    assert client.read_response().status == 408
    client.expect_end()


def test_case64_timer_starts_anew_with_each_request(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    """A connection may be far older than the time that a head may take."""
    listeners = impatient(client_headers_s=MOMENT_S)
    worker = start(world(pool(endpoint), listeners=listeners), held=True)
    client = worker.connect()
    for _ in range(4):
        assert client.get().status == 200
        worker.pass_time(0.6 * MOMENT_S)


def came(endpoint: ScriptedEndpoint, piece: bytes, times: int) -> bool:
    return endpoint.received.count(piece) == times


@pytest.mark.parametrize(
    ("head_line", "piece"),
    [("Content-Length: 100000", b"#"), ("Transfer-Encoding: chunked", b"1\r\n#\r\n")],
)
def test_case65_body_that_drips_is_cut_off(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    head_line: str,
    piece: bytes,
) -> None:
    """Though it never stands still: it would hold its place at the endpoint for ever."""
    endpoint = scripted(EndpointConnection.receive_to_end)
    worker = start(world(pool(endpoint), listeners=impatient(client_body_idle_s=30.0)), held=True)
    client = worker.connect()
    client.send(post(head_line))
    for count in (1, 2):
        client.send(piece)
        wait_until(partial(came, endpoint, b"#", count), "it came")
        worker.pass_time(20.0)
    assert client.read_response("POST").status == 408
    endpoint.wait_for_end(0)


def test_case65_body_that_comes_at_the_least_rate_is_waited_for(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    pieces = 5
    piece = b"x" * 10_000

    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.receive_bytes(pieces * len(piece))
        connection.send(answer_of(b"ok"))

    endpoint = scripted(play)
    worker = start(world(pool(endpoint), listeners=impatient(client_body_idle_s=30.0)), held=True)
    client = worker.connect()
    client.send(post(f"Content-Length: {pieces * len(piece)}"))
    for count in range(1, pieces + 1):
        client.send(piece)
        if count < pieces:
            wait_until(partial(came, endpoint, piece, count), "it came")
            worker.pass_time(20.0)
    assert client.read_response("POST").status == 200


@pytest.mark.parametrize(
    "data",
    [post("Content-Length: 10", body=b"hello"), chunked(HELLO), chunked(b"5")],
    ids=["length", "between-chunks", "within-a-size"],
)
def test_case65_stalled_body_is_cut_off(
    start: Callable[..., Worker], endpoint: HttpEndpoint, data: bytes
) -> None:
    worker = start(world(pool(endpoint), listeners=impatient(client_body_idle_s=SOON_S)))
    client = worker.connect()
    client.send(data)
    assert client.read_response("POST").status == 408
    client.expect_end()
    for connection in endpoint.connections:
        endpoint.wait_for_end(connection.number)
    assert not any(request.whole for request in endpoint.requests)
    worker.wait_until_idle()


def test_case65_slow_but_moving_body_is_taken_where_any_rate_will_do(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    timeouts = ListenerTimeouts(client_body_idle_s=MOMENT_S)
    listeners = [listener(timeouts=timeouts, limits=Limits(body_rate=0))]
    worker = start(world(pool(endpoint), listeners=listeners), held=True)
    client = worker.connect()
    client.send(post("Content-Length: 4"))
    for number in range(4):
        passed_on = b"\r\n\r\n" + b"x" * number
        wait_until(partial(endpoint.connection().received.endswith, passed_on), "it came")
        worker.pass_time(0.6 * MOMENT_S)
        client.send(b"x")
    assert client.read_response("POST").status == 200
    assert endpoint.last.body == b"xxxx"


def test_case66_slow_reader_pauses_the_endpoint_and_is_cut_off(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """The endpoint is stopped by backpressure, not by the balancer's memory."""
    size = 200 * MIB
    reached: list[int] = []

    def send_much(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        reached.append(connection.send_repeated(b"x" * 65536, 0, size, SOON_S / 4))
        connection.receive_to_end()

    endpoint = scripted(send_much)
    listeners = impatient(client_write_idle_s=2 * SOON_S)
    worker = start(world(pool(endpoint), listeners=listeners))
    before = worker.memory_bytes()
    client = worker.connect(receive_buffer=65536)
    client.send(head("GET / HTTP/1.1"))
    client.read_until(b"\r\n\r\n")
    endpoint.wait_for_end()
    assert reached[0] < size
    assert worker.memory_bytes("VmHWM") - before < 8 * MIB
    assert len(client.read_to_end()) < size
    worker.wait_until_idle()


def test_silent_connection_is_closed_without_a_word(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint), listeners=impatient(client_headers_s=SOON_S)))
    worker.connect().expect_end()


def test_many_slow_connections_do_not_keep_others_from_being_served(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    slow = [worker.connect() for _ in range(200)]
    for client in slow:
        client.send(b"GET / HTTP/1.1\r\nHost:")
    assert worker.connect().get().status == 200
    for client in slow:
        client.send(b" site.example\r\n\r\n")
    for client in slow:
        assert client.read_response().status == 200
