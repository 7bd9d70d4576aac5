"""Requests that wait for room at an endpoint: who waits, who goes on, and when."""

from penstock.core.health.health import DOWN
from penstock.core.snapshot import Admission, Queue, Snapshot
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of, get
from tests.harness.world import world
from tests.unit.dataplane.stage.asking import status_of


def queued(*rows: int, length: int = 2) -> Snapshot:
    """Each endpoint takes one request at a time."""
    members = [member(row, max_in_flight=1) for row in rows]
    return world(pool_of(*members, admission=Admission(queue=Queue(length=length))))


def asking(stage: Stage, target: str) -> End:
    client = stage.client()
    stage.send(client, get(target))
    return client


def test_requests_go_on_in_their_order_as_soon_as_there_is_room() -> None:
    with Stage(queued(0)) as stage:
        clients = [asking(stage, f"/{number}") for number in range(3)]
        (endpoint,) = stage.servers[0].accepted
        for number, client in enumerate(clients):
            assert b"GET /%d " % number in stage.received(endpoint)
            assert stage.in_flight() == 1
            stage.send(endpoint, answer_of(b"hello"))
            assert status_of(client.read()) == 200
        assert stage.in_flight() == 0


def test_a_full_queue_turns_away() -> None:
    with Stage(queued(0)) as stage:
        clients = [asking(stage, "/") for _ in range(4)]
        assert [status_of(client.read()) for client in clients] == [0, 0, 0, 503]


def test_a_client_that_leaves_the_queue_makes_no_load() -> None:
    with Stage(queued(0)) as stage:
        asking(stage, "/0")
        leaving = asking(stage, "/1")
        last = asking(stage, "/2")
        leaving.close()
        stage.settle()
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer_of(b"hello"))
        assert b"GET /2" in stage.received(endpoint)
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(last.read()) == 200


def test_those_who_wait_go_at_once_into_room_that_a_reload_brings() -> None:
    with Stage(queued(0)) as stage:
        asking(stage, "/0")
        waiting = asking(stage, "/1")
        stage.apply(queued(0, 1))
        stage.settle()
        endpoint, data = stage.asked(1)
        assert b"GET /1" in data
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(waiting.read()) == 200


def test_those_who_wait_go_on_when_a_reload_takes_the_queue_away() -> None:
    with Stage(queued(0)) as stage:
        asking(stage, "/0")
        asking(stage, "/1")
        stage.apply(world(pool_of(0)))
        stage.settle()
        assert stage.in_flight() == 2


def test_those_who_wait_are_not_sent_to_an_endpoint_that_is_down() -> None:
    with Stage(queued(0, 1)) as stage:
        clients = [asking(stage, f"/{number}") for number in range(3)]
        for row in (0, 1):
            stage.set_health(row, DOWN)
        (endpoint,) = stage.servers[0].accepted
        stage.received(endpoint)
        stage.send(endpoint, answer_of(b"hello"))
        stage.pass_time(1.0)
        assert stage.in_flight() == 1
        assert sorted(status_of(client.read()) for client in clients) == [0, 0, 200]


def test_those_who_wait_go_at_once_into_room_that_a_failed_attempt_left() -> None:
    with Stage(queued(0, 1)) as stage:
        for number in range(3):
            asking(stage, f"/{number}")
        ends = [stage.servers[row].accepted[0] for row in (0, 1)]
        assert [stage.received(end).count(b"GET") for end in ends] == [1, 1]
        ends[0].reset()
        stage.settle()
        assert b"GET /2 " in stage.asked(0)[1]
        assert stage.in_flight() == 2
