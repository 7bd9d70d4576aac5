"""Penstock's own errors, in the form in which the clients of each API read them."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import ollama
import pytest

from penstock.core.snapshot import Snapshot
from tests.harness.client import Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.messages import post
from tests.harness.worker import Worker
from tests.harness.world import Address, pool, world

pytestmark = pytest.mark.both_fronts

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}'
MESSAGES: Any = [{"role": "user", "content": "hi"}]
OPENAIS = ["/v1/chat/completions", "/v1/threads/t1/messages", "/tokenize", "/v1/rerank"]
ANTHROPICS = ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches"]
OLLAMAS = ["/api/chat", "/api/generate", "/api/show", "/api/embed", "/api/pull"]


@pytest.fixture
def dead_engine(refusing: Address) -> Snapshot:
    return world(pool(refusing, kind="llm"))


def ask(worker: Worker, target: str, *fields: str, body: bytes = BODY) -> Response:
    head = (f"Content-Length: {len(body)}", "Content-Type: application/json", *fields)
    with worker.connect() as client:
        return client.request(post(*head, body=body, target=target), "POST")


@pytest.mark.parametrize("target", OPENAIS)
def test_openais(start: Callable[..., Worker], dead_engine: Snapshot, target: str) -> None:
    response = ask(start(dead_engine), target)
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"], error["type"]) == (502, 502, "bad_gateway")


@pytest.mark.parametrize("target", ANTHROPICS)
def test_anthropics(start: Callable[..., Worker], dead_engine: Snapshot, target: str) -> None:
    response = ask(start(dead_engine), target)
    assert response.status == 502
    assert json.loads(response.body) == {
        "type": "error",
        "error": {"type": "api_error", "message": "the endpoint failed before it answered"},
        "request_id": response.headers.all("x-request-id")[0],
    }


@pytest.mark.parametrize("target", OLLAMAS)
def test_ollamas(start: Callable[..., Worker], dead_engine: Snapshot, target: str) -> None:
    response = ask(start(dead_engine), target)
    assert response.status == 502
    assert json.loads(response.body) == {"error": "the endpoint failed before it answered"}


@pytest.mark.parametrize("pieces", [[b"no size\r\n"], [b"", b"1\r\n{\r\n", b"no size\r\n"]])
def test_a_body_that_turns_out_bad_with_the_head_or_later(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    pieces: list[bytes],
) -> None:
    engine = scripted(EndpointConnection.receive_to_end)
    worker = start(world(pool(engine, kind="llm")))
    with worker.connect() as client:
        first, *others = pieces
        client.send(post("Transfer-Encoding: chunked", target="/v1/messages/batches") + first)
        for piece in others:
            engine.connection()
            client.send(piece)
        response = client.read_response("POST")
    assert response.status == 400
    assert json.loads(response.body)["error"]["type"] == "invalid_request_error"


def test_a_pool_that_serves_no_language_model_has_one_form(
    start: Callable[..., Worker], refusing: Address
) -> None:
    response = ask(start(world(pool(refusing))), "/api/chat")
    assert json.loads(response.body)["error"]["type"] == "bad_gateway"


def test_anthropics_client_reads_them(start: Callable[..., Worker], dead_engine: Snapshot) -> None:
    host, port = start(dead_engine).address()
    with (
        anthropic.Anthropic(base_url=f"http://{host}:{port}", api_key="k", max_retries=0) as sdk,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        sdk.messages.count_tokens(model="m", messages=MESSAGES)
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "api_error")


def test_ollamas_client_reads_them(start: Callable[..., Worker], dead_engine: Snapshot) -> None:
    host, port = start(dead_engine).address()
    with (
        ollama.Client(host=f"http://{host}:{port}") as client,
        pytest.raises(ollama.ResponseError) as caught,
    ):
        client.chat("m", MESSAGES)
    assert caught.value.error == "the endpoint failed before it answered"
    assert caught.value.status_code == 502
