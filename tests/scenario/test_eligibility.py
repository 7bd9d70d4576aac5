"""Who is asked: endpoints that are up, in order of their groups, while they have room."""

import json
from collections.abc import Callable

import pytest

from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import Pool
from penstock.dataplane.board.layout import L_IN_FLIGHT, P_NO_ENDPOINT, S_EJECTED, S_HEALTH
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, get
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import at, pool, world

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
            said = json.loads(response.body)["error"]["message"]
            assert said == (
                "there are no endpoints" if cell == "none" else "no endpoint is available"
            )
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
