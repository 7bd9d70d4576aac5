"""What is over is freed at once, not when the garbage collector comes: of requests by the ten
thousand a second it would take a sixth of the time."""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from penstock.dataplane.client.http2_stream import Http2Stream
from penstock.dataplane.client.tcp import TcpClient
from penstock.dataplane.endpoint.http2_stream import Http2EndpointStream
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.exchange import Exchange
from penstock.dataplane.exchange.tcp import TcpExchange
from penstock.dataplane.tunnel.relay import Relay
from penstock.dataplane.tunnel.socket_side import SocketSide
from penstock.dataplane.tunnel.stream_side import StreamSide
from penstock.wire.http2.stream import Stream
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.messages import answer_of, get
from tests.harness.world import world
from tests.unit.dataplane.stage.test_tunnel_endings import (
    COMBINATIONS,
    EVERY,
    IDLE_S,
    Tunnels,
    snapshot,
)

KINDS = (
    Attempt,
    Exchange,
    Http2EndpointStream,
    Http2Stream,
    Relay,
    SocketSide,
    Stream,
    StreamSide,
    TcpClient,
    TcpExchange,
)
HEAD = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "site.example"),
    (":path", "/"),
]


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what was there before is not looked at
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def alive() -> Counter[str]:
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, KINDS))


def test_request_on_a_stream_leaves_nothing() -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        before = alive()
        for _ in range(3):
            stream = client.begin(HEAD, end=True)
            endpoint, _ = stage.asked(0)
            stage.send(endpoint, answer_of(b"page"))
            client.pump()
            assert client.heard[stream].data == b"page"
        assert alive() == before


def test_stream_to_an_endpoint_leaves_nothing() -> None:
    with Stage(world(pool_of(member(0, http2=True)))) as stage:
        client = stage.client()
        before = alive()
        for number in range(3):
            stage.send(client, get())
            if not number:
                endpoint = Http2Peer(stage, stage.servers[0].accepted[-1], server=True)
            endpoint.pump()
            endpoint.answer(2 * number + 1, 204, end=True)
            assert stage.received(client).startswith(b"HTTP/1.1 204 ")
        assert alive() == before


@pytest.mark.parametrize(("front", "back"), COMBINATIONS)
def test_tunnel_leaves_nothing_however_it_ends(front: str, back: str) -> None:
    left: dict[str, Counter[str]] = {}
    for ending in EVERY:
        with Stage(snapshot(front, back)) as stage:
            tunnels = Tunnels(stage, front, back)
            counts = []
            for _ in range(3):
                client, endpoint = tunnels.open()
                ending(tunnels, client, endpoint)
                stage.pass_time(IDLE_S + 2.0, 2.0)
                counts.append(alive())  # a connection knows the last stream that it read of
            if more := counts[2] - counts[0]:
                left[ending.__name__] = more
    assert left == {}
