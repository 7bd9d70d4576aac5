"""What is tried again, where, and what never is: a request is not done twice unasked."""

import json
from collections.abc import Callable, Iterator

import pytest

from penstock.core.endpoint import DOWN, UP
from penstock.core.snapshot import Connections, Pool, Retry
from penstock.dataplane.board import (
    L_IN_FLIGHT,
    P_NO_ENDPOINT,
    P_RETRIES,
    P_RETRIES_DENIED,
    S_EJECTED,
    S_HEALTH,
)
from tests.harness.client import Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint, refuse_connections
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, chunked, get, head, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, Address, at, pool, world

BODY = b"hello"
POST = post("Content-Length: 5", body=BODY)
PUT = POST.replace(b"POST", b"PUT", 1)
UNAVAILABLE = answer_of(b"busy", status="503 Service Unavailable")


@pytest.fixture
def refusing() -> Iterator[Address]:
    """An address at which connecting is refused."""
    with refuse_connections() as bound:
        yield Address(bound.getsockname()[1])


def reset_after_head(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.reset()


def close_after_head(connection: EndpointConnection) -> None:
    connection.receive_head()


def be_busy(connection: EndpointConnection) -> None:
    while True:
        connection.receive_head()
        connection.send(UNAVAILABLE)


def babble(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(b"\x00garbage\r\n\r\n")


FAILING = [reset_after_head, close_after_head, be_busy]


def ask(worker: Worker, request: bytes) -> Response:
    with worker.connect() as client:
        return client.request(request, request.split()[0].decode())


# Repeated elsewhere


@pytest.mark.parametrize("request_bytes", [get(), POST, chunked(b"5\r\nhello\r\n0\r\n\r\n")])
def test_request_that_was_never_sent_goes_elsewhere_whatever_its_method(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address, request_bytes: bytes
) -> None:
    worker = start(world(pool(refusing, endpoint)))
    assert ask(worker, request_bytes).status == 200
    assert endpoint.last.body == (b"" if request_bytes.startswith(b"GET") else BODY)
    wait_until(lambda: worker.pool_count(P_RETRIES) == 1, "the retry was counted")


@pytest.mark.parametrize("script", FAILING)
@pytest.mark.parametrize("request_bytes", [get(), PUT, head("DELETE / HTTP/1.1")])
def test_idempotent_request_is_repeated_elsewhere_with_its_body(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
    request_bytes: bytes,
) -> None:
    failing = scripted(script)
    worker = start(world(pool(failing, endpoint)))
    assert ask(worker, request_bytes).status == 200
    assert failing.requests_begun == 1
    assert endpoint.last.method.encode() == request_bytes.split()[0]
    assert endpoint.last.body == (BODY if request_bytes is PUT else b"")
    wait_until(lambda: worker.pool_count(P_RETRIES) == 1, "the retry was counted")


@pytest.mark.parametrize("script", [reset_after_head, close_after_head, be_busy, babble])
def test_post_that_was_sent_is_never_repeated(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
) -> None:
    worker = start(world(pool(scripted(script), endpoint)))
    assert ask(worker, POST).status == (503 if script is be_busy else 502)
    assert endpoint.requests == []
    assert worker.pool_count(P_RETRIES) == 0


def test_post_is_repeated_when_the_pool_allows_it(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    members = pool(scripted(be_busy), endpoint, retry=Retry(non_idempotent=True))
    assert ask(start(world(members)), POST).status == 200
    assert endpoint.last.body == BODY


def test_answer_is_passed_on_when_every_attempt_met_the_same(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoints = [scripted(be_busy) for _ in range(5)]
    worker = start(world(pool(*endpoints, retry=Retry(attempts=3))))
    response = ask(worker, get())
    assert (response.status, response.body) == (503, b"busy")
    assert sum(endpoint.requests_begun for endpoint in endpoints) == 3


def test_status_not_named_is_passed_on(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    worker = start(world(pool(scripted(be_busy), endpoint, retry=Retry(on_statuses=(502,)))))
    assert ask(worker, get()).status == 503
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("script", "retry"),
    [
        (reset_after_head, Retry(on_reset=False)),
        (be_busy, Retry(on_statuses=())),
        (be_busy, NEVER_REPEAT),
    ],
)
def test_what_is_switched_off_is_not_repeated(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
    retry: Retry,
) -> None:
    worker = start(world(pool(scripted(script), endpoint, retry=retry)))
    assert ask(worker, get()).status in (502, 503)
    assert endpoint.requests == []


def test_connect_failure_is_not_repeated_when_switched_off(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address
) -> None:
    members = pool(refusing, endpoint, retry=Retry(on_connect_failure=False))
    assert ask(start(world(members)), get()).status == 502
    assert endpoint.requests == []


def test_large_body_is_repeated_whole_or_not_at_all(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    """What was sent on and not kept cannot be sent again."""
    size = 5_000_000

    def take_all_and_reset(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.receive_bytes(size)
        connection.reset()

    worker = start(world(pool(scripted(take_all_and_reset), endpoint)))
    request = head("PUT / HTTP/1.1", f"Content-Length: {size}") + b"x" * size
    with worker.connect() as client:
        client.send_while_open(request)
        status = client.read_response("PUT").status
    assert status in (200, 502)
    assert [len(r.body) for r in endpoint.requests if r.whole] == [size] * (status == 200)


def test_budget_bounds_the_retries(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    """A fifth of the requests at most, whatever fails."""
    retry = Retry(attempts=2, budget_share=0.2, budget_min_per_s=0.0)
    worker = start(world(pool(scripted(be_busy), endpoint, retry=retry)))
    client = worker.connect()
    statuses = [client.get().status for _ in range(100)]
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES_DENIED) == statuses.count(503) > 0
    assert 10 <= worker.pool_count(P_RETRIES) <= 20


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


def test_post_on_a_stale_connection_is_not_repeated(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """The endpoint may have done it before it died."""
    endpoint = scripted(answer_once_then(EndpointConnection.reset))
    client = start(world(pool(endpoint))).connect()
    assert client.get().status == 200
    assert client.request(POST, "POST").status == 502
    assert endpoint.received.count(b"POST ") == 1


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


# Nobody left


@pytest.mark.parametrize("cell", ["down", "ejected", "draining", "none"])
def test_no_endpoint_left_is_said_in_json(
    start: Callable[..., Worker], endpoint: HttpEndpoint, cell: str
) -> None:
    members: Pool = pool(name="main") if cell == "none" else pool(endpoint)
    worker = start(world(members))
    if cell == "down":
        worker.set_state("main", endpoint, S_HEALTH, DOWN)
    elif cell == "ejected":
        worker.set_state("main", endpoint, S_EJECTED, 1)
    elif cell == "draining":
        worker.drain("main", endpoint)
    with worker.connect() as client:
        for _ in range(2):
            response = client.get()
            assert response.status == 503
            assert response.headers["content-type"] == "application/json"
            assert int(response.headers["retry-after"]) >= 1
            assert "main" in json.loads(response.body)["error"]["message"]
    wait_until(lambda: worker.pool_count(P_NO_ENDPOINT) == 2, "it was counted")
    assert endpoint.requests == []


def test_endpoint_that_comes_back_is_used_at_once(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    for state, status in [(DOWN, 503), (UP, 200), (DOWN, 503), (UP, 200)]:
        worker.set_state("main", endpoint, S_HEALTH, state)
        assert client.get().status == status


def test_draining_endpoint_finishes_what_it_has_and_gets_nothing_more(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    def finish_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"finished"))
        connection.receive_to_end()

    draining = scripted(finish_when_told)
    worker = start(world(pool(draining, endpoint)))
    running = worker.connect()
    running.send(get())
    wait_until(lambda: draining.requests_begun == 1, "the first endpoint was picked")
    worker.drain("main", draining)
    for _ in range(4):
        assert worker.connect().get().body == endpoint.name.encode()
    draining.connection().go_on.set()
    assert running.read_response().body == b"finished"


def test_backup_is_used_only_when_nobody_else_is_left(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, at(other_endpoint, backup=True))))
    client = worker.connect()
    for state, expected in [(UP, endpoint), (DOWN, other_endpoint), (UP, endpoint)]:
        worker.set_state("main", endpoint, S_HEALTH, state)
        assert client.get().body == expected.name.encode()


def test_groups_are_used_in_order_of_priority_and_backups_last(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def answering(name: bytes) -> ScriptedEndpoint:
        def script(connection: EndpointConnection) -> None:
            while True:
                connection.receive_head()
                connection.send(answer_of(name))

        return scripted(script)

    names = (b"first", b"second", b"third", b"backup")
    endpoints = dict(zip(names, map(answering, names), strict=True))
    worker = start(
        world(
            pool(
                at(endpoints[b"backup"], backup=True),
                at(endpoints[b"third"], priority=7),
                at(endpoints[b"second"], priority=2),
                endpoints[b"first"],
            )
        )
    )
    client = worker.connect()
    for name in names:
        assert client.get().body == name
        worker.set_state("main", endpoints[name], S_HEALTH, DOWN)
    worker.set_state("main", endpoints[b"second"], S_HEALTH, UP)
    assert client.get().body == b"second"


# max_in_flight


def hold_until_told(connection: EndpointConnection) -> None:
    while True:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"ok"))


def test_max_in_flight_is_kept(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """Each endpoint takes two; the fifth request is refused, and room is used again at once."""
    endpoints = [scripted(hold_until_told) for _ in range(2)]
    worker = start(world(pool(*[at(each, max_in_flight=2) for each in endpoints])))
    clients = [worker.connect() for _ in range(4)]
    for client in clients:
        client.send(get())
    for endpoint in endpoints:
        wait_until(lambda e=endpoint: e.requests_begun == 2, "each took two")  # type: ignore[misc]
    assert [worker.load(endpoint) for endpoint in endpoints] == [2, 2]
    late = worker.connect()
    refused = late.get()
    assert refused.status == 503
    assert "retry-after" in refused.headers
    for endpoint in endpoints:
        for connection in endpoint.connections:
            connection.go_on.set()
    assert [client.read_response().status for client in clients] == [200] * 4
    assert late.get().status == 200


def test_max_in_flight_counts_what_other_workers_have(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(at(endpoint, max_in_flight=3))), workers=2)
    client = worker.connect()
    others = worker.board.load(worker.row("main", endpoint), 1) + L_IN_FLIGHT
    for elsewhere, status in [(2, 200), (3, 503), (2, 200), (4, 503), (0, 200)]:
        worker.board.cells[others] = elsewhere
        assert client.get().status == status


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
