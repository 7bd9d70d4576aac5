"""Bodies that are read whole share a bound: what comes beyond it is not awaited, nothing leaks."""

import json
from collections.abc import Callable

import pytest

from penstock.core.snapshot import Retry
from penstock.dataplane.board.layout import P_CLIENT_GONE, P_UNREAD, W_BYTES_FROM_CLIENTS
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, world

ROOM = 100_000
BODY = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": "a" * (ROOM // 2 - 100)}]}
).encode()  # two have room
MOST = len(BODY) - 1  # the last byte comes at once, however packets are cut
ROUNDS = 5


def send(worker: Worker, client: Client, data: bytes) -> None:
    """And wait until it was received."""
    before = worker.count(W_BYTES_FROM_CLIENTS)
    client.send(data)
    wait_until(lambda: worker.count(W_BYTES_FROM_CLIENTS) == before + len(data), "it was received")


def begin(worker: Worker) -> Client:
    """A client that has sent its head and all of its body but the last byte."""
    client = worker.connect()
    fields = (f"Content-Length: {len(BODY)}", "Content-Type: application/json")
    send(worker, client, post(*fields, body=BODY[:MOST], target="/v1/chat/completions"))
    return client


def finish(worker: Worker, client: Client) -> int:
    send(worker, client, BODY[MOST:])
    return client.read_response("POST").status


def leave(worker: Worker, client: Client) -> None:
    before = worker.pool_count(P_CLIENT_GONE)
    client.reset()
    wait_until(lambda: worker.pool_count(P_CLIENT_GONE) == before + 1, "it was seen to leave")


def unread(worker: Worker) -> int:
    return worker.pool_count(P_UNREAD)


def test_a_body_beyond_the_bound_passes_unread(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def engine(connection: EndpointConnection) -> None:
        while True:
            connection.receive_head()
            connection.receive_bytes(len(BODY))
            connection.send(answer_of(b"ok"))

    endpoint = scripted(engine)
    worker = start(world(pool(endpoint, kind="llm"), prompt_bytes=ROOM))
    first, second, third = begin(worker), begin(worker), begin(worker)
    # Two have room; the third is sent on before it is whole.
    wait_until(lambda: endpoint.requests_begun == 1, "one was passed on")
    wait_until(lambda: unread(worker) == 1, "it was counted")
    assert finish(worker, third) == 200
    assert finish(worker, first) == finish(worker, second) == 200
    assert endpoint.received.count(BODY) == 3


def test_a_strict_pool_refuses_it(start: Callable[..., Worker], endpoint: HttpEndpoint) -> None:
    made = pool(endpoint, kind="llm", malformed="refuse")
    worker = start(world(made, prompt_bytes=ROOM))
    others = [begin(worker), begin(worker)]
    refused = begin(worker).read_response("POST")
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert json.loads(refused.body)["error"]["type"] == "overloaded"
    assert [finish(worker, client) for client in others] == [200, 200]
    assert len(endpoint.requests) == 2


@pytest.mark.large
@pytest.mark.parametrize("retry", [Retry(), Retry(non_idempotent=True)])
def test_room_comes_back_with_every_end(
    start: Callable[..., Worker], endpoint: HttpEndpoint, retry: Retry
) -> None:
    worker = start(world(pool(endpoint, kind="llm", retry=retry), prompt_bytes=ROOM))
    for _ in range(ROUNDS):
        leave(worker, begin(worker))
        one, other = begin(worker), begin(worker)
        assert finish(worker, one) == finish(worker, other) == 200
    assert unread(worker) == 0
    assert [request.body for request in endpoint.requests] == [BODY] * 2 * ROUNDS


def test_a_body_that_was_sent_takes_no_room(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """Engines take minutes for their answers."""

    def engine(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.receive_bytes(len(BODY))
        connection.go_on.wait()
        connection.send(answer_of(b"ok"))

    endpoint = scripted(engine)
    worker = start(world(pool(endpoint, kind="llm"), prompt_bytes=ROOM))
    clients: list[Client] = []
    for _ in range(ROUNDS):
        clients.append(begin(worker))
        send(worker, clients[-1], BODY[MOST:])
        wait_until(lambda: endpoint.received.count(BODY) == len(clients), "it got there")
    assert unread(worker) == 0
    for number, client in enumerate(clients):
        endpoint.connection(number).go_on.set()
        assert client.read_response("POST").status == 200
