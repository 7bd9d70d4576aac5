"""The body of a request on its way: held, passed on, kept for another attempt."""

import pytest

from tests.harness.fake.stage import Stage, pool_of
from tests.harness.messages import answer, answer_of, chunked, post
from tests.harness.world import world
from tests.unit.dataplane.stage.asking import ask, body_of, status_of


def test_a_piece_reaches_the_endpoint_in_the_turn_in_which_it_came() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, post("Content-Length: 10", body=b"hello"))
        client.send(b"world")
        stage.turn()
        assert endpoint.read() == b"world"


def test_a_body_stays_with_its_client_until_there_is_a_connection() -> None:
    with Stage() as stage:
        stage.servers[0].manner = "hang"
        client = stage.client()
        rest = client.offer(post("Content-Length: 20000", body=b"x" * 20000))
        while stage.settle():
            rest = client.offer(rest)
        assert rest
        assert client.space() == 0


def test_a_body_that_came_is_sent_again_to_the_next_endpoint() -> None:
    request = post("Content-Length: 10", body=b"helloworld").replace(b"POST", b"PUT")
    with Stage(world(pool_of(0, 1))) as stage:
        client = stage.client()
        stage.send(client, request[:-8])
        for piece in (b"l", b"l", b"o"):
            stage.send(client, piece)
        (first,) = [end for server in stage.servers for end in server.accepted]
        assert body_of(stage.received(first)) == b"hello"
        first.reset()
        stage.settle()
        (second,) = [end for server in stage.servers for end in server.accepted if end is not first]
        stage.send(client, b"world")
        assert body_of(stage.received(second)) == b"helloworld"


def test_chunks_are_passed_on_as_their_sizes_say() -> None:
    with Stage() as stage:
        client = stage.client()
        stage.send(client, chunked(b"5\r\nhe"))
        endpoint, data = stage.asked(0)
        assert body_of(data) == b"2\r\nhe\r\n"
        stage.send(client, b"llo\r\n0\r\n\r\n")
        assert stage.received(endpoint) == b"3\r\nllo\r\n0\r\n\r\n"


def test_a_body_that_turns_out_bad_is_given_up_and_refused() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, chunked(b"5\r\nhello\r\n"))
        stage.send(client, b"no size\r\n")
        assert status_of(client.read()) == 400
        assert endpoint.ended or endpoint.dead
        assert stage.in_flight() == 0


def test_a_client_that_waits_for_100_is_told_when_its_endpoint_asks() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, post("Content-Length: 5", "Expect: 100-continue"))
        assert not client.inbox
        stage.send(endpoint, b"HTTP/1.1 100 Continue\r\n\r\n")
        assert client.read().startswith(b"HTTP/1.1 100 ")
        stage.send(client, b"hello")
        assert stage.received(endpoint) == b"hello"


@pytest.mark.parametrize("more_comes", [False, True])
def test_an_answer_before_the_end_of_the_body_is_passed_on_and_ends_both_connections(
    more_comes: bool,
) -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, post("Content-Length: 10", body=b"hello"))
        stage.send(endpoint, answer_of(b"no more", status="403 Forbidden"))
        got = client.read()
        assert status_of(got) == 403
        assert b"Connection: close" in got
        if more_comes:
            client.offer(b"world")
            stage.settle()
        assert client.ended
        assert endpoint.ended or endpoint.dead
        assert stage.in_flight() == 0


def test_a_body_goes_on_while_its_answer_comes() -> None:
    with Stage() as stage:
        client, endpoint = ask(stage, post("Content-Length: 10", body=b"hello"))
        stage.send(endpoint, answer("Content-Length: 4", body=b"12"))
        stage.send(client, b"world")
        assert stage.received(endpoint) == b"world"
        stage.send(endpoint, b"34")
        assert body_of(client.read()) == b"1234"


def buffering(buffer: int) -> Stage:
    return Stage(world(pool_of(0, request_buffer=buffer)))


def test_a_request_takes_no_place_before_its_body_is_there() -> None:
    with buffering(65536) as stage:
        client = stage.client()
        stage.send(client, post("Content-Length: 10", body=b"hello"))
        assert not stage.servers[0].accepted
        assert stage.in_flight() == 0
        stage.send(client, b"worl")
        assert not stage.servers[0].accepted
        stage.send(client, b"d")
        endpoint, data = stage.asked(0)
        assert body_of(data) == b"helloworld"
        stage.send(endpoint, answer_of(b"done"))
        assert body_of(client.read()) == b"done"


def test_of_a_longer_body_so_much_is_awaited_and_the_rest_passes_as_it_comes() -> None:
    with buffering(8) as stage:
        client = stage.client()
        stage.send(client, post("Content-Length: 20", body=b"hello"))
        assert not stage.servers[0].accepted
        stage.send(client, b"world")
        endpoint, data = stage.asked(0)
        assert body_of(data) == b"helloworld"
        stage.send(client, b"again")
        assert stage.received(endpoint) == b"again"


def test_a_body_whose_length_is_not_told_is_not_awaited() -> None:
    with buffering(65536) as stage:
        stage.send(stage.client(), chunked(b"5\r\nhello\r\n"))
        _, data = stage.asked(0)
        assert body_of(data) == b"5\r\nhello\r\n"


def test_who_waits_for_100_gets_it_from_us_where_its_body_is_awaited() -> None:
    with buffering(65536) as stage:
        client = stage.client()
        stage.send(client, post("Content-Length: 5", "Expect: 100-continue"))
        assert status_of(client.read()) == 100
        assert not stage.servers[0].accepted
        stage.send(client, b"hello")
        endpoint, data = stage.asked(0)
        assert body_of(data) == b"hello"
        stage.send(endpoint, b"HTTP/1.1 100 Continue\r\n\r\n" + answer_of(b"done"))
        assert status_of(client.read()) == 200


@pytest.mark.parametrize("leaves", ["close", "late"])
def test_whose_body_never_comes_costs_no_endpoint_anything(leaves: str) -> None:
    with buffering(65536) as stage:
        client = stage.client()
        stage.send(client, post("Content-Length: 10", body=b"hello"))
        if leaves == "close":
            client.close()
        else:
            stage.pass_time(100.0, step_s=1.0)
            assert status_of(client.read()) == 408
        stage.settle()
        assert not stage.servers[0].accepted
        assert stage.in_flight() == 0


def test_an_empty_line_before_a_request_takes_nothing_from_its_body() -> None:
    """RFC 9112, 2.2: it is ignored."""
    with Stage() as stage:
        client = stage.client()
        stage.send(client, b"\r\n" + post("Content-Length: 5", body=b"hello"))
        endpoint, data = stage.asked(0)
        assert data.endswith(b"\r\n\r\nhello")
        stage.send(endpoint, answer_of(b"hello"))
        stage.send(client, post("Content-Length: 5", body=b"again"))
        _, data = stage.asked(0)
        assert data.endswith(b"\r\n\r\nagain")
