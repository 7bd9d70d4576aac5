"""Nothing is held back, and nothing is piled up: each side feels the other's pace."""

import socket
from collections.abc import Callable
from time import sleep

import pytest

from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.flow import send_repeated, unread_bytes, wait_until_taken
from tests.harness.messages import answer, answer_of, get, head, post
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, world

MIB = 1024 * 1024
MUCH = 200 * MIB
BLOCKED_S = 0.2  # no byte taken for so long: the other side does not read
MOST_HELD = 40 * MIB  # what the kernel's socket buffers of two connections may hold
MOST_GROWTH = 6 * MIB  # of the worker's memory, whatever flows through it

FRAMINGS = {
    "length": (answer("Content-Length: 10", body=b"first"), b"later"),
    "chunked": (
        answer("Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n"),
        b"5\r\nlater\r\n0\r\n\r\n",
    ),
    "until-close": (answer("Connection: close", body=b"first"), b"later"),
    "half-a-chunk": (
        answer("Transfer-Encoding: chunked", body=b"a\r\nfirst"),
        b"later\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_first_bytes_of_an_answer_pass_while_the_rest_is_held(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    framing: str,
    version: str,
) -> None:
    first, later = FRAMINGS[framing]

    def hold(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(first)
        connection.go_on.wait()
        connection.send(later)

    endpoint = scripted(hold)
    client = start(world(pool(endpoint))).connect()
    client.send(head(f"GET / HTTP/{version}"))
    client.read_until(b"first")
    endpoint.connection().go_on.set()
    client.read_until(b"later")


def test_head_of_an_answer_passes_before_its_body(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def hold(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Content-Length: 5", body=b""))
        connection.go_on.wait()
        connection.send(b"hello")

    endpoint = scripted(hold)
    client = start(world(pool(endpoint))).connect()
    client.send(get())
    client.read_until(b"\r\n\r\n")
    endpoint.connection().go_on.set()
    client.read_until(b"hello")


def test_every_event_of_a_stream_passes_by_itself(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """The endpoint sends an event only when the client has the one before."""

    def send_events(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Transfer-Encoding: chunked", body=b""))
        for number in range(100):
            event = b"data: %d\n\n" % number
            connection.send(b"%x\r\n%b\r\n" % (len(event), event))
            connection.go_on.wait()
            connection.go_on.clear()
        connection.send(b"0\r\n\r\n")

    endpoint = scripted(send_events)
    client = start(world(pool(endpoint))).connect()
    client.send(get())
    for number in range(100):
        client.read_until(b"data: %d\n\n" % number)
        endpoint.connection().go_on.set()
    client.read_until(b"0\r\n\r\n")


UPLOADS = {
    "length": (post("Content-Length: 10"), b"first", b"later"),
    "chunked": (
        post("Transfer-Encoding: chunked"),
        b"5\r\nfirst\r\n",
        b"5\r\nlater\r\n0\r\n\r\n",
    ),
    "half-a-chunk": (
        post("Transfer-Encoding: chunked"),
        b"a\r\nfirst",
        b"later\r\n0\r\n\r\n",
    ),
}


@pytest.mark.parametrize("framing", UPLOADS)
def test_head_and_first_bytes_of_a_request_pass_while_the_rest_is_held(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint], framing: str
) -> None:
    request, first, later = UPLOADS[framing]

    def answer_after_all(connection: EndpointConnection) -> None:
        connection.receive_until(b"later")
        connection.send(answer_of(b"done"))

    endpoint = scripted(answer_after_all)
    client = start(world(pool(endpoint))).connect()
    client.send(request)
    wait_until(lambda: endpoint.requests_begun == 1, "the head arrived alone")
    client.send(first)
    wait_until(lambda: b"first" in endpoint.received, "the first bytes arrived")
    client.send(later)
    assert client.read_response("POST").body == b"done"


def test_answer_may_stream_while_the_request_still_does(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """An endpoint that echoes as it reads: both directions are open at once."""

    def echo(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Content-Length: 30", body=b""))
        for _ in range(3):
            connection.send(connection.receive_bytes(10))

    client = start(world(pool(scripted(echo)))).connect()
    client.send(post("Content-Length: 30"))
    client.read_until(b"\r\n\r\n")
    for piece in (b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"):
        client.send(piece)
        client.read_until(piece)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_slow_reader_holds_the_endpoint_back_and_costs_no_memory(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    is_chunked: bool,
) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    piece = chunk if is_chunked else b"x" * 65536
    size, end = MUCH, MUCH // 65536 * len(piece)
    framing = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {size}"
    reached: list[int] = []

    def send_much(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer(framing, body=b""))
        reached.append(connection.send_repeated(piece, 0, end, BLOCKED_S))
        connection.go_on.wait()
        reached.append(connection.send_repeated(piece, reached[0], end, PATIENCE_S))
        connection.send(b"0\r\n\r\n" if is_chunked else b"")

    endpoint = scripted(send_much)
    worker = start(world(pool(endpoint)))
    before = worker.memory_bytes()
    client = worker.connect()
    client.send(get())
    client.read_until(b"\r\n\r\n")
    wait_until(lambda: bool(reached), "the endpoint stopped sending")
    assert reached[0] < MOST_HELD
    endpoint.connection().go_on.set()
    received = 0
    while received < size and (data := client.read_some()):
        received += data.count(b"x")
    assert received == size
    assert worker.memory_bytes("VmHWM") - before < MOST_GROWTH


def test_slow_endpoint_holds_the_client_back_and_costs_no_memory(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    counted: list[int] = []

    def read_late(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        along = len(connection.received.partition(b"\r\n\r\n")[2])
        counted.append(along + connection.count_bytes(MUCH - along))
        connection.send(answer_of(b"done"))

    endpoint = scripted(read_late)
    worker = start(world(pool(endpoint)))
    before = worker.memory_bytes()
    client = worker.connect()
    client.send(post(f"Content-Length: {MUCH}"))
    reached = send_repeated(client.socket, b"x" * 65536, 0, MUCH, BLOCKED_S)
    assert reached < MOST_HELD
    endpoint.connection().go_on.set()
    assert send_repeated(client.socket, b"x" * 65536, reached, MUCH, PATIENCE_S) == MUCH
    assert client.read_response("POST").body == b"done"
    assert counted == [MUCH]
    assert worker.memory_bytes("VmHWM") - before < MOST_GROWTH


def test_waiting_for_a_slow_reader_costs_no_cpu_even_when_the_endpoint_is_done(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """The endpoint's end lies behind bytes that cannot be passed on yet: no reason to spin."""
    step = b"x" * (256 * 1024)

    def send_and_close(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer(f"Content-Length: {MUCH}", body=b""))
        while not is_left_unread(connection.socket, worker):
            connection.send(step)
            wait_until_taken(connection.socket)
        connection.end_sending()
        wait_until_taken(connection.socket)
        connection.go_on.set()
        connection.receive_to_end()

    endpoint = scripted(send_and_close)
    worker = start(world(pool(endpoint)))
    client = worker.connect(receive_buffer=16384)
    client.send(get())
    assert endpoint.connection().go_on.wait(PATIENCE_S)
    before = worker.cpu_s()
    sleep(0.5)  # measured is what the worker does meanwhile
    assert worker.cpu_s() - before < 0.2
    assert worker.in_flight() == 1


def is_left_unread(sock: socket.socket, worker: Worker) -> bool:
    """Whether the worker leaves what it got in its kernel: it sleeps, although that is there."""
    while unread_bytes(sock):
        if worker.is_asleep() and unread_bytes(sock):
            return True
    return False
