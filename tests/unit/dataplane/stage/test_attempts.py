"""What follows an attempt that failed: another, somewhere else, or an error of ours."""

import pytest

from penstock.core.snapshot import Connections, Retry
from tests.harness.fake.stage import Stage, address_of, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.fake.system import FakeServer, Manner
from tests.harness.messages import answer, answer_of, get, post
from tests.harness.world import world
from tests.unit.dataplane.stage.asking import ask, body_of, status_of
from tests.unit.dataplane.stage.watching import outcomes, watched

POST = post("Content-Length: 2", body=b"ok")


def newest(stage: Stage) -> tuple[int, End]:
    """The one connection on which a request waits to be read, and its endpoint's row."""
    found = [(row, end) for row in range(3) for end in stage.servers[row].accepted if end.inbox]
    assert len(found) == 1
    stage.received(found[0][1])
    return found[0]


@pytest.mark.parametrize("manner", ["refuse", "unreachable", "hang"])
def test_a_request_that_no_connection_could_be_made_for_goes_elsewhere(manner: Manner) -> None:
    with Stage(world(watched(pool_of(0, 1)))) as stage:
        stage.servers[0].manner = manner
        for _ in range(8):
            client = stage.client()
            stage.send(client, POST)
            stage.pass_time(2.5)
            row, endpoint = newest(stage)
            assert row == 1
            stage.send(endpoint, answer_of(b"1"))
            assert body_of(client.read()) == b"1"
        assert outcomes().count("done") == 8
        assert set(outcomes()) == {"done", "connect_failed"}


def test_a_retry_goes_to_an_endpoint_that_was_not_tried() -> None:
    with Stage(world(watched(pool_of(0, 1, 2)))) as stage:
        client = stage.client()
        stage.send(client, get())
        tried = []
        for _ in range(3):
            row, endpoint = newest(stage)
            tried.append(row)
            endpoint.reset()
            stage.settle()
        assert sorted(tried) == [0, 1, 2]
        assert status_of(client.read()) == 502
        assert outcomes() == ["reset"] * 3


def test_a_request_that_may_have_been_carried_out_is_not_repeated() -> None:
    with Stage(world(watched(pool_of(0, 1)))) as stage:
        client = stage.client()
        stage.send(client, POST)
        _, endpoint = newest(stage)
        endpoint.reset()
        stage.settle()
        assert status_of(client.read()) == 502
        assert outcomes() == ["reset"]


def test_a_status_that_asks_for_it_is_retried_and_the_client_sees_the_last_answer_only() -> None:
    with Stage(world(watched(pool_of(0, 1)))) as stage:
        client = stage.client()
        stage.send(client, get())
        _, first = newest(stage)
        stage.send(first, answer(body=b"", status="503 Busy"))
        _, second = newest(stage)
        stage.send(second, answer_of(b"hello"))
        got = client.read()
        assert status_of(got) == 200
        assert got.count(b"HTTP/1.1") == 1


def test_a_stale_idle_connection_is_replaced_once_and_says_nothing_of_its_endpoint() -> None:
    with Stage(world(watched(pool_of(0, retry=Retry(attempts=1))))) as stage:
        client, endpoint = ask(stage)
        stage.send(endpoint, answer_of(b"1"))
        client.read()
        client.send(get("/second"))
        stage.turn()  # the request goes out on the idle connection
        endpoint.read()
        endpoint.close()
        stage.settle()
        fresh, data = stage.asked(0)
        assert fresh is not endpoint
        assert b"GET /second" in data
        stage.send(fresh, answer_of(b"2"))
        assert body_of(client.read()) == b"2"
        assert outcomes() == ["done", "abandoned", "done"]


def test_a_fresh_connection_that_dies_is_not_taken_for_a_stale_one() -> None:
    with Stage(world(watched(pool_of(0, retry=Retry(attempts=1))))) as stage:
        client, endpoint = ask(stage)
        endpoint.close()
        stage.settle()
        assert status_of(client.read()) == 502
        assert outcomes() == ["reset"]


def test_a_post_under_which_an_idle_connection_ends_is_repeated_only_if_it_never_arrived() -> None:
    for arrived in (False, True):
        with Stage(world(watched(pool_of(0, retry=Retry(attempts=1))))) as stage:
            client, endpoint = ask(stage)
            stage.send(endpoint, answer_of(b"1"))
            client.read()
            stage.pass_time(0.5)
            client.send(POST)
            if arrived:
                stage.turn()
                endpoint.read()
                endpoint.close()
            else:
                endpoint.close()
                client_first(stage)
            stage.settle()
            if arrived:
                assert status_of(client.read()) == 502
            else:
                stage.send(stage.asked(0)[0], answer_of(b"2"))
                assert body_of(client.read()) == b"2"


def client_first(stage: Stage) -> None:
    """Of a batch of events, the client's comes before its endpoint's."""
    (client,) = stage.clients()
    client.on_readable()


def test_lack_of_descriptors_is_no_endpoints_fault() -> None:
    with Stage(world(watched(pool_of(0, 1)))) as stage:
        stage.system.no_descriptors = True
        client = stage.client()
        stage.send(client, get())
        assert status_of(client.read()) == 503
        assert outcomes() == ["abandoned"]


def test_of_two_addresses_the_one_that_answers_is_used_and_nothing_is_left_of_the_other() -> None:
    endpoint = member(0, addresses=("192.0.2.9", "192.0.2.10"))
    with Stage(world(pool_of(endpoint))) as stage:
        stage.servers[0].manner = "hang"
        other = FakeServer()
        stage.system.servers[address_of(0, "192.0.2.10")] = other
        client = stage.client()
        stage.send(client, get())
        stage.pass_time(1.0)
        (end,) = other.accepted
        stage.received(end)
        stage.send(end, answer_of(b"hello"))
        assert body_of(client.read()) == b"hello"
        # The loop watches the listener, the client and one connection to the endpoint.
        assert len(stage.loop.by_fd) == 3
        assert len(stage.system.open) == 3


def test_a_body_that_goes_on_elsewhere_is_the_clients_turn_there_too() -> None:
    """On an idle connection, whose own time to be idle must not run on beneath it."""
    pool = watched(pool_of(0, 1, connections=Connections(idle_timeout_s=5.0)))
    with Stage(world(pool)) as stage:
        for _ in range(6):  # so often that idle connections are trusted
            both = [stage.client(), stage.client()]
            for client in both:
                stage.send(client, get())
            for row in range(2):
                for end in [each for each in stage.servers[row].accepted if each.inbox]:
                    stage.received(end)
                    stage.send(end, answer_of(b"1"))
            for client in both:
                assert body_of(client.read()) == b"1"
        client = stage.client()
        head = b"PUT / HTTP/1.1\r\nHost: site.example\r\nContent-Length: 4\r\n\r\n"
        stage.send(client, head + b"ab")
        row, first = newest(stage)
        first.reset()
        stage.settle()
        other, elsewhere = newest(stage)
        assert other != row
        stage.pass_time(10.0)
        stage.send(client, b"cd")
        stage.send(elsewhere, answer_of(b"done"))
        assert body_of(client.read()) == b"done"
