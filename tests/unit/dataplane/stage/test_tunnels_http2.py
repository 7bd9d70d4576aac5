"""Tunnels on streams of HTTP/2 (RFC 8441): what is asked, what is agreed to, and how they end."""

import base64
import re
from typing import Any

import h2.errors
import h2.settings
import pytest

from penstock.core.snapshot import (
    FixedResponse,
    Http2,
    Listener,
    Match,
    PoolTimeouts,
    Retry,
    Route,
    Snapshot,
)
from penstock.dataplane.board.layout import (
    L_FAILURES,
    P_CLIENT_GONE,
    P_CUT,
    P_RETRIES,
    W_BYTES_FROM_CLIENTS,
)
from penstock.wire.websocket import GOING_AWAY, close_frame
from penstock.wire.websocket_handshake import KEY_BYTES, accept_key
from tests.harness.fake.http2 import CONNECT_PROTOCOL, Http2Peer
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of, head
from tests.harness.world import listener, route, world

CANCEL = 8
FRAME = b"\x82\x03abc"
KEY = base64.b64encode(b"sixteen bytes...").decode()
HANDSHAKE = head(
    "GET /chat HTTP/1.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Version: 13",
)


def to_http2(**settings: object) -> Snapshot:
    return world(pool_of(member(0, http2=True), **settings))


def key_in(request: bytes) -> bytes:
    found = re.search(rb"\r\nSec-WebSocket-Key: (\S+)\r\n", request)
    assert found is not None, request
    return found.group(1)


def agreement(request: bytes) -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_key(key_in(request))
    )


def opened(stage: Stage, **settings: Any) -> tuple[Http2Peer, int, End]:
    """A WebSocket on a stream to endpoint 0, which speaks HTTP/1.1."""
    client = Http2Peer(stage, stage.client(), **settings)
    stream = client.ask()
    endpoint, asked = stage.asked(0)
    stage.send(endpoint, agreement(asked))
    client.pump()
    assert client.heard[stream].status == 200
    return client, stream, endpoint


def opened_behind(stage: Stage) -> tuple[End, Http2Peer]:
    """A WebSocket of an HTTP/1.1 client to endpoint 0, which speaks HTTP/2, on its stream 1."""
    client = stage.client()
    stage.send(client, HANDSHAKE)
    endpoint = Http2Peer(stage, stage.servers[0].accepted[-1], server=True)
    endpoint.answer(1)
    assert stage.received(client).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    return client, endpoint


# --- in front -----------------------------------------------------------------------------------


def test_8441_3_extended_connect_is_offered_where_some_route_lets_protocols_change() -> None:
    def offered(routes: list[Route], spec: Listener) -> bool:
        with Stage(world(pool_of(0), routes=routes, listeners=[spec])) as stage:
            client = Http2Peer(stage, stage.client())
            return client.h2.remote_settings.get(CONNECT_PROTOCOL) == 1

    elsewhere = route("main", match=Match(listeners=("other",)))
    fixed = Route(name="fixed", respond=FixedResponse(status=404))
    assert offered([route("main")], listener())
    assert not offered([route("main", upgrades=())], listener())
    assert not offered([elsewhere], listener())
    assert not offered([fixed], listener())


def test_8441_5_the_handshake_is_translated_and_the_key_is_ours_and_new() -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        keys = set()
        for number in range(3):
            own = ("sec-websocket-key", KEY)  # which means nothing over HTTP/2
            client.ask("/chat?x=1", ("sec-websocket-protocol", "chat"), own)
            asked = stage.asked(0)[1]
            assert asked.startswith(b"GET /chat?x=1 HTTP/1.1\r\nHost: site.example\r\n")
            assert b"\r\nsec-websocket-protocol: chat\r\n" in asked
            assert b"\r\nsec-websocket-version: 13\r\n" in asked
            assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in asked
            assert b"ontent-" not in asked
            assert b"ransfer-" not in asked
            assert asked.lower().count(b"sec-websocket-key") == 1
            assert key_in(asked) != KEY.encode()
            assert len(base64.b64decode(key_in(asked))) == KEY_BYTES
            keys.add(key_in(asked))
            assert len(keys) == number + 1


def test_8441_5_the_answer_has_none_of_http1s_fields() -> None:
    with Stage() as stage:
        client, stream, _ = opened(stage)
        names = set(client.heard[stream].head)
        assert not names & {"connection", "upgrade", "sec-websocket-accept", "content-length"}
        assert {"x-request-id", "via", "date"} <= names


