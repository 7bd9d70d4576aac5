"""What runs of chance (``tests/whole``) found, each told as short as it can be."""

import errno
import os

from penstock.core.snapshot import Limit, Models, PoolTimeouts, Snapshot
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.http2_frames import PREFACE
from tests.harness.messages import answer, answer_of, get, head
from tests.harness.world import listener, route, world
from tests.unit.dataplane.stage.asking import status_of
from tests.unit.dataplane.stage.streaming import Answered, chat, engines
from tests.unit.dataplane.stage.test_limits import Supervisor
from tests.unit.dataplane.stage.test_resuming import REST, RESUME, begun, cut


def no_buffers(data: bytes | bytearray) -> int:
    raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def near(end: End) -> End:
    """The worker's end of the connection."""
    assert end.peer is not None
    return end.peer


def test_a_request_that_finds_no_buffer_goes_elsewhere_at_once() -> None:
    """It was thought to be sent, and waited for an answer until ``first_byte`` was over."""
    with Stage() as stage:
        client = stage.client()
        stage.send(client, get())
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200
        near(endpoint).send = no_buffers  # type: ignore[method-assign]
        stage.send(client, get("/again"))
        other, asked = stage.asked(0)
        assert other is not endpoint
        assert b"GET /again" in asked
        stage.send(other, answer_of(b"hello"))
        assert status_of(client.read()) == 200


def test_nothing_follows_bytes_for_which_there_was_no_buffer() -> None:
    """The next chunk was sent behind the gap."""
    with Stage() as stage:
        client = stage.client()
        stage.send(client, get())
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer("Content-Length: 9", body=b"abc"))
        assert client.read().endswith(b"\r\n\r\nabc")
        end = near(client)
        real = end.send
        end.send = no_buffers  # type: ignore[method-assign]
        endpoint.offer(b"def")
        stage.turn()
        end.send = real  # type: ignore[method-assign]
        endpoint.offer(b"ghi")
        stage.settle()
        assert client.read() == b""
        assert client.ended or client.dead


def test_an_answer_until_the_close_that_finds_no_buffer_does_not_look_whole() -> None:
    with Stage() as stage:
        client = stage.client()
        stage.send(client, head("GET / HTTP/1.0"))
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer(body=b"abc"))
        assert client.read().endswith(b"abc")
        near(client).send = no_buffers  # type: ignore[method-assign]
        stage.send(endpoint, b"def")
        assert client.dead
        assert not client.ended


def test_a_body_is_read_on_after_its_limits_were_asked_for() -> None:
    """With ``request_buffer``, and an owner of limits that does not answer at once, it never was:
    the request waited for ever."""
    spec = world(
        pool_of(0, request_buffer=1000),
        routes=[route("main", limits=(Limit("places", "concurrent", 5.0),))],
    )
    with Stage(spec) as stage:
        owner = Supervisor(stage)
        owner.prompt = False
        client = stage.client()
        stage.send(client, head("POST / HTTP/1.1", "Content-Length: 2000") + b"a" * 10)
        owner.answer()
        stage.settle()
        stage.send(client, b"b" * 1990)
        endpoint, asked = stage.asked(0)
        assert asked.endswith(b"b" * 1990)
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200


def test_the_preface_goes_first_though_a_request_that_awaited_the_connection_left() -> None:
    """The next one that waited began on a connection that was not made: its head went before the
    preface."""
    with Stage(world(pool_of(member(0, http2=True)), listeners=[listener()])) as stage:
        stage.servers[0].manner = "hang"
        clients = [stage.client() for _ in range(2)]
        for number, client in enumerate(clients):
            stage.send(client, get(f"/{number}"))
        (connecting,) = [
            each for each in stage.system.open.values() if isinstance(each, End) and each.connecting
        ]
        clients[0].close()
        stage.settle()
        endpoint = End()
        connecting.join(endpoint)
        stage.settle()
        assert endpoint.read().startswith(PREFACE)


def relayed() -> Snapshot:
    """Connections of TCP to endpoint 0."""
    return world(pool_of(0, protocol="tcp"), listeners=[listener(protocol="tcp")])


def test_the_last_bytes_of_an_endpoint_wait_for_a_slow_client_that_had_ended() -> None:
    """Both ends of its connection were made then, which was taken for a break."""
    with Stage(relayed()) as stage:
        client = stage.client(room=10)
        stage.send(client, b"all")
        client.half_close()
        stage.settle()
        endpoint, asked = stage.asked(0)
        assert asked == b"all"
        assert endpoint.ended
        assert endpoint.offer(bytes(range(40))) == b""
        endpoint.half_close()
        stage.settle()
        assert stage.received(client) == bytes(range(40))
        assert client.ended
        assert not client.dead


