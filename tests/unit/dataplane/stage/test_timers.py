"""Every time a client or an endpoint may take, on a clock that is moved by hand.

Each is 5 s here; it has not run out after 4.5 s, and has after 5.5 s (deadlines are swept).
"""

import pytest

from penstock.core.snapshot import (
    Admission,
    Connections,
    Limits,
    ListenerTimeouts,
    PoolTimeouts,
    Queue,
    Retry,
    Snapshot,
)
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.messages import answer, answer_of, get, post
from tests.harness.world import listener, world
from tests.unit.dataplane.stage.asking import ask, body_of, status_of

TIMEOUT_S = 5.0
JUST_BEFORE_S = 4.5
AFTER_S = 1.0  # more, and it is past


def one(name: str) -> Snapshot:
    """A world in which only that time is bounded."""
    of_pool = {"connect_s": 0.0, "first_byte_s": 0.0, "stream_idle_s": 0.0, "request_s": 0.0}
    of_client = {
        "client_headers_s": 0.0,
        "client_body_idle_s": 0.0,
        "keep_alive_idle_s": 0.0,
        "client_write_idle_s": 0.0,
    }
    assert (name in of_pool) + (name in of_client) == 1
    (of_pool if name in of_pool else of_client)[name] = TIMEOUT_S
    pool = pool_of(0, timeouts=PoolTimeouts(**of_pool), retry=Retry(attempts=1))
    return world(
        pool,
        listeners=[listener(timeouts=ListenerTimeouts(**of_client), limits=Limits(body_rate=0))],
    )


def test_connecting_takes_no_longer_than_connect() -> None:
    with Stage(one("connect_s")) as stage:
        stage.servers[0].manner = "hang"
        client = stage.client()
        stage.send(client, get())
        stage.pass_time(JUST_BEFORE_S)
        assert not client.inbox
        stage.pass_time(AFTER_S)
        assert status_of(client.read()) == 504


def test_the_first_byte_takes_no_longer_than_first_byte() -> None:
    with Stage(one("first_byte_s")) as stage:
        client, endpoint = ask(stage)
        stage.pass_time(JUST_BEFORE_S)
        assert not client.inbox
        stage.pass_time(AFTER_S)
        assert status_of(client.read()) == 504
        assert endpoint.ended


def test_an_answer_stands_still_no_longer_than_stream_idle() -> None:
    with Stage(one("stream_idle_s")) as stage:
        client, endpoint = ask(stage)
        stage.send(endpoint, answer("Content-Length: 10", body=b"hel"))
        stage.pass_time(JUST_BEFORE_S)
        stage.send(endpoint, b"lo")  # another piece begins it anew
        stage.pass_time(JUST_BEFORE_S)
        assert not client.ended
        stage.pass_time(AFTER_S)
        assert body_of(client.read()) == b"hello"
        assert client.ended
        assert stage.in_flight() == 0


def test_the_endpoint_is_not_blamed_while_its_client_reads_nothing() -> None:
    with Stage(one("stream_idle_s")) as stage:
        client, endpoint = ask(stage)
        rest = endpoint.offer(answer_of(b"x" * 20000))
        while stage.settle():
            rest = endpoint.offer(rest)
        stage.pass_time(10 * TIMEOUT_S)
        assert stage.in_flight() == 1
        assert not client.ended


def test_a_client_reads_nothing_no_longer_than_write_idle() -> None:
    with Stage(one("client_write_idle_s")) as stage:
        client, endpoint = ask(stage)
        rest = endpoint.offer(answer_of(b"x" * 20000))
        while stage.settle():
            rest = endpoint.offer(rest)
        stage.pass_time(JUST_BEFORE_S)
        assert not client.dead
        stage.pass_time(AFTER_S)
        assert client.dead
        assert endpoint.ended or endpoint.dead
        assert stage.in_flight() == 0