def test_101_with_another_key_is_a_bad_gateway() -> None:
    with Stage(world(pool_of(0, retry=Retry(attempts=1)))) as stage:
        client = Http2Peer(stage, stage.client())
        stream = client.ask()
        endpoint, asked = stage.asked(0)
        stage.send(endpoint, agreement(asked).replace(b"Accept: ", b"Accept: x"))
        client.pump()
        assert client.heard[stream].status == 502


def test_an_endpoints_success_without_101_is_no_consent() -> None:
    """To a client of extended CONNECT any 2xx would be one (RFC 8441, 5; RFC 9110, 9.3.6)."""
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        stream = client.ask()
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer_of(b"a page"))
        client.pump()
        assert client.heard[stream].status == 502


def test_an_answer_of_our_own_is_no_consent() -> None:
    fixed = Route(
        name="fixed",
        match=Match(path_kind="prefix", path="/fixed"),
        respond=FixedResponse(status=200),
    )
    with Stage(world(pool_of(0), routes=[fixed, route("main")])) as stage:
        client = Http2Peer(stage, stage.client())
        assert client.heard[client.ask("/fixed")].status == 501


def test_other_answers_are_passed_on_whole() -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        stream = client.ask()
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer_of(b"no", status="401 Unauthorized"))
        client.pump()
        heard = client.heard[stream]
        assert (heard.status, heard.data, heard.ended) == (401, b"no", True)


@pytest.mark.parametrize("protocol", ["connect-udp", "h2c", "tls"])
def test_9220_3_protocols_that_no_route_names_are_answered_with_501(protocol: str) -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        assert client.heard[client.ask(protocol=protocol)].status == 501
        assert stage.servers[0].accepted == []


def test_a_route_without_upgrades_refuses_websockets() -> None:
    match = Match(path_kind="prefix", path="/plain")
    routes = [route("main", name="plain", match=match, upgrades=()), route("main")]
    with Stage(world(pool_of(0), routes=routes)) as stage:
        client = Http2Peer(stage, stage.client())
        assert client.heard[client.ask("/plain")].status == 501
        assert stage.servers[0].accepted == []


def test_another_protocol_that_a_route_names_is_relayed_unread() -> None:
    with Stage(world(pool_of(0), routes=[route("main", upgrades=("own",))])) as stage:
        client = Http2Peer(stage, stage.client())
        stream = client.ask(protocol="own")
        endpoint, asked = stage.asked(0)
        assert b"\r\nUpgrade: own\r\n" in asked
        assert b"Sec-WebSocket-Key" not in asked
        agreed = (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: OWN\r\n\r\nhi"
        )
        stage.send(endpoint, agreed)
        client.pump()
        assert (client.heard[stream].status, client.heard[stream].data) == (200, b"hi")


def test_9113_8_5_connect_as_such_is_not_offered() -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        stream = client.begin([(":method", "CONNECT"), (":authority", "other.example:443")])
        assert client.heard[stream].status == 501
        assert stage.servers[0].accepted == []


def test_6455_4_2_2_another_version_is_answered_with_426() -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        stream = client.ask("/", version="8")
        heard = client.heard[stream]
        assert (heard.status, heard.head["sec-websocket-version"]) == (426, "13")


def test_what_comes_before_the_consent_is_for_nobody_without_it() -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        stream = client.ask()
        client.send(stream, b"EARLY" * 8000)
        endpoint, asked = stage.asked(0)
        assert b"EARLY" not in asked
        stage.send(endpoint, agreement(asked))
        assert stage.received(endpoint) == b"EARLY" * 8000
        client.pump()
        assert client.send(stream, b"x" * 65535) > 65535 - 8000 * 5  # windows were given back


def test_connect_that_ends_its_stream_at_once_is_a_tunnel_that_only_speaks_to_it() -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        stream = client.ask(end=True)
        endpoint, asked = stage.asked(0)
        stage.send(endpoint, agreement(asked))
        assert endpoint.ended
        stage.send(endpoint, FRAME)
        endpoint.half_close()
        stage.settle()
        client.pump()
        heard = client.heard[stream]
        assert (heard.status, heard.data, heard.ended) == (200, FRAME, True)
        assert stage.in_flight() == 0


