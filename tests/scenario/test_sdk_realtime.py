"""OpenAI's Realtime API through Penstock: the SDK's client, and the shape of browsers' ones, whose
key stands among the subprotocols."""

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection
from websockets.typing import Subprotocol

from penstock.core.snapshot import RequestLog
from tests.harness.log import lines_of, whole_lines
from tests.harness.waiting import PATIENCE_S
from tests.harness.websocket_endpoint import WebSocketEndpoint
from tests.harness.websocket_over_http2 import Http2WebSocketClient
from tests.harness.worker import Worker
from tests.harness.world import pool, world

Start = Callable[..., Worker]
KEY = "sk-very-secret"
PATH = "/v1/realtime?model=gpt-realtime"
SUBPROTOCOLS = ("realtime", f"openai-insecure-api-key.{KEY}")
AUDIO = base64.b64encode(os.urandom(700_000)).decode()


def realtime(connection: ServerConnection) -> None:
    """As much of the API's server as a turn of speech needs."""
    send = connection.send
    session: dict[str, Any] = {"type": "realtime", "model": "gpt-realtime"}
    send(json.dumps({"type": "session.created", "event_id": "e0", "session": session}))
    heard = ""
    for message in connection:
        event = json.loads(message)
        if event["type"] == "session.update":
            session |= event["session"]
            send(json.dumps({"type": "session.updated", "event_id": "e1", "session": session}))
        elif event["type"] == "input_audio_buffer.append":
            heard += event["audio"]
        elif event["type"] == "response.create":
            delta = {"item_id": "i", "response_id": "r", "output_index": 0, "content_index": 0}
            for at in range(0, len(heard), 300_000):
                piece = heard[at : at + 300_000]
                told = {"type": "response.output_audio.delta", "event_id": "e2", "delta": piece}
                send(json.dumps(told | delta))
            done = {"id": "r", "object": "realtime.response", "status": "completed", "output": []}
            send(json.dumps({"type": "response.done", "event_id": "e3", "response": done}))


@pytest.fixture
def server() -> Iterator[WebSocketEndpoint]:
    with WebSocketEndpoint(realtime) as made:
        yield made


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


@pytest.fixture
def site(start: Start, server: WebSocketEndpoint, log: Path) -> Worker:
    return start(world(pool(server), request_log=RequestLog("file", str(log))))


def speak(connection: Any) -> None:
    """A turn by plain calls: what is said comes back."""
    assert json.loads(connection.recv(PATIENCE_S))["type"] == "session.created"
    connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": AUDIO}))
    connection.send(json.dumps({"type": "response.create"}))
    came = ""
    while (event := json.loads(connection.recv(PATIENCE_S)))["type"] != "response.done":
        came += event["delta"]
    assert came == AUDIO


def assert_logged_without_secrets(log: Path, protocol: str) -> None:
    (line,) = lines_of(log, 1)
    assert (line["status"], line["end"], line["protocol"]) == (101, "done", protocol)
    assert line["target"] == PATH
    assert line["bytes_from_client"] > 700_000  # as client and server compress it
    assert KEY not in "".join(whole_lines(log))


@pytest.mark.filterwarnings("ignore:connect.. must be used as:DeprecationWarning")  # the SDK's
def test_the_sdk_has_a_turn_of_speech(site: Worker, server: WebSocketEndpoint, log: Path) -> None:
    host, port = site.address()
    client = OpenAI(api_key=KEY, websocket_base_url=f"ws://{host}:{port}/v1")
    options: Any = {"max_size": None, "proxy": None}
    with client.realtime.connect(
        model="gpt-realtime", websocket_connection_options=options
    ) as connection:
        assert connection.recv().type == "session.created"
        connection.session.update(session={"type": "realtime", "instructions": "Say it again."})
        updated = connection.recv()
        assert updated.type == "session.updated"
        assert updated.session.model_dump()["instructions"] == "Say it again."
        connection.input_audio_buffer.append(audio=AUDIO)
        connection.response.create()
        came = ""
        for event in connection:
            if event.type == "response.done":
                break
            assert event.type == "response.output_audio.delta"
            came += event.delta
        assert came == AUDIO
    asked = server.requests[-1]
    assert (asked.path, asked.headers["Authorization"]) == (PATH, f"Bearer {KEY}")
    assert_logged_without_secrets(log, "http/1.1")


def test_a_key_among_the_subprotocols_is_passed_on_and_not_logged(
    site: Worker, server: WebSocketEndpoint, log: Path
) -> None:
    host, port = site.address()
    offered = [Subprotocol(each) for each in SUBPROTOCOLS]
    uri = f"ws://{host}:{port}{PATH}"
    with connect(uri, subprotocols=offered, max_size=None, proxy=None) as connection:
        assert connection.subprotocol == "realtime"
        speak(connection)
    assert server.requests[-1].headers["Sec-WebSocket-Protocol"] == ", ".join(SUBPROTOCOLS)
    assert_logged_without_secrets(log, "http/1.1")


def test_the_same_over_http2(site: Worker, server: WebSocketEndpoint, log: Path) -> None:
    with Http2WebSocketClient(site.address()) as client:
        connection = client.open(PATH, subprotocols=SUBPROTOCOLS)
        assert connection.subprotocol == "realtime"
        speak(connection)
        connection.close()
        assert_logged_without_secrets(log, "http/2")
    assert server.requests[-1].headers["Sec-WebSocket-Protocol"] == ", ".join(SUBPROTOCOLS)
