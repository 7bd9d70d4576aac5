"""A client of HTTP/2 that asks for a hundred things at once: others have their turn meanwhile."""

from penstock.core.snapshot import Snapshot
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of, get
from tests.harness.world import world
from tests.unit.dataplane.stage.asking import status_of

STREAMS = 100
HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "a.example"), (":path", "/many")]


def spec() -> Snapshot:
    return world(pool_of(0))


def ask_at_once(stage: Stage) -> tuple[Http2Peer, End]:
    """All of it waits to be read by the worker."""
    end = stage.client()
    peer = Http2Peer(stage, end)
    for _ in range(STREAMS):
        stream = peer.h2.get_next_available_stream_id()
        peer.h2.send_headers(stream, HEAD, end_stream=True)
    rest = end.offer(peer.h2.data_to_send())
    assert rest == b""
    return peer, end


def connections(stage: Stage) -> int:
    """Of the worker to the endpoint: one for each request that is under way."""
    return len(stage.servers[0].accepted)


def test_all_are_asked_for_in_the_end_and_in_their_order() -> None:
    with Stage(spec()) as stage:
        peer, _ = ask_at_once(stage)
        stage.settle()
        assert connections(stage) == STREAMS
        for endpoint in list(stage.servers[0].accepted):
            stage.received(endpoint)
            stage.send(endpoint, answer_of(b"x"))
        peer.pump()
        answered = [heard for heard in peer.heard.values() if heard.status == 200]
        assert len(answered) == STREAMS


def test_another_client_is_served_before_the_last_of_them() -> None:
    with Stage(spec()) as stage:
        other = stage.client()
        ask_at_once(stage)
        stage.turn()
        assert 0 < connections(stage) < STREAMS // 2
        other.offer(get("/other"))
        stage.turn()
        assert connections(stage) < STREAMS // 2
        asked = [bytes(each.inbox) for each in stage.servers[0].accepted]
        stage.turn()
        asked += [bytes(each.inbox) for each in stage.servers[0].accepted]
        assert any(b"/other" in each for each in asked)
        stage.settle()
        assert connections(stage) == STREAMS + 1


def test_those_of_a_client_that_leaves_are_not_begun() -> None:
    with Stage(spec()) as stage:
        _, end = ask_at_once(stage)
        stage.turn()
        begun = connections(stage)
        end.reset()
        stage.settle()
        assert connections(stage) == begun
        assert stage.in_flight() == 0
        client = stage.client()
        stage.send(client, get())
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200


def test_what_is_reset_before_its_turn_asks_nobody() -> None:
    with Stage(spec()) as stage:
        peer, end = ask_at_once(stage)
        stage.turn()
        begun = connections(stage)
        for stream in range(1, 2 * STREAMS, 2):
            peer.h2.reset_stream(stream)
        end.offer(peer.h2.data_to_send())
        stage.settle()
        assert connections(stage) < begun + 2 * 16 + 1
        assert stage.in_flight() == 0
