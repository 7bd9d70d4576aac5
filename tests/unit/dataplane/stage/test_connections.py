"""Connections of clients and to endpoints between requests: kept, ended, and used again."""

import pytest

from penstock.core.snapshot import Connections, Limits
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.messages import answer, answer_of, get, head
from tests.harness.world import listener, world
from tests.unit.dataplane.stage.asking import ask, status_of


def test_a_connection_to_an_endpoint_takes_one_request_after_the_other() -> None:
    with Stage() as stage:
        for _ in range(3):
            client = stage.client()
            stage.send(client, get())
            endpoint, data = stage.asked(0)
            assert data
            stage.send(endpoint, answer_of(b"hello"))
        assert len(stage.servers[0].accepted) == 1


@pytest.mark.parametrize(
    "given",
    [
        answer("Content-Length: 5", "Connection: close"),
        answer("Content-Length: 5", body=b"hello and more"),
        answer("Content-Length: 5").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["it says so", "it sent more than it said", "HTTP/1.0"],
)
def test_a_connection_that_was_not_cleanly_framed_is_not_kept(given: bytes) -> None:
    with Stage() as stage:
        _, endpoint = ask(stage)
        stage.send(endpoint, given)
        assert endpoint.ended or endpoint.dead
        assert stage.endpoint_connections() == []


def test_no_more_idle_connections_are_kept_than_configured() -> None:
    with Stage(world(pool_of(0, connections=Connections(max_idle=1)))) as stage:
        pairs = [ask(stage) for _ in range(3)]
        for _, endpoint in pairs:
            stage.send(endpoint, answer_of(b"hello"))
        assert len(stage.endpoint_connections()) == 1


def test_an_idle_connection_that_its_endpoint_ends_is_forgotten() -> None:
    with Stage() as stage:
        _, endpoint = ask(stage)
        stage.send(endpoint, answer_of(b"hello"))
        endpoint.close()
        stage.settle()
        assert stage.endpoint_connections() == []
        assert stage.pool().members[0].connector.idle == []
        assert stage.pool().members[0].connector.open_connections == 0


@pytest.mark.parametrize(
    ("request_head", "kept"),
    [
        (get(), True),
        (get("/", "Connection: close"), False),
        (head("GET / HTTP/1.0"), False),
        (head("GET / HTTP/1.0", "Connection: keep-alive"), True),
    ],
)
def test_a_clients_connection_persists_as_its_head_says(request_head: bytes, kept: bool) -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, request_head)
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200
        assert client.ended is not kept


def test_a_client_makes_no_more_requests_on_a_connection_than_it_may() -> None:
    limited = listener(limits=Limits(requests_per_connection=2))
    with Stage(world(pool_of(0), listeners=[limited])) as stage:
        client = stage.client()
        for number in (1, 2):
            stage.send(client, get())
            stage.send(stage.asked(0)[0], answer_of(b"hello"))
            got = client.read()
            assert (b"Connection: close" in got) is (number == 2)
        assert client.ended


def test_beyond_the_limit_of_connections_clients_are_closed_at_once() -> None:
    limited = listener(limits=Limits(connections=1))
    with Stage(world(pool_of(0), listeners=[limited])) as stage:
        first = stage.client()
        second = stage.client()
        assert second.ended
        assert not first.ended


def test_a_worker_that_stops_lets_requests_finish_and_idle_clients_go() -> None:
    with Stage() as stage:
        busy, endpoint = ask(stage)
        idle = stage.client()
        stage.send(idle, get("/idle"))
        idle_endpoint = stage.servers[0].accepted[-1]
        stage.received(idle_endpoint)
        stage.send(idle_endpoint, answer_of(b"hello"))
        stage.worker.stop(30.0)
        stage.settle()
        assert idle.ended
        stage.send(endpoint, answer_of(b"hello"))
        assert b"Connection: close" in busy.read()
        assert busy.ended
        assert stage.listening.closed


def test_a_snapshot_that_comes_while_the_worker_stops_does_not_open_its_listener_again() -> None:
    with Stage() as stage:
        ask(stage)
        stage.worker.stop(30.0)
        stage.apply(world(pool_of(1)))
        stage.settle()
        assert stage.listening.fd not in stage.loop.by_fd
