"""What is over is freed at once, not when the garbage collector comes: of requests by the ten
thousand a second it would take a sixth of the time."""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from penstock.core.snapshot import Hedge
from penstock.dataplane.client.http2_stream import Http2Stream
from penstock.dataplane.client.tcp import TcpClient
from penstock.dataplane.endpoint.http2_stream import Http2EndpointStream
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.endpoint_picking.call import PickingCall
from penstock.dataplane.exchange.endpoint_picking.pick import Pick
from penstock.dataplane.exchange.event_sockets.client_socket import ClientSocket
from penstock.dataplane.exchange.event_sockets.endpoint_socket import EndpointSocket
from penstock.dataplane.exchange.event_sockets.pinned_response import PinnedResponse
from penstock.dataplane.exchange.event_sockets.pinned_socket import PinnedSocket
from penstock.dataplane.exchange.event_sockets.routed_response import RoutedResponse
from penstock.dataplane.exchange.event_sockets.watched_response import (
    WatchedResponse,
    WatchedSocket,
)
from penstock.dataplane.exchange.exchange import Exchange
from penstock.dataplane.exchange.held_answer import HeldAnswer
from penstock.dataplane.exchange.resuming import Resuming
from penstock.dataplane.exchange.split.prefill_leg import PrefillLeg
from penstock.dataplane.exchange.split.split_prompt import SplitPrompt
from penstock.dataplane.exchange.steady import SteadyAnswer
from penstock.dataplane.exchange.tcp import TcpExchange
from penstock.dataplane.tunnel.relay import Relay
from penstock.dataplane.tunnel.socket_side import SocketSide
from penstock.dataplane.tunnel.stream_side import StreamSide
from penstock.wire.http2.stream import Stream
from tests.harness.fake.gateway import Gateway, prompt
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.messages import answer_of, get
from tests.harness.world import world
from tests.unit.dataplane.stage import (
    streaming,
    test_endpoint_picking,
    test_realtime,
    test_resuming,
    test_split,
    test_watched_websocket_responses,
    test_websocket_responses,
)
from tests.unit.dataplane.stage.event_talk import Caller, Engine
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
    HeldAnswer,
    Http2EndpointStream,
    Http2Stream,
    Pick,
    PickingCall,
    PrefillLeg,
    ClientSocket,
    EndpointSocket,
    PinnedResponse,
    PinnedSocket,
    RoutedResponse,
    Relay,
    Resuming,
    SocketSide,
    SplitPrompt,
    SteadyAnswer,
    Stream,
    StreamSide,
    TcpClient,
    TcpExchange,
    WatchedResponse,
    WatchedSocket,
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


@pytest.mark.parametrize("ends", ["answered", "refused", "reset"])
def test_what_a_gateway_asked_about_leaves_nothing(ends: str) -> None:
    with test_endpoint_picking.picker(pool_of(0, kind="llm")) as stage:
        gateway = Gateway(stage)

        def ask_once() -> None:
            call = gateway.call()
            call.ask(prompt(), subset=[] if ends == "refused" else None)
            if ends == "answered":
                call.answer(200, b"{}")
            if ends == "reset":
                gateway.peer.reset(call.stream)
            else:
                call.close()

        ask_once()  # of the last one the connection remembers a stream
        before = alive()
        for _ in range(3):
            ask_once()
        assert alive() == before
        assert "PickingCall" not in before


def test_a_prompt_in_halves_leaves_nothing() -> None:
    with Stage(test_split.halves()) as stage:

        def ask_once(whole: bool) -> None:
            client = test_split.ask(stage)
            for answer in (b'{"kv_transfer_params":{}}', b"{}") if whole else ():
                for end in [each for server in stage.servers for each in server.accepted]:
                    if stage.received(end):
                        stage.send(end, answer_of(answer))
            assert not whole or b"200 OK" in stage.received(client)
            client.reset()
            stage.settle()

        ask_once(True)
        before = alive()
        for whole in (True, False, True):
            ask_once(whole)
        assert alive() == before
        assert "SplitPrompt" not in before


@pytest.mark.parametrize("ends", ["answered", "refused", "reset"])
def test_responses_over_websocket_leave_nothing(ends: str) -> None:
    with Stage(test_websocket_responses.reading(0)) as stage:

        def ask_once() -> None:
            client = Caller(stage)
            client.create(**({"kv_transfer_params": {}} if ends == "refused" else {}))
            if ends != "refused":
                engine = Engine(stage)
                engine.begin()
                if ends == "answered":
                    engine.end_with()
            assert client.read()
            if ends == "reset":
                client.end.reset()
            else:
                client.close()
            stage.settle()

        ask_once()
        before = alive()
        for _ in range(3):
            ask_once()
        assert alive() == before
        assert "ClientSocket" not in before


@pytest.mark.parametrize("ends", ["answered", "resumed", "cut", "refused", "reset"])
def test_watched_responses_over_websocket_leave_nothing(ends: str) -> None:
    watched = test_watched_websocket_responses
    with Stage(watched.resuming(*((0,) if ends == "cut" else (0, 1)))) as stage:

        def ask_once() -> None:
            client = Caller(stage)
            client.create(store=False)
            engine = watched.newest(stage)
            if ends == "refused":
                engine.refuse(400)
            else:
                engine.begin()
                engine.token()
            if ends in ("resumed", "cut"):
                watched.reset(engine)
            if ends == "resumed":
                engine = watched.newest(stage)
            if ends in ("answered", "resumed"):
                engine.answer()
            assert client.read()
            if ends == "reset":
                client.end.reset()
            else:
                client.close()
            stage.settle()

        ask_once()
        before = alive()
        for _ in range(3):
            ask_once()
        assert alive() == before
        assert "ClientSocket" not in before


def test_responses_of_realtime_leave_nothing() -> None:
    with Stage(test_realtime.pinning(0)) as stage:

        def ask_once(ends: str) -> None:
            client = test_realtime.Speaker(stage)
            client.ask()
            client.engine.begin()
            if ends != "reset":
                test_realtime.done(client.engine)
            client.end.reset()
            stage.settle()

        ask_once("done")
        before = alive()
        for ends in ("done", "reset", "done"):
            ask_once(ends)
        assert alive() == before
        assert "PinnedSocket" not in before


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


@pytest.mark.parametrize("ends", ["whole", "resumed", "cut", "late", "left"])
def test_a_watched_answer_leaves_nothing(ends: str) -> None:
    spec = streaming.engines(
        0, 1, resume=test_resuming.RESUME, first_token_s=2.0, token_s=5.0, hedge=Hedge(after_s=1.0)
    )
    with Stage(world(spec)) as stage:

        def ask_once() -> None:
            client, engine = streaming.asking(stage, streaming.chat(n=2 if ends == "cut" else 1))
            if ends == "late":
                stage.pass_time(3.0)
                _, engine, _ = streaming.newest(stage)
            stage.send(engine, streaming.HEAD + streaming.chunk(streaming.token("one")))
            if ends == "left":
                client.reset()
            elif ends in ("resumed", "cut"):
                engine.reset()
            stage.settle()
            if ends == "resumed":
                _, engine, _ = streaming.newest(stage)
                stage.send(engine, streaming.HEAD)
            if ends not in ("left", "cut"):
                done = streaming.token(" two") + streaming.DONE
                stage.send(engine, streaming.chunk(done) + streaming.LAST)
            client.reset()
            stage.settle()

        ask_once()
        before = alive()
        for _ in range(3):
            ask_once()
        assert alive() == before
        assert "SteadyAnswer" not in before