# --- to endpoints -------------------------------------------------------------------------------


def test_8441_3_nothing_is_asked_before_the_endpoint_has_said_that_it_knows_it() -> None:
    with Stage(to_http2()) as stage:
        client = stage.client()
        stage.send(client, HANDSHAKE)
        end, data = stage.asked(0)
        assert data.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert b"websocket" not in data
        assert b"\x01\x04\x00\x00\x00\x01" not in data
        endpoint = Http2Peer(stage, end, server=True, begins=False)
        for event in endpoint.h2.receive_data(data):
            endpoint._take(event)
        endpoint.pump()
        asked = endpoint.heard[1].head
        assert (asked[":method"], asked[":protocol"]) == ("CONNECT", "websocket")
        assert (asked[":scheme"], asked[":path"]) == ("http", "/chat")
        assert asked["sec-websocket-version"] == "13"
        assert not set(asked) & {"connection", "upgrade", "sec-websocket-key", "te"}
        endpoint.answer(1, 200, ("sec-websocket-protocol", "chat"))
        told = stage.received(client)
        assert told.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"\r\nSec-WebSocket-Accept: %b\r\n" % accept_key(KEY.encode()) in told
        assert b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" in told
        assert b"\r\nsec-websocket-protocol: chat\r\n" in told


def test_an_endpoint_that_does_not_offer_it_is_not_asked_again_nor_blamed() -> None:
    with Stage(to_http2(retry=Retry(attempts=3))) as stage:
        for number in range(3):
            client = stage.client()
            stage.send(client, HANDSHAKE)
            if number == 0:
                endpoint = Http2Peer(
                    stage, stage.servers[0].accepted[-1], server=True, offers=False
                )
            told = stage.received(client)
            assert told.startswith(b"HTTP/1.1 501 ")
            assert b"http2" not in told
            assert b"192.0.2.9" not in told
        assert endpoint.heard.get(1) is None
        assert len(stage.servers[0].accepted) == 1
        counters = stage.pool().counters
        assert counters.values[P_RETRIES] == 0
        stage.running().publish()
        assert stage.board.load_sum(0, L_FAILURES) == 0
        assert stage.in_flight() == 0


@pytest.mark.parametrize("status", [403, 500])
def test_an_endpoint_may_refuse(status: int) -> None:
    with Stage(to_http2(retry=Retry(attempts=1))) as stage:
        client = stage.client()
        stage.send(client, HANDSHAKE)
        endpoint = Http2Peer(stage, stage.servers[0].accepted[-1], server=True)
        endpoint.answer(1, status)
        endpoint.send(1, b"why", end=True)
        assert b"%d" % status in stage.received(client).partition(b"\r\n")[0]
        assert stage.in_flight() == 0


def test_both_sides_may_speak_http2() -> None:
    with Stage(to_http2()) as stage:
        client = Http2Peer(stage, stage.client())
        streams = [client.ask(f"/{n}") for n in range(3)]
        endpoint = Http2Peer(stage, stage.servers[0].accepted[-1], server=True)
        assert [endpoint.heard[n].head[":path"] for n in (1, 3, 5)] == ["/0", "/1", "/2"]
        for n, stream in zip((1, 3, 5), streams, strict=True):
            endpoint.answer(n)
            client.pump()
            client.send(stream, FRAME)
            endpoint.pump()
            assert endpoint.heard[n].data == FRAME
            endpoint.send(n, FRAME * 2)
            client.pump()
            assert client.heard[stream].data == FRAME * 2
        client.reset(streams[0])
        endpoint.pump()
        assert endpoint.heard[1].reset == CANCEL
        assert endpoint.heard[3].reset == -1
        assert stage.in_flight() == 2


# --- ends ---------------------------------------------------------------------------------------


def test_8441_5_a_reset_of_either_is_a_reset_of_the_other() -> None:
    with Stage() as stage:
        client, stream, endpoint = opened(stage)
        client.reset(stream)
        assert endpoint.dead
        client, stream, endpoint = opened(stage)
        endpoint.reset()
        stage.settle()
        client.pump()
        assert client.heard[stream].reset == CANCEL
        assert stage.in_flight() == 0
    with Stage(to_http2()) as stage:
        near, behind = opened_behind(stage)
        near.reset()
        stage.settle()
        behind.pump()
        assert behind.heard[1].reset == CANCEL
        near = stage.client()
        stage.send(near, HANDSHAKE)
        behind.pump()
        behind.answer(3)
        behind.reset(3)
        assert near.dead
        assert stage.in_flight() == 0


