"""An endpoint that joins is given the prefix that all conversations begin with, and no more."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import PolicyChoice, Snapshot
from penstock.dataplane.board.layout import S_HEALTH
from tests.harness.client import Client
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import head
from tests.harness.worker import Worker
from tests.harness.world import pool, world

SHARED = "Answer as a miller would who has seen many rivers. " * 60
CACHE_AWARE = PolicyChoice("cache-aware")


@pytest.fixture
def endpoints() -> Iterator[list[HttpEndpoint]]:
    body = json.dumps({"choices": [{"finish_reason": "stop"}], "usage": {}}).encode()
    json_type = (("Content-Type", "application/json"),)
    with ExitStack() as running:
        yield [
            running.enter_context(HttpEndpoint(lambda _: Answer(body=body, headers=json_type)))
            for _ in range(4)
        ]


def ask(client: Client, *turns: str) -> None:
    messages = [{"role": "system", "content": SHARED}]
    messages += [{"role": "user", "content": turn} for turn in turns]
    data = json.dumps({"model": "m", "messages": messages}).encode()
    length = f"Content-Length: {len(data)}"
    client.send(head("POST /v1/chat/completions HTTP/1.1", length) + data)
    assert client.read_response().status == 200


def begin_conversations(client: Client, count: int, name: str) -> None:
    for number in range(count):
        ask(client, f"{name} {number}: what is a weir? " * 20)


def served(endpoints: list[HttpEndpoint]) -> list[int]:
    return [len(endpoint.requests) for endpoint in endpoints]


def test_one_that_is_added_takes_its_part_and_conversations_stay(
    start: Callable[[Snapshot], Worker], endpoints: list[HttpEndpoint]
) -> None:
    old, new = endpoints[:3], endpoints[3]
    worker = start(world(pool(*old, kind="llm", policy=CACHE_AWARE)))
    client = worker.connect()
    begin_conversations(client, 30, "before")
    assert sorted(served(old)) == [0, 0, 30]  # the prefix has a home
    said = ["a long story. " * 200]
    ask(client, *said)

    worker.apply(world(pool(*old, new, kind="llm", policy=CACHE_AWARE)))
    for number in range(20):
        said.append(f"and then {number}? " * 40)
        ask(client, *said)
    assert served([new]) == [0]
    begin_conversations(client, 60, "after")
    assert served([new])[0] > 10  # of 30 to be expected


def test_one_that_comes_back_takes_its_part(
    start: Callable[[Snapshot], Worker], endpoints: list[HttpEndpoint]
) -> None:
    worker = start(world(pool(*endpoints, kind="llm", policy=CACHE_AWARE)))
    client = worker.connect()
    begin_conversations(client, 30, "before")
    away = endpoints[served(endpoints).index(0)]
    worker.set_state("main", away, S_HEALTH, DOWN)
    begin_conversations(client, 1, "meanwhile")
    worker.set_state("main", away, S_HEALTH, UP)
    begin_conversations(client, 60, "after")
    assert len(away.requests) > 10
