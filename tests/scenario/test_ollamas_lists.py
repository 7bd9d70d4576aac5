"""Several Ollamas behind one address are one: what they have, and what they have loaded."""

import json
from collections.abc import Callable

import pytest

from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.worker import Worker
from tests.harness.world import Address, pool, world


def telling(*names: str) -> Answer:
    return Answer(body=json.dumps({"models": [{"name": n, "digest": "d"} for n in names]}).encode())


def names_in(body: bytes) -> list[str]:
    return sorted(each["name"] for each in json.loads(body)["models"])


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps", "/ollama/api/tags?x=1"])
def test_lists_are_a_union(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, path: str
) -> None:
    endpoint.answer = lambda _: telling("mistral:latest", "qwen:7b")
    other_endpoint.answer = lambda _: telling("mistral:latest", "llama3:latest")
    client = start(world(pool(endpoint, other_endpoint, kind="llm"))).connect()
    for _ in range(3):
        response = client.get(path, "Authorization: Bearer mine")
        assert response.status == 200
        assert response.headers.all("content-type") == ["application/json"]
        assert names_in(response.body) == ["llama3:latest", "mistral:latest", "qwen:7b"]
    assert other_endpoint.last.target == path
    assert other_endpoint.last.headers["authorization"] == "Bearer mine"


def test_who_does_not_answer_is_left_out(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    refusing: Address,
) -> None:
    endpoint.answer = lambda _: telling("mistral:latest")
    other_endpoint.answer = lambda _: Answer(500, b"{}")
    client = start(world(pool(endpoint, other_endpoint, refusing, kind="llm"))).connect()
    assert names_in(client.get("/api/tags").body) == ["mistral:latest"]


def test_where_none_answers_the_first_error_is_told(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address
) -> None:
    endpoint.answer = lambda _: Answer(401, b'{"error": "a key is wanted"}')
    client = start(world(pool(endpoint, refusing, kind="llm"))).connect()
    refused = client.get("/api/tags")
    assert (refused.status, refused.body) == (401, b'{"error": "a key is wanted"}')


def test_without_any_it_is_502(
    start: Callable[..., Worker], dead: Callable[[int], list[Address]]
) -> None:
    client = start(world(pool(*dead(2), kind="llm"))).connect()
    refused = client.get("/api/ps")
    assert refused.status == 502
    assert json.loads(refused.body) == {"error": "no endpoint answered"}


def test_one_that_leaves_meanwhile_leaves_nothing_behind(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    for each in (endpoint, other_endpoint):
        each.answer = lambda _: telling("mistral:latest")
    worker = start(world(pool(endpoint, other_endpoint, kind="llm")))
    with worker.connect() as leaving:
        leaving.send(b"GET /api/tags HTTP/1.1\r\nHost: a\r\n\r\n")
    assert names_in(worker.connect().get("/api/tags").body) == ["mistral:latest"]