def test_8441_5_an_end_of_either_leaves_the_other_way_open() -> None:
    with Stage() as stage:
        client, stream, endpoint = opened(stage)
        client.send(stream, FRAME)
        client.end_stream(stream)
        assert endpoint.ended
        assert endpoint.read() == FRAME
        stage.send(endpoint, FRAME)
        client.pump()
        assert client.heard[stream].data == FRAME
        assert not client.heard[stream].ended
        endpoint.half_close()
        stage.settle()
        client.pump()
        assert client.heard[stream].ended
        assert stage.in_flight() == 0
        assert client.heard[stream].reset == -1


def test_a_connection_that_breaks_ends_all_its_tunnels() -> None:
    with Stage() as stage:
        client = Http2Peer(stage, stage.client())
        ends = []
        for _ in range(3):
            client.ask()
            endpoint, asked = stage.asked(0)
            stage.send(endpoint, agreement(asked))
            client.pump()
            ends.append(endpoint)
        client.end.reset()
        stage.settle()
        assert all(endpoint.dead for endpoint in ends)
        assert stage.in_flight() == 0
        assert stage.pool().counters.values[P_CLIENT_GONE] == 3
    with Stage(to_http2()) as stage:
        near, behind = opened_behind(stage)
        behind.end.reset()
        stage.settle()
        assert near.dead
        assert stage.in_flight() == 0
        assert stage.pool().counters.values[P_CUT] == 1


def test_a_websocket_that_both_have_closed_ended_well_however_its_stream_ends() -> None:
    """Browsers reset streams whose WebSocket is closed."""
    with Stage() as stage:
        client, stream, endpoint = opened(stage)
        client.send(stream, close_frame(1000, mask=b"mask"))
        stage.send(endpoint, close_frame(1000))
        client.pump()
        client.reset(stream)
        assert stage.in_flight() == 0
        assert stage.pool().counters.values[P_CLIENT_GONE] == 0
        assert endpoint.ended
        assert not endpoint.dead


def test_tunnels_of_a_stopping_worker_are_closed_between_two_frames() -> None:
    with Stage() as stage:
        client, stream, endpoint = opened(stage)
        stage.send(endpoint, FRAME[:2])
        stage.worker.stop(5.0)
        stage.pass_time(3.5)
        client.pump()
        assert client.heard[stream].data == FRAME[:2]
        stage.send(endpoint, FRAME[2:])
        client.pump()
        assert client.heard[stream].data == FRAME + close_frame(GOING_AWAY)
        assert client.goaway


def test_a_tunnel_without_a_byte_ends_after_its_time() -> None:
    with Stage(world(pool_of(0, timeouts=PoolTimeouts(tunnel_idle_s=30.0)))) as stage:
        client, stream, endpoint = opened(stage)
        stage.pass_time(29.0)
        client.send(stream, FRAME)
        stage.pass_time(29.0)
        client.pump()
        assert not client.heard[stream].ended
        stage.pass_time(2.0)
        client.pump()
        assert client.heard[stream].ended
        assert endpoint.ended
        assert not endpoint.dead
        assert stage.in_flight() == 0


# --- flow ---------------------------------------------------------------------------------------


def test_a_client_that_reads_no_more_holds_up_its_own_stream_alone() -> None:
    with Stage() as stage:
        client, slow, flooding = opened(stage, window=20_000)
        quick = client.ask()
        endpoint, asked = stage.asked(0)
        stage.send(endpoint, agreement(asked))
        client.pump()
        client.reading = False
        offered = bytes(100_000)
        taken = 0
        while taken < len(offered):
            left = flooding.offer(offered[taken:])
            if len(offered) - len(left) == taken:
                break
            taken = len(offered) - len(left)
            stage.settle()
            client.pump()
        assert 20_000 <= taken < 100_000, "its endpoint feels that it takes no more"
        assert len(client.heard[slow].data) == 20_000
        stage.send(endpoint, FRAME)
        client.pump()
        assert client.heard[quick].data == FRAME
        client.read_on()
        left = offered[taken:]
        while left:
            left = flooding.offer(left)
            stage.settle()
            client.pump()
        assert len(client.heard[slow].data) == 100_000