def test_a_body_pauses_no_longer_than_body_idle() -> None:
    with Stage(one("client_body_idle_s")) as stage:
        client, endpoint = ask(stage, post("Content-Length: 10", body=b"hel"))
        stage.pass_time(JUST_BEFORE_S)
        stage.send(client, b"lo")
        stage.pass_time(JUST_BEFORE_S)
        assert not client.inbox
        stage.pass_time(AFTER_S)
        assert status_of(client.read()) == 408
        assert endpoint.ended or endpoint.dead
        assert stage.in_flight() == 0


def test_an_answer_until_the_close_is_reset_when_its_request_ends_too_late() -> None:
    """An end in order would make what came so far look like the whole answer (RFC 9112, 8)."""
    late = b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 10\r\n\r\nhel"
    with Stage(one("client_body_idle_s")) as stage:
        client, endpoint = ask(stage, late)
        stage.send(endpoint, answer("Transfer-Encoding: chunked", body=b"5\r\nbegun\r\n"))
        assert body_of(client.read()) == b"begun"
        stage.pass_time(TIMEOUT_S + AFTER_S)
        assert client.dead
        assert not client.ended


def test_a_client_is_not_blamed_while_its_endpoint_takes_no_body() -> None:
    with Stage(one("client_body_idle_s")) as stage:
        client = stage.client()
        rest = client.offer(post("Content-Length: 20000", body=b"x" * 20000))
        while stage.settle():
            rest = client.offer(rest)
        stage.pass_time(10 * TIMEOUT_S)
        assert stage.in_flight() == 1
        assert not client.inbox


def test_a_head_takes_no_longer_than_headers_in_all() -> None:
    with Stage(one("client_headers_s")) as stage:
        client = stage.client()
        for piece in (b"GET / HT", b"TP/1.1\r\n", b"Host: a\r\n"):
            stage.send(client, piece)
            stage.pass_time(1.5)
        assert not client.inbox
        stage.pass_time(AFTER_S)
        assert status_of(client.read()) == 408


def test_a_client_is_idle_no_longer_than_keep_alive() -> None:
    with Stage(one("keep_alive_idle_s")) as stage:
        client, endpoint = ask(stage)
        stage.send(endpoint, answer_of(b"hello"))
        stage.pass_time(JUST_BEFORE_S)
        assert not client.ended
        stage.pass_time(AFTER_S)
        assert client.ended


@pytest.mark.parametrize("trickles", [False, True])
def test_a_whole_exchange_takes_no_longer_than_request(trickles: bool) -> None:
    with Stage(one("request_s")) as stage:
        client, endpoint = ask(stage)
        if trickles:
            stage.send(endpoint, answer("Content-Length: 10", body=b""))
            for _ in range(9):
                stage.pass_time(0.5)
                stage.send(endpoint, b"x")
        else:
            stage.pass_time(JUST_BEFORE_S)
        assert stage.in_flight() == 1
        stage.pass_time(AFTER_S)
        assert stage.in_flight() == 0
        assert endpoint.ended
        assert client.ended if trickles else status_of(client.read()) == 504


def test_an_idle_connection_to_an_endpoint_is_kept_no_longer_than_its_timeout() -> None:
    pool = pool_of(0, connections=Connections(idle_timeout_s=TIMEOUT_S))
    with Stage(world(pool)) as stage:
        _, endpoint = ask(stage)
        stage.send(endpoint, answer_of(b"hello"))
        stage.pass_time(JUST_BEFORE_S)
        assert not endpoint.ended
        stage.pass_time(AFTER_S)
        assert endpoint.ended


def test_a_request_waits_in_the_queue_no_longer_than_its_timeout() -> None:
    queue = Admission(queue=Queue(timeout_s=TIMEOUT_S))
    with Stage(world(pool_of(member(0, max_in_flight=1), admission=queue))) as stage:
        ask(stage)
        waiting = stage.client()
        stage.send(waiting, get())
        stage.pass_time(JUST_BEFORE_S)
        assert not waiting.inbox
        stage.pass_time(AFTER_S)
        assert status_of(waiting.read()) == 503
