"""Conversations keep a slot of their own in llama.cpp, and nothing else sees that."""

import json
from collections.abc import Callable
from functools import partial
from threading import Event
from time import monotonic
from typing import Any

import pytest

from penstock.control.engines.reports import ReportCells
from penstock.core.snapshot import Engine, Retry
from penstock.wire.engines.reading import Reading
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import post
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, world

ENGINE = Engine(silent_after_s=3600.0)
SYSTEM = {"role": "system", "content": "s" * 2000}


def says(worker: Worker, endpoint: HttpEndpoint, **more: Any) -> None:
    """What the supervisor reads of an engine."""
    reading = Reading(running=0, waiting=0, **{"slots": 4, **more})
    row = worker.row("main", endpoint)
    ReportCells(worker.board).write(row, reading, monotonic(), 0)


def chat(*turns: str, **more: Any) -> bytes:
    """A conversation up to the user's last turn."""
    messages = [SYSTEM]
    for turn in turns:
        messages += [{"role": "user", "content": turn}, {"role": "assistant", "content": "yes"}]
    return json.dumps({"model": "m", "messages": messages[:-1], **more}).encode()


def ask(worker: Worker, body: bytes, target: str = "/v1/chat/completions") -> int:
    with worker.connect() as client:
        request = post(f"Content-Length: {len(body)}", body=body, target=target)
        return client.request(request, "POST").status


def is_whole(endpoint: HttpEndpoint, number: int) -> bool:
    return len(endpoint.requests) > number and endpoint.requests[number].whole


def slots_asked(endpoint: HttpEndpoint) -> list[object]:
    return [json.loads(request.body).get("id_slot") for request in endpoint.requests]


def test_conversations_that_share_a_system_prompt_stay_in_slots_of_their_own(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, kind="llm", engine=ENGINE)))
    says(worker, endpoint)
    for turn in range(1, 4):
        for name in ("a", "b", "c"):
            assert ask(worker, chat(*[f"{name}{each}" for each in range(turn)])) == 200
    assert slots_asked(endpoint) == [0, 1, 2] * 3
    asked = json.loads(endpoint.last.body)
    asked.pop("id_slot")
    assert asked == json.loads(chat("c0", "c1", "c2"))


def test_what_the_client_names_and_what_is_no_one_prompt_passes_as_it_came(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, kind="llm", engine=ENGINE)))
    says(worker, endpoint)
    for target, body in (
        ("/v1/chat/completions", chat("a", id_slot=3)),
        ("/v1/chat/completions", chat("a", n=2)),
        ("/v1/completions", b'{"model": "m", "prompt": ["one", "two"]}'),
        ("/v1/embeddings", b'{"model": "m", "input": "text"}'),
    ):
        assert ask(worker, body, target) == 200
        assert endpoint.last.body == body


def test_no_slot_is_named_to_other_engines_nor_while_others_use_this_one(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, kind="llm", engine=ENGINE)))
    for slots in (-1, 0, 1):
        says(worker, endpoint, slots=slots)
        ask(worker, chat("a"))
    worker.wait_until_idle()
    ReportCells(worker.board).write(
        worker.row("main", endpoint), Reading(running=1, slots=4), monotonic(), 0
    )
    ask(worker, chat("a"))
    assert slots_asked(endpoint) == [None] * 4
    says(worker, endpoint)
    ask(worker, chat("a"))
    assert slots_asked(endpoint)[4:] == [0]


def test_requests_under_way_are_in_slots_of_their_own_and_beyond_them_the_engine_chooses(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, kind="llm", engine=ENGINE)))
    says(worker, endpoint, slots=2)
    answered = Event()

    def wait(_: Recorded) -> Answer:
        answered.wait(PATIENCE_S)
        return Answer()

    endpoint.answer = wait
    clients = [worker.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        body = chat(str(number))
        target = "/v1/chat/completions"
        client.send(post(f"Content-Length: {len(body)}", body=body, target=target))
        wait_until(partial(is_whole, endpoint, number), "it came")
    assert slots_asked(endpoint) == [0, 1, None, None]
    answered.set()
    worker.wait_until_idle()
    ask(worker, chat("0", "more"))
    assert slots_asked(endpoint)[4:] == [0]


@pytest.mark.parametrize("streamed", [False, True])
def test_another_attempt_names_a_slot_of_that_endpoint_or_none(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    streamed: bool,
) -> None:
    def refuse(request: Recorded) -> Answer:
        return Answer(503)

    retry = Retry(on_statuses=(503,))
    worker = start(world(pool(endpoint, other_endpoint, kind="llm", engine=ENGINE, retry=retry)))
    says(worker, endpoint)
    endpoint.answer = refuse
    body = chat("a", stream=streamed)
    while not endpoint.requests:
        assert ask(worker, body) == 200
    assert slots_asked(endpoint) == [0]
    assert other_endpoint.last.body == body


def test_a_slot_whose_client_left_is_given_again_when_the_engine_has_told_that_it_is_idle(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, kind="llm", engine=ENGINE)))
    says(worker, endpoint)
    answered = Event()

    def wait(_: Recorded) -> Answer:
        answered.wait(PATIENCE_S)
        return Answer()

    endpoint.answer = wait
    with worker.connect() as client:
        body = chat("a")
        target = "/v1/chat/completions"
        client.send(post(f"Content-Length: {len(body)}", body=body, target=target))
        wait_until(partial(is_whole, endpoint, 0), "it came")
    worker.wait_until_idle()
    answered.set()
    ask(worker, chat("a", "more"))
    for _ in range(2):
        says(worker, endpoint)
        ask(worker, chat("b"))
    ask(worker, chat("a", "more"))
    assert slots_asked(endpoint) == [0, None, 1, 1, 0]
