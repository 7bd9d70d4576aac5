"""Messages between clients and here are compressed where a pool says so, and never beyond."""

import json
from typing import Any

import msgspec
import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import PerMessageDeflate

from penstock.core.snapshot import Snapshot, WebSocketDeflate, WebSocketResponses
from penstock.wire.websocket_handshake import accept_key
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.world import world
from tests.unit.dataplane.stage.event_talk import Caller, Engine, Talker, handshake

OFFER = "permessage-deflate; client_max_window_bits"
AGREED = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
ON = WebSocketDeflate()
RESPONSES, REALTIME = "/v1/responses", "/v1/realtime?model=small"


def reading(deflate: WebSocketDeflate | None = ON, **settings: Any) -> Snapshot:
    spec = WebSocketResponses(compression=deflate, **settings)
    return world(pool_of(0, kind="llm", websocket_responses=spec))


class Packer(Caller):
    """A client that offers to compress, and an engine where it needs one to agree."""

    def __init__(self, stage: Stage, path: str, offer: str = OFFER) -> None:
        end = stage.client(room=1 << 20)
        Talker.__init__(self, stage, end, ConnectionType.CLIENT)
        stage.send(end, handshake(f"Sec-WebSocket-Extensions: {offer}", path=path))
        self.engine = Engine(stage) if path is REALTIME else None
        head, _, rest = stage.received(end).partition(b"\r\n\r\n")
        lines = [line for line in head.decode().split("\r\n") if "extensions" in line.lower()]
        assert len(lines) <= 1
        self.agreed = lines[0].partition(": ")[2] if lines else ""
        self.taken = 0
        if self.agreed:
            extension = PerMessageDeflate()
            extension.finalize(self.agreed)
            self.codec = Connection(ConnectionType.CLIENT, extensions=[extension])
        self.take(rest)

    def take(self, data: bytes) -> None:
        self.taken += len(data)
        super().take(data)


@pytest.mark.parametrize("context", [True, False])
def test_messages_are_compressed_both_ways_and_plain_towards_endpoints(context: bool) -> None:
    with Stage(reading(WebSocketDeflate(context=context))) as stage:
        client = Packer(stage, RESPONSES)
        assert ("no_context_takeover" in client.agreed) is not context
        assert context is False or client.agreed == AGREED
        for name in ("resp_1", "resp_2"):
            client.create(input="hello " * 50)
            if name == "resp_1":
                engine = Engine(stage)
            assert "sec-websocket-extensions" not in engine.asked.lower()
            [asked] = engine.read()
            assert asked["input"] == "hello " * 50
            engine.begin(name)
            for _ in range(100):
                engine.token("a word")
            engine.end_with(name)
            assert client.kinds()[-1] == "response.completed"
        heard = sum(len(text) for text in client.texts)
        assert client.taken < heard / (3 if context else 1)


def test_realtime_is_compressed_towards_its_client_alone() -> None:
    with Stage(reading()) as stage:
        client = Packer(stage, REALTIME)
        assert client.agreed == AGREED
        engine = client.engine
        assert engine is not None
        assert "sec-websocket-extensions" not in engine.asked.lower()
        client.say(type="session.update", session={"instructions": "be brief " * 20})
        client.send(BytesMessage(bytes(500)))
        assert engine.read()[0]["session"]["instructions"] == "be brief " * 20
        engine.say(type="session.updated", session={"instructions": "be brief " * 20})
        assert client.read()[0]["session"]["instructions"] == "be brief " * 20
        assert client.taken < 150


@pytest.mark.parametrize("path", [RESPONSES, REALTIME])
def test_where_the_pool_does_not_say_so_nothing_is_agreed_to(path: str) -> None:
    with Stage(reading(None)) as stage:
        client = Packer(stage, path)
        assert client.agreed == ""
        client.send(TextMessage(json.dumps({"type": "x" * 100})))
        stage.send(client.end, b"\xc1\x80\0\0\0\0")
        client.read()
        assert client.closed == 1002


def test_an_offer_that_cannot_be_taken_leaves_messages_as_they_are() -> None:
    with Stage(reading()) as stage:
        client = Packer(stage, RESPONSES, "permessage-deflate; server_max_window_bits=8, x-other")
        assert client.agreed == ""
        client.create()
        Engine(stage).answer()
        assert client.kinds()[-1] == "response.completed"


def test_a_bomb_closes_with_its_code_and_leaves_nothing() -> None:
    with Stage(reading(message_bytes=10_000)) as stage:
        client = Packer(stage, RESPONSES)
        client.create(input="x" * 5000)
        Engine(stage).answer()
        assert client.kinds()[-1] == "response.completed"
        client.create(input="x" * 20_000)
        client.read()
        assert client.closed == 1009
        assert stage.context.prompt_bytes == 0


def test_clients_over_http2_are_agreed_to_as_well() -> None:
    with Stage(reading()) as stage:
        peer = Http2Peer(stage, stage.client())
        stream = peer.ask(RESPONSES, ("sec-websocket-extensions", OFFER))
        assert peer.heard[stream].head["sec-websocket-extensions"] == AGREED


def test_an_endpoint_that_agrees_to_what_nobody_offered_is_not_taken_at_its_word() -> None:
    with Stage(reading(None)) as stage:
        end = stage.client()
        stage.send(end, handshake(path=REALTIME))
        engine, asked = stage.asked(0)
        key = asked.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        stage.send(
            engine,
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key) + b"\r\n\r\n",
        )
        head = stage.received(end)
        assert head.startswith(b"HTTP/1.1 101")
        assert b"permessage-deflate" not in head
        end.reset()
        stage.settle()


def test_a_pool_that_is_changed_holds_for_the_next_websocket() -> None:
    with Stage(reading()) as stage:
        before = Packer(stage, RESPONSES)
        pool = stage.pool().spec
        plain = msgspec.structs.replace(pool, websocket_responses=WebSocketResponses())
        stage.apply(world(plain))
        before.create()
        Engine(stage).answer()
        assert before.kinds()[-1] == "response.completed"
        assert Packer(stage, RESPONSES).agreed == ""
