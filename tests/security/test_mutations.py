"""Well-formed messages, broken by chance: the two sides never disagree about where one ends.

The mutations are drawn from a fixed seed, so that a failure repeats. What reaches the endpoint, and
what reaches the client, is judged by h11.
"""

import random

import h11
import pytest

from penstock.core.snapshot import Limits, ListenerTimeouts, PoolTimeouts
from penstock.dataplane.board.layout import L_REQUESTS
from tests.harness.client import Client, IncompleteResponse
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import HELLO, LAST, answer, answer_of, chunked, get, head, post
from tests.harness.process import WorkerProcess
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, listener, pool, world

MOMENT_S = 1.0  # what a message that never ends is waited for, where it passes only when told
SILENT_S = 0.05  # nothing comes for so long: perhaps a message never ends
HIDDEN = head("GET /hidden HTTP/1.1")  # a body that would be a request, were it taken for one
NASTY = [
    *[bytes([byte]) for byte in b"\r\n\0\t :,;=_+-0159af\x0b\x7f\x80\xff\"'"],
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n ",
    b"chunked",
    b"identity",
    b"0x",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Connection: close\r\n",
    b"Host: other.example\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff",
]


def mutated(message: bytes, chance: random.Random) -> bytes:
    """The message with one to three pieces lost, doubled, replaced or added."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(message))
        end = start + chance.choice([0, 1, 1, 2, chance.randint(1, 40)])
        middle = chance.choice(
            [b"", message[start:end] * 2, chance.choice(NASTY), chance.choice(NASTY)]
        )
        message = message[:start] + middle + message[end:] or b"x"
    return message


REQUESTS = [
    get("/plain", "X-A: b", "X-B: c"),
    post(f"Content-Length: {len(HIDDEN)}", body=HIDDEN),
    post("X-A: b", f"Content-Length: {len(HIDDEN)}", "Connection: keep-alive", body=HIDDEN),
    chunked(HELLO + LAST),
    chunked(b"%x\r\n%b\r\n" % (len(HIDDEN), HIDDEN) + b"0\r\nX-Trailer: 1\r\n\r\n"),
    post("Transfer-Encoding: chunked", "X-A: b", body=b"5;a=b\r\nhello\r\n" + LAST) + get("/next"),
]


def well_formed_answers(data: bytes) -> int:
    """How many whole answers these bytes are. Raises h11's error when they are anything else."""
    count = 0
    while data:
        judge = h11.Connection(h11.CLIENT)
        judge.send(h11.Request(method="GET", target="/", headers=[("Host", "judge")]))
        judge.send(h11.EndOfMessage())
        judge.receive_data(data)
        while not isinstance(event := judge.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, f"cut within {data!r}"
        count += 1
        data = judge.trailing_data[0]
    return count


@pytest.mark.parametrize("seed", range(2))
def test_mutated_requests_reach_the_endpoint_well_formed_or_not_at_all(seed: int) -> None:
    """h11 reads at the endpoint just as many requests as the worker says that it sent."""
    chance = random.Random(seed)
    timeouts = ListenerTimeouts(
        client_headers_s=MOMENT_S, client_body_idle_s=MOMENT_S, keep_alive_idle_s=MOMENT_S
    )
    listeners = [listener(timeouts=timeouts, limits=Limits(body_bytes=100_000))]
    with (
        HttpEndpoint(lambda _: Answer(body=b"answer")) as endpoint,
        Worker(
            world(pool(endpoint, retry=NEVER_REPEAT), listeners=listeners), WorkerProcess(held=True)
        ) as worker,
    ):
        clients: list[Client] = []
        for _ in range(250):
            clients.append(worker.connect())
            data = mutated(chance.choice(REQUESTS), chance) + get("/last", "Connection: close")
            clients[-1].send_while_open(data)
        for client in clients:
            assert well_formed_answers(read_to_end(client, worker)) >= 1
        worker.wait_until_idle()
        worker.wait_until_published()
        assert len(endpoint.requests) <= worker.load(endpoint, L_REQUESTS)
        assert all(is_harmless(request) for request in endpoint.requests)


def read_to_end(client: Client, worker: Worker) -> bytes:
    """What comes; where nothing more does, the time passes that the worker waits for the rest."""
    pieces = [b""]
    while True:
        while client.is_silent(SILENT_S):
            worker.pass_time(MOMENT_S)
        piece = client.read_some()
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def is_harmless(request: Recorded) -> bool:
    """Nothing that one hop may decide about another's framing or identity was passed on."""
    names = request.headers.names()
    return (
        len(request.headers.all("host")) == 1
        and len({"content-length", "transfer-encoding"} & names) <= 1
        and not any("_" in name and name.replace("_", "-") in names for name in names)
    )


RESPONSES = [
    answer_of(b"hello"),
    answer("X-A: b", f"Content-Length: {len(answer_of(b'evil'))}", body=answer_of(b"evil")),
    answer("Transfer-Encoding: chunked", body=HELLO + LAST),
    answer("Transfer-Encoding: chunked", "X-A: b", body=HELLO + b"0\r\nX-Trailer: 1\r\n\r\n"),
    answer(status="103 Early Hints", body=b"") + answer_of(b"hello"),
    answer("Connection: close"),
    answer(status="204 No Content", body=b""),
]


@pytest.mark.parametrize("seed", range(2))
def test_mutated_response_never_becomes_the_answer_to_another_request(seed: int) -> None:
    """Whatever an endpoint sends, the next request on both connections gets its own answer."""
    chance = random.Random(seed)
    broken: dict[bytes, bytes] = {}
    sent: list[bytes] = []

    def answer_brokenly(connection: EndpointConnection) -> None:
        while True:
            target = connection.receive_head().split(b" ", 2)[1]
            connection.send(broken.get(target, answer_of(target)))
            sent.append(target)

    timeouts = PoolTimeouts(first_byte_s=MOMENT_S, stream_idle_s=MOMENT_S)
    with (
        ScriptedEndpoint(answer_brokenly) as endpoint,
        Worker(
            world(pool(endpoint, retry=NEVER_REPEAT, timeouts=timeouts)), WorkerProcess(held=True)
        ) as worker,
    ):
        clients = [worker.connect() for _ in range(150)]
        for number, client in enumerate(clients):
            broken[b"/broken-%d" % number] = mutated(chance.choice(RESPONSES), chance)
            client.send(get(f"/broken-{number}"))
        wait_until(lambda: len(sent) == len(clients), "all were answered")
        for _ in range(2):  # from the last byte on, which may come to it in the first
            worker.pass_time(MOMENT_S)
        for number, client in enumerate(clients):
            try:
                client.read_response()
            except IncompleteResponse:
                client = worker.connect()
            response = client.get(f"/good-{number}")
            assert (response.status, response.body) == (200, b"/good-%d" % number)
