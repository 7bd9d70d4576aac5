"""An exchange, from its request to the settled ticket."""

import pytest

from penstock.core.snapshot import Retry
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import ROOM_BYTES, End
from tests.harness.messages import answer, answer_of, chunked_answer, get, head, post
from tests.harness.world import world
from tests.unit.dataplane.stage.asking import ask, body_of, status_of
from tests.unit.dataplane.stage.watching import outcomes, watched


@pytest.mark.parametrize(
    "end", ["answered", "client leaves", "endpoint resets", "babble", "timeout", "refused", "stop"]
)
def test_a_ticket_is_settled_once_and_its_load_returned_however_it_ends(end: str) -> None:
    with Stage(world(watched(pool_of(0, retry=Retry(attempts=1))))) as stage:
        if end == "refused":
            stage.servers[0].manner = "refuse"
            stage.send(stage.client(), get())
        else:
            client, endpoint = ask(stage)
            assert stage.in_flight() == 1
            if end == "answered":
                stage.send(endpoint, answer_of(b"hello"))
            elif end == "client leaves":
                client.close()
            elif end == "endpoint resets":
                endpoint.reset()
            elif end == "babble":
                stage.send(endpoint, b"\0\r\n\r\n")
            elif end == "timeout":
                stage.pass_time(301.0, step_s=10.0)
            else:
                stage.worker.stop(0.0)
                stage.worker.finish()
            stage.settle()
        assert stage.in_flight() == 0
        assert (
            outcomes()
            == {
                "answered": ["done"],
                "client leaves": ["client_gone"],
                "endpoint resets": ["reset"],
                "babble": ["garbage"],
                "timeout": ["timeout"],
                "refused": ["connect_failed"],
                "stop": ["abandoned"],
            }[end]
        )


def test_an_answer_reaches_the_client_in_the_turn_in_which_it_came() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage)
        endpoint.send(answer("Content-Length: 10", body=b"hello"))
        stage.turn()
        assert body_of(client.read()) == b"hello"
        endpoint.send(b"world")
        stage.turn()
        assert client.read() == b"world"


def test_a_slow_client_holds_its_endpoint_and_loses_nothing() -> None:
    body = bytes(range(256)) * 80
    with Stage() as stage:
        client, endpoint = ask(stage)
        rest = endpoint.offer(answer_of(body))
        while stage.settle():
            rest = endpoint.offer(rest)
        assert rest, "the worker took all of an answer that nobody reads"
        assert len(client.inbox) == ROOM_BYTES
        got = b""
        while client.inbox:
            got += client.read()
            stage.settle()
            rest = endpoint.offer(rest)
            stage.settle()
        assert body_of(got) == body


def test_a_slow_endpoint_holds_its_client_and_loses_nothing() -> None:
    body = bytes(range(256)) * 80
    with Stage() as stage:
        client = stage.client()
        rest = client.offer(post(f"Content-Length: {len(body)}", body=body))
        while stage.settle():
            rest = client.offer(rest)
        assert rest, "the worker took all of a body that nobody reads"
        endpoint = stage.servers[0].accepted[0]
        got = b""
        while endpoint.inbox:
            got += endpoint.read()
            stage.settle()
            rest = client.offer(rest)
            stage.settle()
        assert body_of(got) == body


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_is_cut_when_its_endpoint_dies_within_the_answer(framing: str) -> None:
    begun = {
        "length": answer("Content-Length: 10", body=b"hello"),
        "chunked": chunked_answer(b"5\r\nhello\r\n"),
    }[framing]
    with Stage(world(watched(pool_of(0, 1)))) as stage:
        client, endpoint = ask_watched(stage)
        stage.send(endpoint, begun)
        endpoint.reset()
        stage.settle()
        got = client.read()
        assert status_of(got) == 200
        assert not got.endswith(b"0\r\n\r\n")
        assert client.ended or client.dead
        assert outcomes() == ["reset"]  # and nothing was tried again


def test_a_client_of_http_1_0_is_cut_by_a_reset_where_only_the_close_ends_the_answer() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, head("GET / HTTP/1.0"))
        stage.send(endpoint, chunked_answer(b"5\r\nhello\r\n"))
        endpoint.reset()
        stage.settle()
        assert body_of(client.read()) == b"hello"
        assert client.dead
        assert not client.ended


def test_a_client_that_half_closes_does_not_take_a_part_for_the_whole() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, head("GET / HTTP/1.0"))
        stage.send(endpoint, chunked_answer(b"5\r\nhello\r\n"))
        client.half_close()
        stage.settle()
        assert client.dead
        assert not client.ended


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body_is_whole_with_its_head(status: str) -> None:
    with Stage() as stage:
        client, endpoint = ask(stage)
        stage.send(endpoint, answer(body=b"", status=status))
        assert client.read().endswith(b"\r\n\r\n")
        assert stage.in_flight() == 0
        stage.send(client, get("/again"))
        assert b"GET /again" in stage.asked(0)[1]
        assert len(stage.servers[0].accepted) == 1


def test_the_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, head("HEAD / HTTP/1.1"))
        stage.send(endpoint, answer("Content-Length: 10", body=b""))
        assert b"Content-Length: 10" in client.read()
        assert stage.in_flight() == 0


def test_pipelined_requests_are_answered_in_their_order() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, get("/first") + get("/second"))
        assert len(stage.servers[0].accepted) == 1
        stage.send(endpoint, answer_of(b"1"))
        assert b"GET /second" in stage.asked(0)[1]
        stage.send(endpoint, answer_of(b"2"))
        first, _, second = stage.received(client).partition(b"\r\n\r\n1")
        assert status_of(first) == 200
        assert body_of(second) == b"2"


def test_an_exchange_keeps_its_endpoint_through_a_reload_that_removes_it() -> None:
    with Stage(world(pool_of(0))) as stage:
        client, endpoint = ask(stage)
        stage.send(endpoint, answer("Content-Length: 10", body=b"hello"))
        stage.apply(world(pool_of(1)))
        stage.send(endpoint, b"world")
        assert body_of(stage.received(client)) == b"helloworld"
        assert stage.in_flight() == 0
        assert endpoint.ended, "a connection to a removed endpoint is kept"
        stage.send(client, get())
        assert stage.asked(1)[1]


def ask_watched(stage: Stage) -> tuple[End, End]:
    """As ``ask``, whichever endpoint was chosen."""
    client = stage.client()
    stage.send(client, get())
    (endpoint,) = [end for server in stage.servers for end in server.accepted]
    stage.received(endpoint)
    return client, endpoint
