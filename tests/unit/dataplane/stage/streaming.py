"""Engines and clients of streamed answers on a stage: what is asked, and what is sent for it."""

import json
from typing import Any

from penstock.core.snapshot import Endpoint, Pool, PoolTimeouts
from tests.harness.fake.messages import MessageReader
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer, post

HEAD = answer("Content-Type: text/event-stream", "Transfer-Encoding: chunked", body=b"")
DONE = b"data: [DONE]\n\n"


def chat(*lines: str, **more: Any) -> bytes:
    """A request for a streamed answer."""
    messages = [{"role": "user", "content": "hi"}]
    body = json.dumps({"model": "m", "stream": True, "messages": messages, **more}).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(body)}", *lines)
    return post(*fields, body=body, target="/v1/chat/completions")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"


def event(
    delta: dict[str, Any] | None = None, finish: str | None = None, name: str = "a", **more: Any
) -> bytes:
    """Of a chat completion, by the engine that calls it ``name``."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    told = {"id": name, "object": "chat.completion.chunk", "choices": [choice], **more}
    return b"data: " + json.dumps(told).encode() + b"\n\n"


def token(text: str, name: str = "a") -> bytes:
    return event({"content": text}, name=name)


ROLE = event({"role": "assistant", "content": ""})


def engines(
    *rows: int | Endpoint, first_token_s: float = 0.0, token_s: float = 0.0, **settings: Any
) -> Pool:
    timeouts = PoolTimeouts(first_token_s=first_token_s, token_s=token_s)
    return pool_of(*rows, **{"kind": "llm", "usage": "off", "timeouts": timeouts, **settings})


def newest(stage: Stage, but: End | None = None) -> tuple[int, End, bytes]:
    """The endpoint's end of the one connection on which a request waits to be read."""
    found = [
        (row, end)
        for row, server in enumerate(stage.servers)
        for end in server.accepted
        if end.inbox and end is not but
    ]
    assert len(found) == 1, found
    row, end = found[0]
    return row, end, stage.received(end)


def asking(stage: Stage, request: bytes = b"") -> tuple[End, End]:
    """A client whose request is at an engine, and the engine's end of its connection."""
    client = stage.client(room=1 << 20)
    stage.send(client, request or chat())
    return client, newest(stage)[1]


class Answered:
    """What a client got so far."""

    def __init__(self, stage: Stage, client: End) -> None:
        self._stage = stage
        self._client = client
        self._reader = MessageReader(["POST"])

    def look(self) -> "Answered":
        self._reader.feed(self._stage.received(self._client))
        return self

    @property
    def begun(self) -> bool:
        return bool(self.look()._reader.messages)

    @property
    def status(self) -> int:
        return self.look()._reader.messages[0].status

    @property
    def body(self) -> bytes:
        return bytes(self.look()._reader.messages[0].body)

    @property
    def complete(self) -> bool:
        return self.look()._reader.messages[0].complete

    @property
    def events(self) -> list[dict[str, Any]]:
        lines = [line for line in self.body.split(b"\n\n") if line.startswith(b"data: {")]
        return [json.loads(line[6:]) for line in lines]

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"].get("content") or ""
            for event in self.events
            for choice in event.get("choices", ())
        )
