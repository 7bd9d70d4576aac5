"""In pools of kind llm a generation of which no byte came is asked for elsewhere."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.snapshot import Pool, Retry
from tests.harness.client import Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import post
from tests.harness.worker import Worker
from tests.harness.world import pool, world

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
RESPONSE = {"input": "hi"}
Start = Callable[..., Worker]
Scripted = Callable[[Script], ScriptedEndpoint]


def dies(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.reset()


def dies_within_the_head(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(b"HTTP/1.1 200 O")
    connection.reset()


def ask(worker: Worker, target: str, asked: dict[str, Any]) -> Response:
    body = json.dumps({"model": "m", **asked}).encode()
    fields = (f"Content-Length: {len(body)}", "Content-Type: application/json")
    with worker.connect() as client:
        return client.request(post(*fields, body=body, target=target), "POST")


def engines(first: ScriptedEndpoint, second: HttpEndpoint, **settings: Any) -> Pool:
    return pool(first, second, **{"kind": "llm", **settings})


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", CHAT | {"stream": True}),
        ("/v1/chat/completions", CHAT | {"store": False, "x": "long " * 40_000}),
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/embeddings", {"input": "hi"}),
        ("/v1/messages", CHAT | {"max_tokens": 9}),
        ("/v1/responses", RESPONSE | {"store": False}),
    ],
)
def test_where_nothing_of_it_stays_behind(
    start: Start, endpoint: HttpEndpoint, scripted: Scripted, target: str, asked: dict[str, Any]
) -> None:
    dying = scripted(dies)
    worker = start(world(engines(dying, endpoint)))
    assert ask(worker, target, asked).status == 200
    assert (dying.requests_begun, len(endpoint.requests)) == (1, 1)
    assert json.loads(endpoint.last.body) == {"model": "m", **asked}


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/v1/chat/completions", CHAT | {"store": True}),
        ("/v1/responses", RESPONSE),  # stored unless the client says otherwise
        ("/v1/responses", RESPONSE | {"store": True}),
        ("/v1/responses", RESPONSE | {"store": False, "background": True}),
        ("/v1/responses", RESPONSE | {"store": False, "conversation": "c"}),
        ("/v1/chat/completions", {"messages": "what is not understood"}),
        ("/v1/audio/speech", {"input": "hi"}),
    ],
)
def test_but_not_where_something_may(
    start: Start, endpoint: HttpEndpoint, scripted: Scripted, target: str, asked: dict[str, Any]
) -> None:
    worker = start(world(engines(scripted(dies), endpoint)))
    assert ask(worker, target, asked).status == 502
    assert endpoint.requests == []


@pytest.mark.parametrize("settings", [{"kind": "http"}, {"retry": Retry(generations=False)}])
def test_nor_in_other_pools_nor_where_that_is_turned_off(
    start: Start, endpoint: HttpEndpoint, scripted: Scripted, settings: dict[str, Any]
) -> None:
    worker = start(world(engines(scripted(dies), endpoint, **settings)))
    assert ask(worker, "/v1/chat/completions", CHAT).status == 502
    assert endpoint.requests == []


def test_nor_once_a_byte_of_the_answer_came(
    start: Start, endpoint: HttpEndpoint, scripted: Scripted
) -> None:
    worker = start(world(engines(scripted(dies_within_the_head), endpoint)))
    assert ask(worker, "/v1/chat/completions", CHAT).status == 502
    assert endpoint.requests == []


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("kind", ["llm", "http"])
def test_what_an_engine_refuses_is_asked_of_another(
    start: Start, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, status: int, kind: str
) -> None:
    """A server of another kind may have done some of it."""
    endpoint.answer = lambda _: Answer(status, b"busy")
    retry = Retry(on_statuses=(429, 503))
    worker = start(world(pool(endpoint, other_endpoint, kind=kind, retry=retry)))
    answer = ask(worker, "/v1/chat/completions", CHAT)
    assert answer.status == (200 if kind == "llm" else status)
    assert len(endpoint.requests) == 1


def test_a_refusal_is_passed_on_where_no_other_endpoint_is_left(
    start: Start, endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda _: Answer(503, b"busy", headers=(("Retry-After", "7"),))
    worker = start(world(pool(endpoint, kind="llm")))
    answer = ask(worker, "/v1/chat/completions", CHAT)
    assert (answer.status, answer.body, answer.headers["retry-after"]) == (503, b"busy", "7")
    assert len(endpoint.requests) == 1