def test_an_endpoint_that_takes_no_more_holds_up_its_clients_stream_alone() -> None:
    with Stage() as stage:
        client, slow, stuck = opened(stage)
        quick = client.ask()
        endpoint, asked = stage.asked(0)
        stage.send(endpoint, agreement(asked))
        client.pump()
        sent = client.send(slow, bytes(200_000))
        assert sent < 200_000
        assert client.send(quick, FRAME) == len(FRAME)
        stage.settle()
        assert endpoint.read() == FRAME
        got = b""
        while sent < 200_000 or len(got) < 200_000:
            got += stage.received(stuck)
            client.pump()
            sent += client.send(slow, bytes(200_000 - sent))
        assert got == bytes(200_000)


def test_an_endpoint_whose_stream_has_no_window_holds_up_its_client() -> None:
    with Stage(to_http2()) as stage:
        client, endpoint = opened_behind(stage)
        endpoint.reading = False
        offered = bytes(300_000)
        taken = 0
        while taken < len(offered):
            left = client.offer(offered[taken:])
            if len(offered) - len(left) == taken:
                break
            taken = len(offered) - len(left)
            stage.settle()
            endpoint.pump()
        assert 65_535 <= taken < 300_000
        endpoint.read_on()
        left = offered[taken:]
        while left:
            left = client.offer(left)
            stage.settle()
            endpoint.pump()
        assert len(endpoint.heard[1].data) == 300_000


def test_9218_11_tunnels_of_one_connection_take_turns() -> None:
    with Stage() as stage:
        client, first, flooding = opened(stage, window=1 << 20)
        second = client.ask()
        other, asked = stage.asked(0)
        stage.send(other, agreement(asked))
        client.pump()
        client.reading = False
        for _ in range(200):
            for end in (flooding, other):
                end.offer(bytes(4000))
            stage.settle()
            client.pump()
        before = [len(client.heard[each].data) for each in (first, second)]
        assert sum(before) == 65_535, "the connection's window is shut"
        for _ in range(40):
            client.h2.increment_flow_control_window(4000)
            client.pump()
            for end in (flooding, other):
                end.offer(bytes(4000))
            stage.settle()
        client.pump()
        gained = [
            len(client.heard[each].data) - had
            for each, had in zip((first, second), before, strict=True)
        ]
        assert min(gained) > sum(gained) * 0.4, gained


def test_what_waits_for_stalled_tunnels_is_bounded_for_each_connection() -> None:
    bytes_of_all = 262_144
    spec = listener(http2=Http2(connection_bytes=bytes_of_all))
    with Stage(world(pool_of(0), listeners=[spec])) as stage:
        client = Http2Peer(stage, stage.client(), window=0)
        ends = []
        for _ in range(90):
            client.ask()
            endpoint, asked = stage.asked(0)
            stage.send(endpoint, agreement(asked))
            client.pump()
            ends.append(endpoint)
        sent = 0
        for _ in range(20):
            for end in ends:
                sent += 4000 - len(end.offer(bytes(4000)))
            stage.settle()
            client.pump()
        unread = sum(len(end.peer.inbox) for end in ends if end.peer is not None)
        assert bytes_of_all // 8 < sent - unread < bytes_of_all // 2
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
        for _ in range(20):
            client.pump()
            stage.settle()
        assert sum(len(heard.data) for heard in client.heard.values()) == sent


def test_a_stream_that_the_endpoint_refuses_is_asked_for_again() -> None:
    with Stage(to_http2()) as stage:
        client = stage.client()
        stage.send(client, HANDSHAKE)
        endpoint = Http2Peer(stage, stage.servers[0].accepted[-1], server=True)
        endpoint.h2.reset_stream(1, h2.errors.ErrorCodes.REFUSED_STREAM)
        endpoint.pump()
        endpoint.answer(3)
        assert stage.received(client).startswith(b"HTTP/1.1 101 ")


def test_bytes_of_a_stream_are_counted_once() -> None:
    with Stage() as stage:
        client, stream, _ = opened(stage)
        counters = stage.context.counters
        counters.publish()
        before = counters.values[W_BYTES_FROM_CLIENTS]
        client.send(stream, FRAME * 100)
        counters.publish()
        counted = counters.values[W_BYTES_FROM_CLIENTS] - before
        assert len(FRAME) * 100 < counted < len(FRAME) * 150