def test_a_tunnel_whose_client_is_done_is_not_kept_for_an_endpoint_that_reads_nothing() -> None:
    """The client stays watched, as the tunnel's deadline is its own."""
    spec = world(
        pool_of(0, protocol="tcp", timeouts=PoolTimeouts(tunnel_idle_s=30.0)),
        listeners=[listener(protocol="tcp")],
    )
    with Stage(spec) as stage:
        client = stage.client()
        stage.send(client, b"a" * 4000)
        endpoint = stage.servers[0].accepted[-1]
        client.offer(b"b" * 4000)
        endpoint.half_close()
        client.half_close()
        stage.settle()
        assert client.ended
        stage.pass_time(40.0)
        assert stage.context.clients == 0


def test_who_sends_a_body_to_its_end_and_takes_no_answer_is_not_waited_for_without_end() -> None:
    """The answer came before the end of the body, which then stopped the clock of the client."""
    with Stage() as stage:
        client = stage.client(room=10)
        stage.send(client, head("POST / HTTP/1.1", "Content-Length: 20") + b"a" * 10)
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer("Content-Length: 1000", body=b"b" * 500))
        stage.send(client, b"a" * 10)
        assert stage.clients()
        stage.pass_time(120.0, step_s=1.0)
        assert not stage.clients()


def test_a_client_that_takes_no_answer_cannot_fill_the_memory_with_requests() -> None:
    """Behind an answer that was whole, and not all taken, whatever it sent was kept."""
    with Stage() as stage:
        client = stage.client(room=10)
        stage.send(client, get())
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer_of(b"hello" * 100))
        sent = 0
        for _ in range(100):
            sent += 4096 - len(client.offer(b"x" * 4096))
            stage.settle()
        assert sent < 2 * 65536, "nobody holds it back"
        (connection,) = stage.clients()
        assert connection.unsent is not None


def test_what_was_sent_behind_an_answer_is_taken_once_the_answer_was() -> None:
    with Stage() as stage:
        client = stage.client(room=10)
        stage.send(client, get())
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer_of(b"hello" * 100))
        body = b"x" * 150_000
        rest = head("PUT /next HTTP/1.1", f"Content-Length: {len(body)}") + body
        while rest != (rest := client.offer(rest)):
            stage.settle()
        assert rest
        client.room = 1 << 20
        assert stage.received(client).endswith(b"hello")
        endpoint, asked = stage.asked(0)
        while rest:
            rest = client.offer(rest)
            stage.settle()
            asked += stage.received(endpoint)
        assert asked.endswith(body)
        stage.send(endpoint, answer_of(b"again"))
        assert stage.received(client).endswith(b"again")


def test_an_answer_with_a_length_over_http2_is_put_into_chunks_once_where_it_is_changed() -> None:
    """It was twice: the framing of the first became part of the body."""
    engine = member(0, http2=True, models=("big",))
    aliased = Models(aliases={"m": {"big": 1.0}}, answers="asked")
    spec = world(pool_of(engine, kind="llm", usage="off", models=aliased))
    with Stage(spec) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, chat(stream=False))
        peer = Http2Peer(stage, stage.servers[0].accepted[-1], server=True)
        peer.pump()
        body = b'{"model": "big", "choices": []}'
        fields = (("content-type", "application/json"), ("content-length", str(len(body))))
        peer.answer(max(peer.heard), 200, *fields)
        peer.h2.send_data(max(peer.heard), body, end_stream=True)
        peer.pump()
        answered = Answered(stage, client)
        assert answered.body == b'{"model": "m", "choices": []}'
        assert answered.complete


def test_a_tunnel_that_is_too_old_does_not_look_whole_to_who_has_not_taken_all() -> None:
    """What waited for a slow client was dropped, and an end in order sent."""
    spec = world(
        pool_of(0, protocol="tcp", timeouts=PoolTimeouts(tunnel_idle_s=30.0)),
        listeners=[listener(protocol="tcp")],
    )
    with Stage(spec) as stage:
        client = stage.client(room=10)
        stage.send(client, b"all")
        endpoint, _ = stage.asked(0)
        endpoint.offer(bytes(range(40)))
        endpoint.half_close()
        stage.settle()
        stage.pass_time(60.0)
        assert client.dead
        assert not client.ended


def test_what_an_engine_hints_before_it_goes_on_with_an_answer_is_not_put_into_that() -> None:
    with Stage(world(engines(0, 1, resume=RESUME))) as stage:
        answered, engine = begun(stage)
        other, _ = cut(stage, engine)
        stage.send(other, b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + REST)
        assert answered.text == "one two three"
        assert answered.complete
