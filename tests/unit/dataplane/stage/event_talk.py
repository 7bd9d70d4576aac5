"""Clients and engines that speak OpenAI's WebSockets on a stage, by wsproto."""

import json
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from penstock.wire.websocket_handshake import accept_key
from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import ROOM_BYTES, End
from tests.harness.messages import get

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of the example in RFC 6455, 1.3
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)
HELLO = [{"type": "message", "role": "user", "content": "hello there"}]


def handshake(*lines: str, path: str = "/v1/responses") -> bytes:
    return get(path, *HANDSHAKE, *lines)


class Talker:
    """One end of a WebSocket: what it says goes to the worker, and what it heard is kept."""

    def __init__(self, stage: Stage, end: End, kind: ConnectionType) -> None:
        self.stage = stage
        self.end = end
        self.codec = Connection(kind)
        self.closed: int | None = None  # by the other, with that code
        self.heard: list[dict[str, Any]] = []
        self.pongs: list[bytes] = []
        self.texts: list[str] = []
        self._text = ""

    def send(self, event: Event) -> None:
        self.stage.send(self.end, self.codec.send(event))

    def say(self, **event: Any) -> None:
        self.send(TextMessage(json.dumps(event)))

    def is_open(self) -> bool:
        """Whether it may say anything more."""
        self.read()
        whole = self.codec.state is ConnectionState.OPEN
        return whole and not (self.end.closed or self.end.dead or self.end.shut)

    def close(self, code: int = 1000) -> None:
        self.send(CloseConnection(code))

    def read(self) -> list[dict[str, Any]]:
        """What came since the last look."""
        before = len(self.heard)
        if not (self.end.closed or self.end.dead):
            self.take(self.stage.received(self.end))
        return self.heard[before:]

    def take(self, data: bytes) -> None:
        if data:
            self.codec.receive_data(data)
        for event in self.codec.events():
            if isinstance(event, TextMessage):
                self._text += event.data
                if event.message_finished:
                    self.texts.append(self._text)
                    self.heard.append(json.loads(self._text))
                    self._text = ""
            elif isinstance(event, CloseConnection):
                self.closed = int(event.code)
            elif isinstance(event, Pong):
                self.pongs.append(bytes(event.payload))
            else:
                assert isinstance(event, Ping | BytesMessage)

    def kinds(self) -> list[str]:
        return [str(each["type"]) for each in self.read()]


class Caller(Talker):
    """A client whose WebSocket was agreed to."""

    def __init__(
        self, stage: Stage, *lines: str, path: str = "/v1/responses", room: int = ROOM_BYTES
    ) -> None:
        end = stage.client(room=room)
        super().__init__(stage, end, ConnectionType.CLIENT)
        stage.send(end, handshake(*lines, path=path))
        head, _, rest = stage.received(end).partition(b"\r\n\r\n")
        self.agreement = head.decode()
        assert head.startswith(b"HTTP/1.1 101"), head
        self.take(rest)

    def create(self, **more: Any) -> None:
        self.say(type="response.create", **{"model": "small", "input": HELLO, **more})


class Engine(Talker):
    """The engine at the other end of the newest connection to an endpoint, which agrees."""

    def __init__(self, stage: Stage, row: int = 0) -> None:
        end, asked = stage.asked(row)
        super().__init__(stage, end, ConnectionType.SERVER)
        head, _, _ = asked.partition(b"\r\n\r\n")
        self.asked = head.decode()
        key = next(
            line.partition(": ")[2]
            for line in self.asked.split("\r\n")
            if line.lower().startswith("sec-websocket-key: ")
        )
        self.key = key
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Connection: Upgrade",
            "Upgrade: websocket",
            f"Sec-WebSocket-Accept: {accept_key(key.encode()).decode()}",
        ]
        stage.send(end, "\r\n".join([*lines, "", ""]).encode())

    def codec_close(self) -> Event:
        """The answer to a close."""
        return CloseConnection(self.closed or 1000)

    def begin(self, name: str = "resp_1", **more: Any) -> None:
        response = {"id": name, "object": "response", "status": "in_progress"}
        self.say(type="response.created", response=response, **more)

    def token(self, text: str = "hi", **more: Any) -> None:
        self.say(type="response.output_text.delta", delta=text, **more)

    def end_with(
        self,
        name: str = "resp_1",
        kind: str = "completed",
        prompt: int = 10,
        output: int = 3,
        **more: Any,
    ) -> None:
        usage = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": output,
        }
        response = {"id": name, "status": kind, "model": "small", "usage": usage}
        self.say(type=f"response.{kind}", response=response, **more)

    def answer(self, name: str = "resp_1", **more: Any) -> None:
        """A whole one."""
        self.begin(name)
        self.token()
        self.end_with(name, **more)

    def refuse(self, status: int, code: str = "", **more: Any) -> None:
        error = {"code": code, "message": "no", "type": "invalid_request_error"}
        self.say(type="error", status=status, error=error, **more)
