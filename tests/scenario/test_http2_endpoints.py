"""HTTP/2 to endpoints: many streams on few connections, and no rule of a request is another.

The endpoints speak HTTP/2 through a balancer of ours in front of servers of another make.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.core.snapshot import EndpointTls, Http2, Limits
from penstock.dataplane.board.layout import (
    L_CONNECTIONS,
    P_CUT,
    P_RETRIES,
    W_CONNECTIONS,
    W_HTTP2_CONNECTIONS,
)
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http2_client import Http2Client
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import answer, answer_of, chunked, get, post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, HasAddress, at, listener, pool, world
from tests.scenario.certificates import Authority

MIB = 1024 * 1024

Start = Callable[..., Worker]
Scripted = Callable[[Script], ScriptedEndpoint]


def behind(
    start: Start,
    *servers: HasAddress,
    streams: int = 100,
    requests: int = 0,
    connection_bytes: int = 1 << 20,
) -> tuple[Worker, Address]:
    """A worker that speaks HTTP/2 before these servers, and where it stands."""
    limits = Limits(requests_per_connection=requests)
    listeners = [
        listener(http2=Http2(streams=streams, connection_bytes=connection_bytes), limits=limits)
    ]
    worker = start(world(pool(*servers), listeners=listeners))
    return worker, Address(worker.address()[1])


def in_front(start: Start, *addresses: Address) -> Worker:
    return start(world(pool(*[at(each, http2=True) for each in addresses])))


def echo(request: Recorded) -> Answer:
    return Answer(body=request.body, headers=(("X-Own", "a"),))


@pytest.mark.parametrize("size", [0, 1, 1000, 100_000, 3 * MIB])
@pytest.mark.parametrize("in_chunks", [False, True])
def test_bodies_pass_both_ways(
    start: Start, endpoint: HttpEndpoint, size: int, in_chunks: bool
) -> None:
    endpoint.answer = echo
    inner, address = behind(start, endpoint)
    client = in_front(start, address).connect()
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    if in_chunks:
        pieces = [body[at : at + 50_000] for at in range(0, size, 50_000)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        client.send(chunked(framed + b"0\r\n\r\n"))
    else:
        client.send(post(f"Content-Length: {size}", body=body))
    found = client.read_response("POST")
    assert (found.status, found.body) == (200, body)
    assert found.headers["x-own"] == "a"
    assert found.headers["via"] == "1.1 penstock, 2.0 penstock"
    wait_until(lambda: inner.count(W_HTTP2_CONNECTIONS) == 1, "it was spoken")


def test_answers_without_a_length_come_as_they_are_sent(start: Start, scripted: Scripted) -> None:
    def play(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n"))
        connection.go_on.wait()
        connection.send(b"5\r\nlater\r\n0\r\n\r\n")

    endpoint = scripted(play)
    _, address = behind(start, endpoint)
    client = in_front(start, address).connect()
    client.send(get())
    client.read_until(b"first")
    endpoint.connection().go_on.set()
    client.read_until(b"later\r\n0\r\n\r\n")


def test_heads_without_bodies(start: Start, endpoint: HttpEndpoint) -> None:
    _, address = behind(start, endpoint)
    client = in_front(start, address).connect()
    for status in (204, 304):
        endpoint.answer = lambda request, status=status: Answer(status=status)  # type: ignore[misc]
        assert client.get().status == status
    endpoint.answer = echo
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read_response("HEAD").status == 200
    assert client.get().status == 200


def test_many_requests_share_one_connection(start: Start, endpoint: HttpEndpoint) -> None:
    endpoint.answer = lambda request: Answer(body=request.target.encode())
    inner, address = behind(start, endpoint)
    outer = in_front(start, address)
    with Http2Client(outer.address()) as client:
        streams = {client.begin(f"/{n}", flush=False): b"/%d" % n for n in range(80)}
        client.flush()
        for stream, body in streams.items():
            assert client.wait(stream).body == body
    outer.wait_until_published()
    assert outer.load(address, L_CONNECTIONS) == 1
    wait_until(lambda: inner.in_flight() == 0, "nothing is left of them")


def test_streams_that_the_endpoint_refuses_go_on_over_another_connection(
    start: Start, endpoint: HttpEndpoint
) -> None:
    """It has no memory for so many heads at a time, which its settings do not say."""
    endpoint.answer = lambda request: Answer(body=request.target.encode())
    _, address = behind(start, endpoint, connection_bytes=1 << 17)
    outer = in_front(start, address)
    padding = ("x-own", "a" * 1000)
    with Http2Client(outer.address()) as client:
        for _ in range(3):
            streams = {client.begin(f"/{n}", padding, flush=False): b"/%d" % n for n in range(60)}
            client.flush()
            for stream, body in streams.items():
                assert client.wait(stream).body == body
    outer.wait_until_published()
    assert outer.load(address, L_CONNECTIONS) > 1


def test_streams_beyond_what_the_endpoint_takes_go_on_when_there_is_room(
    start: Start, endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda request: Answer(body=request.target.encode())
    _, address = behind(start, endpoint, streams=3)
    outer = in_front(start, address)
    with Http2Client(outer.address()) as client:
        assert client.get("/first").body == b"/first"
        streams = {client.begin(f"/{n}", flush=False): b"/%d" % n for n in range(30)}
        client.flush()
        for stream, body in streams.items():
            assert client.wait(stream).body == body
    assert len(endpoint.requests) == 31


def test_client_that_leaves_cancels_its_stream_alone(start: Start, scripted: Scripted) -> None:
    def play(connection: EndpointConnection) -> None:
        if b"/held" in connection.receive_head():
            connection.receive_to_end()
            return
        connection.send(answer_of(b"ok"))
        connection.receive_to_end()

    endpoint = scripted(play)
    inner, address = behind(start, endpoint)
    outer = in_front(start, address)
    held = outer.connect()
    held.send(get("/held"))
    wait_until(lambda: any(each.received for each in endpoint.connections), "it is at work")
    held.close()
    wait_until(lambda: endpoint.connection().closed_at > 0.0, "the server saw it leave")
    assert outer.connect().get().body == b"ok"
    wait_until(lambda: inner.count(W_CONNECTIONS) == 1, "the connection stays")


def test_answer_that_breaks_off_never_looks_whole(start: Start, scripted: Scripted) -> None:
    def die(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Content-Length: 100", body=b"begun"))
        connection.go_on.wait()
        connection.reset()

    endpoint = scripted(die)
    _, address = behind(start, endpoint)
    outer = in_front(start, address)
    client: Client = outer.connect()
    client.send(get())
    client.read_until(b"begun")
    endpoint.connection().go_on.set()
    assert client.read_to_end() == b""
    wait_until(lambda: outer.pool_count(P_CUT) == 1, "it was counted")


@pytest.mark.parametrize("at_once", [1, 20])
def test_endpoint_that_says_goaway_loses_no_request(
    start: Start, endpoint: HttpEndpoint, at_once: int
) -> None:
    inner, address = behind(start, endpoint, requests=5)
    outer = in_front(start, address)
    with Http2Client(outer.address()) as client:
        for _ in range(60 // at_once):
            streams = [client.begin(method="POST") for _ in range(at_once)]
            assert [client.wait(each).status for each in streams] == [200] * at_once
    assert len(endpoint.requests) == 60
    wait_until(lambda: inner.count(W_HTTP2_CONNECTIONS) >= 3, "there were several")


def test_endpoint_that_refuses_connections_is_passed_over(
    start: Start, endpoint: HttpEndpoint, refusing: Address
) -> None:
    _, address = behind(start, endpoint)
    outer = in_front(start, refusing, address)
    client = outer.connect()
    for _ in range(4):
        assert client.request(post("Content-Length: 1", body=b"x"), "POST").status == 200
    wait_until(lambda: outer.pool_count(P_RETRIES) > 0, "it was passed over")


def test_server_of_http1_is_a_bad_gateway(start: Start, scripted: Scripted) -> None:
    def answer_http1(connection: EndpointConnection) -> None:
        connection.receive_until(b"SM\r\n\r\n")
        connection.send(answer_of(b"what?", status="400 Bad Request"))
        connection.receive_to_end()

    client = in_front(start, Address(scripted(answer_http1).port)).connect()
    assert client.get().status == 502


@pytest.mark.parametrize("agrees", [True, False])
def test_http2_is_agreed_on_with_endpoints_over_tls(
    start: Start, endpoint: HttpEndpoint, tmp_path: Path, agrees: bool
) -> None:
    authority = Authority(tmp_path)
    secure = listener(certificates=(authority.issue("127.0.0.1"),), http2=Http2(enabled=agrees))
    inner = start(world(pool(endpoint), listeners=[secure]))
    address = Address(inner.address()[1])
    tls = EndpointTls(verify=False, http2="on")
    outer = start(world(pool(at(address, tls=True, http2=True), tls=tls)))
    client = outer.connect()
    if agrees:
        assert [client.get().status for _ in range(3)] == [200] * 3
        wait_until(lambda: inner.count(W_HTTP2_CONNECTIONS) == 1, "it was spoken")
    else:
        assert client.get().status == 502
