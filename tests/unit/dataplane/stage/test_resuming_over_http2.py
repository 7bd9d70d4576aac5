"""Answers go on over HTTP/2 as well, on either side, and where a pool compresses."""

import json

import pytest

from penstock.core.snapshot import Compression, Resume
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, member
from tests.harness.fake.stream import End
from tests.harness.world import world
from tests.unit.dataplane.stage.streaming import (
    DONE,
    HEAD,
    LAST,
    ROLE,
    Answered,
    asking,
    chat,
    chunk,
    engines,
    newest,
    token,
)

CANCEL = 8
RESUME = Resume()


def events_of(data: bytes) -> list[str]:
    lines = [line[6:] for line in data.split(b"\n\n") if line.startswith(b"data: {")]
    return [json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines]


def test_a_client_over_http2_sees_one_stream() -> None:
    body = chat().partition(b"\r\n\r\n")[2]
    head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "site.example"),
        (":path", "/v1/chat/completions"),
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
    ]
    with Stage(world(engines(0, 1, resume=RESUME))) as stage:
        client = Http2Peer(stage, stage.client(room=1 << 20))
        stream = client.begin(head)
        client.h2.send_data(stream, body, end_stream=True)
        client.pump()
        _, engine, _ = newest(stage)
        stage.send(engine, HEAD + chunk(ROLE))
        client.pump()
        assert client.heard[stream].status == 0
        stage.send(engine, chunk(token("one")))
        client.pump()
        engine.reset()
        stage.settle()
        _, other, _ = newest(stage)
        stage.send(other, HEAD + chunk(token(" two", "b")) + chunk(DONE) + LAST)
        client.pump()
        heard = client.heard[stream]
        assert (heard.status, heard.ended, heard.reset) == (200, True, -1)
        assert "".join(events_of(heard.data)) == "one two"
        assert stage.in_flight() == 0


def engine_over_http2(stage: Stage, row: int) -> Http2Peer:
    return Http2Peer(stage, stage.servers[row].accepted[-1], server=True)


def asked(peer: Http2Peer) -> int:
    """The newest request on that connection."""
    peer.pump()
    return max(peer.heard)


@pytest.mark.parametrize("ends", ["stream", "connection"])
def test_engines_over_http2_go_on_for_each_other(ends: str) -> None:
    members = [member(row, http2=True) for row in (0, 1)]
    with Stage(world(engines(*members, resume=RESUME))) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, chat())
        answered = Answered(stage, client)
        row = next(row for row in (0, 1) if stage.servers[row].accepted)
        first = engine_over_http2(stage, row)
        stream = asked(first)
        first.answer(stream, 200, ("content-type", "text/event-stream"))
        assert not answered.begun
        first.h2.send_data(stream, token("one"))
        first.pump()
        assert answered.text == "one"
        if ends == "stream":
            first.h2.reset_stream(stream, CANCEL)
            first.pump()
        else:
            first.end.reset()
            stage.settle()
        second = engine_over_http2(stage, 1 - row)
        stream = asked(second)
        second.answer(stream, 200, ("content-type", "text/event-stream"))
        second.h2.send_data(stream, token(" two", "b") + DONE, end_stream=True)
        second.pump()
        assert answered.text == "one two"
        assert answered.complete


def test_watched_answers_are_not_compressed() -> None:
    compression = Compression(types=("text/event-stream",))
    with Stage(world(engines(0, 1, resume=RESUME, compression=compression))) as stage:
        client, engine = asking(stage, chat("Accept-Encoding: gzip"))
        stage.send(engine, HEAD + chunk(token("one")))
        engine.reset()
        stage.settle()
        _, other, _ = newest(stage)
        stage.send(other, HEAD + chunk(token(" two", "b")) + chunk(DONE) + LAST)
        answered = Answered(stage, client)
        assert (answered.text, answered.complete) == ("one two", True)


def test_a_slow_client_holds_back_whoever_goes_on() -> None:
    """What it does not take yet is not lost, and the engine that goes on is not late for it."""
    with Stage(world(engines(0, 1, resume=RESUME, token_s=2.0))) as stage:
        client: End = stage.client(room=500)
        stage.send(client, chat())
        _, engine, _ = newest(stage)
        stage.send(engine, HEAD + chunk(token("a" * 300)))
        engine.offer(chunk(token("b" * 3000)))
        stage.settle()
        engine.reset()
        stage.settle()
        stage.pass_time(10.0)
        answered = Answered(stage, client)
        answered.look()
        _, other, _ = newest(stage)
        stage.send(other, HEAD + chunk(token("c", "b")) + chunk(DONE) + LAST)
        assert answered.text == "a" * 300 + "b" * 3000 + "c"
        assert answered.complete
