"""Servers that know no ``stream_options`` serve clients that did not ask for usage all the same."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.client import Response
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import post
from tests.harness.worker import Worker
from tests.harness.world import pool, world

STREAM = b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\ndata: [DONE]\n\n'
REFUSED = b'{"error": {"message": "Extra inputs are not permitted"}}'
KIND = (("Content-Type", "text/event-stream"),)


def strict(status: int) -> Callable[[Recorded], Answer]:
    """Mistral's API and Databricks' refuse what they do not know."""

    def answer(request: Recorded) -> Answer:
        if b"stream_options" in request.body or b'"bad"' in request.body:
            return Answer(status, REFUSED)
        return Answer(chunks=(STREAM,), headers=KIND)

    return answer


def ask(worker: Worker, *, pieces: bool = False, **more: Any) -> tuple[bytes, Response]:
    body = json.dumps({"model": "m", "stream": True, "messages": [], **more}).encode()
    with worker.connect() as client:
        request = post(f"Content-Length: {len(body)}", body=body, target="/v1/chat/completions")
        if pieces:
            client.send(request[: -len(body)])
            request = body
        return body, client.request(request, "POST")


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(("status", "more"), [(400, ""), (422, ""), (400, "long " * 50_000)])
def test_who_did_not_ask_is_answered_and_nothing_more_is_asked_for(
    start: Callable[..., Worker], endpoint: HttpEndpoint, status: int, more: str, pieces: bool
) -> None:
    endpoint.answer = strict(status)
    worker = start(world(pool(endpoint, kind="llm")))
    for _ in range(4):
        body, answer = ask(worker, pieces=pieces, more=more)
        assert (answer.status, answer.body) == (200, STREAM)
    asked = [request.body for request in endpoint.requests]
    assert [b"include_usage" in each for each in asked] == [False, True, False, False, False]
    assert [each for each in asked if b"include_usage" not in each] == [body] * 4


def test_what_a_client_itself_asks_wrongly_is_refused_as_the_engine_does(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    endpoint.answer = strict(400)
    worker = start(world(pool(endpoint, kind="llm")))
    _, answer = ask(worker)  # which shows what its streams are like
    assert answer.status == 200
    _, answer = ask(worker, bad=1)
    assert (answer.status, answer.body) == (400, REFUSED)
    asked = {"include_usage": True}
    _, answer = ask(worker, stream_options=asked)
    assert answer.status == 400
    assert len(endpoint.requests) == 4  # it asked by itself, so that was no cause to ask again


def test_an_engine_that_took_the_wish_is_asked_once(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    endpoint.answer = lambda request: (
        Answer(400, REFUSED) if b'"bad"' in request.body else Answer(chunks=(STREAM,), headers=KIND)
    )
    worker = start(world(pool(endpoint, kind="llm")))
    assert ask(worker)[1].status == 200
    assert ask(worker)[1].status == 200
    assert ask(worker, bad=1)[1].status == 400
    asked = [b"include_usage" in request.body for request in endpoint.requests]
    assert asked == [False, True, True]


def test_each_endpoint_is_asked_as_suits_it(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    endpoint.answer = strict(400)
    other_endpoint.answer = lambda _: Answer(chunks=(STREAM,), headers=KIND)
    worker = start(world(pool(endpoint, other_endpoint, kind="llm")))
    for _ in range(8):
        assert ask(worker)[1].status == 200
    asked = [b"include_usage" in request.body for request in other_endpoint.requests]
    assert asked == [False, True, True, True]
    assert b"include_usage" not in endpoint.last.body
