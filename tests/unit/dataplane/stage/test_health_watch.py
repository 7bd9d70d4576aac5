"""``Health/Watch`` as the balancer answers it: what is said when, and how it ends."""

from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import Match, Snapshot
from penstock.dataplane.io.watches import MOST_WATCHES
from penstock.wire.grpc_health import (
    NOT_SERVING,
    SERVICE_UNKNOWN,
    SERVING,
    WATCH_PATH,
    decode_response,
    encode_request,
)
from penstock.wire.grpc_messages import MessageReader, encode_message
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.world import route, world

HEALTH = "grpc.health.v1.Health"
OURS = route(name="health", match=Match(path_kind="prefix", path=f"/{HEALTH}"), grpc_service=HEALTH)
LOOK_S = 0.5  # more than a sweep


def spec(pools: int = 1) -> Snapshot:
    given = [pool_of(member(row, http2=True), name=f"p{row}") for row in range(pools)]
    return world(*given, routes=[OURS])


def watch(client: Http2Peer, service: str = "p0") -> int:
    head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "site.example"),
        (":path", WATCH_PATH.decode()),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    stream = client.begin(head)
    client.send(stream, encode_message(encode_request(service)), end=True)
    return stream


def told(client: Http2Peer, stream: int) -> list[int]:
    """All statuses that were said."""
    client.pump()
    return [decode_response(each) for each in MessageReader(100).feed(client.heard[stream].data)]


def test_only_what_changes_is_said() -> None:
    with Stage(spec()) as stage:
        client = Http2Peer(stage, stage.client())
        stream = watch(client)
        assert told(client, stream) == [SERVING]
        stage.pass_time(5.0)
        assert told(client, stream) == [SERVING]
        stage.set_health(0, DOWN)
        stage.pass_time(LOOK_S)
        assert told(client, stream) == [SERVING, NOT_SERVING]
        stage.set_health(0, UP)
        stage.pass_time(LOOK_S)
        assert told(client, stream) == [SERVING, NOT_SERVING, SERVING]
        assert not client.heard[stream].ended


def test_a_service_may_come_and_go_with_the_configuration() -> None:
    with Stage(spec()) as stage:
        client = Http2Peer(stage, stage.client())
        stream = watch(client, "p1")
        assert told(client, stream) == [SERVICE_UNKNOWN]
        stage.apply(spec(pools=2))
        stage.pass_time(LOOK_S)
        assert told(client, stream) == [SERVICE_UNKNOWN, SERVING]
        stage.apply(spec())
        stage.pass_time(LOOK_S)
        assert told(client, stream) == [SERVICE_UNKNOWN, SERVING, SERVICE_UNKNOWN]


def test_a_drain_is_told_and_waits_for_nobody_who_watches() -> None:
    with Stage(spec()) as stage:
        client = Http2Peer(stage, stage.client())
        of_all, of_pool = watch(client, ""), watch(client)
        stage.worker.stop(60.0)
        stage.pass_time(LOOK_S)
        assert told(client, of_all) == [SERVING, NOT_SERVING]
        assert told(client, of_pool) == [SERVING]
        for stream in (of_all, of_pool):
            assert client.heard[stream].trailers["grpc-status"] == "14"
        stage.pass_time(2.0)
        assert stage.context.clients == 0


def test_nobody_watches_for_ever() -> None:
    with Stage(spec()) as stage:
        client = Http2Peer(stage, stage.client())
        stream = watch(client)
        stage.pass_time(3590.0, step_s=10.0)
        client.pump()
        assert not client.heard[stream].trailers
        stage.pass_time(20.0, step_s=10.0)
        client.pump()
        assert client.heard[stream].trailers["grpc-status"] == "14"
        assert len(stage.context.watches) == 0


def test_so_many_watch_and_no_more() -> None:
    with Stage(spec()) as stage:
        clients = []
        while len(stage.context.watches) < MOST_WATCHES:
            clients.append(Http2Peer(stage, stage.client()))
            streams = [watch(clients[-1]) for _ in range(100)]
        other = Http2Peer(stage, stage.client())
        refused = watch(other)
        assert other.heard[refused].trailers["grpc-status"] == "8"
        assert told(other, refused) == []
        clients[-1].reset(streams[0])  # one that leaves makes room
        assert told(other, watch(other)) == [SERVING]


def test_who_takes_nothing_for_a_while_is_told_the_newest_alone() -> None:
    with Stage(spec()) as stage:
        client = Http2Peer(stage, stage.client(), window=7)  # one status has as many bytes
        client.reading = False
        stream = watch(client)
        for health in (DOWN, UP, DOWN):
            stage.set_health(0, health)
            stage.pass_time(LOOK_S)
        assert told(client, stream) == [SERVING]
        client.read_on()
        stage.pass_time(LOOK_S)
        assert told(client, stream)[-1] == NOT_SERVING
        assert len(told(client, stream)) <= 3
