"""Of an API whose bodies Penstock does not read, the model alone decides which endpoint answers."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from queue import Queue

import pytest

from penstock.core.snapshot import Models, Pool, RequestLog
from tests.harness.client import Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.log import lines_of
from tests.harness.messages import get, post
from tests.harness.waiting import PATIENCE_S
from tests.harness.worker import Worker
from tests.harness.world import at, pool, world

PATHS = [
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/score",
    "/tokenize",
    "/api/generate",
    "/api/chat",
    "/api/show",
    "/api/embed",
]
ROUNDS = 4


def two_models(endpoint: HttpEndpoint, other: HttpEndpoint, malformed: str = "pass") -> Pool:
    models = Models(aliases={"best": {"large": 1.0}}, fallbacks={"gone": ("small",)})
    members = (at(endpoint, models=("large",)), at(other, models=("small",)))
    return pool(*members, kind="llm", models=models, malformed=malformed)


def ask(
    worker: Worker, target: str, body: bytes, kind: str = "application/json", *more: str
) -> Response:
    fields = (f"Content-Length: {len(body)}", f"Content-Type: {kind}", *more)
    with worker.connect() as client:
        return client.request(post(*fields, body=body, target=target), "POST")


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("target", PATHS)
def test_the_endpoint_is_one_that_serves_the_model(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    target: str,
    kind: str,
) -> None:
    worker = start(world(two_models(endpoint, other_endpoint)))
    body = b'{"query": ["\xc3\xa4", {"model": "large"}],  "model": "small"}'
    for _ in range(ROUNDS):
        assert ask(worker, target, body, kind).body == other_endpoint.name.encode()
    assert {request.body for request in other_endpoint.requests} == {body}  # byte for byte
    assert endpoint.requests == []


@pytest.mark.parametrize(("asked", "sent"), [("best", "large"), ("gone", "small")])
def test_aliases_and_fallbacks_hold(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    asked: str,
    sent: str,
) -> None:
    worker = start(world(two_models(endpoint, other_endpoint)))
    serves = endpoint if sent == "large" else other_endpoint
    for _ in range(ROUNDS):
        body = json.dumps({"model": asked, "prompt": "hi"}).encode()
        assert ask(worker, "/api/generate", body).body == serves.name.encode()
        assert json.loads(serves.last.body) == {"model": sent, "prompt": "hi"}


def test_a_body_in_chunks_is_read_as_well(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(two_models(endpoint, other_endpoint)))
    body = b'9\r\n{"model":\r\n8\r\n"small"}\r\n0\r\n\r\n'
    for _ in range(ROUNDS):
        with worker.connect() as client:
            fields = ("Transfer-Encoding: chunked", "Content-Type: application/json")
            told = client.request(post(*fields, body=body, target="/api/show"), "POST")
        assert told.body == other_endpoint.name.encode()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b'{"model": "new"}'),  # as one asks Ollama to fetch it
        ("application/json", b'{"model": 3}'),
        ("application/json", b'{"model": "small"'),
        ("application/json", b'["small"]'),
        ("application/json", b'{"prompt": "hi"}'),
        ("application/json", b""),
        ("application/octet-stream", b'{"model": "small"}'),
    ],
)
def test_what_names_no_model_that_is_served_goes_to_any(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    kind: str,
    body: bytes,
) -> None:
    worker = start(world(two_models(endpoint, other_endpoint, malformed="refuse")))
    for _ in range(ROUNDS):
        assert ask(worker, "/api/pull", body, kind).status == 200
    assert len(endpoint.requests) == len(other_endpoint.requests) == ROUNDS // 2
    assert {request.body for request in endpoint.requests} == {body}


def test_one_that_is_too_long_goes_by_the_model_at_its_front(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(two_models(endpoint, other_endpoint, malformed="refuse")))
    named, prompt = b'"model": "small"', b'"prompt": "' + b"x" * (17 << 20) + b'"'
    body = b"{%b, %b}" % (named, prompt)
    for _ in range(2):
        assert ask(worker, "/api/generate", body).status == 200
    assert [request.body for request in other_endpoint.requests] == [body] * 2
    body = b"{%b, %b}" % (prompt, named)  # which is not looked for behind so much
    for _ in range(2):
        assert ask(worker, "/api/generate", body).status == 200
    assert endpoint.last.body == other_endpoint.last.body == body


def test_where_models_make_no_difference_nothing_is_awaited(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """The endpoint gets the head while the body is still to come."""
    heads: Queue[bytes] = Queue()

    def take_head(connection: EndpointConnection) -> None:
        heads.put(connection.receive_head())
        connection.receive_to_end()

    seen = scripted(take_head)
    worker = start(world(pool(seen, kind="llm")))
    with worker.connect() as client:
        fields = ("Content-Length: 100", "Content-Type: application/json")
        client.send(post(*fields, body=b'{"model":', target="/api/chat"))
        assert heads.get(timeout=PATIENCE_S).startswith(b"POST /api/chat ")


def test_other_methods_go_on_as_they_do(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(two_models(endpoint, other_endpoint)))
    for _ in range(ROUNDS):
        with worker.connect() as client:
            assert client.request(get("/api/version"), "GET").status == 200
    assert len(endpoint.requests) == len(other_endpoint.requests) == ROUNDS // 2


ODD = {"messages": [{"role": "user", "content": 5}], "user": 42}  # no engine takes such a user


@pytest.mark.parametrize(("asked", "sent"), [("small", "small"), ("best", "large")])
def test_a_prompt_that_is_not_understood_goes_to_who_serves_its_model_and_is_logged_as_such(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    tmp_path: Path,
    asked: str,
    sent: str,
) -> None:
    log = tmp_path / "requests.log"
    served = two_models(endpoint, other_endpoint)
    worker = start(world(served, request_log=RequestLog("file", str(log))))
    serves = endpoint if sent == "large" else other_endpoint
    for _ in range(ROUNDS):
        body = json.dumps({"model": asked, **ODD}).encode()
        assert ask(worker, "/v1/chat/completions", body).body == serves.name.encode()
        assert json.loads(serves.last.body) == {"model": sent, **ODD}
    for logged in lines_of(log, ROUNDS):
        assert "`$.user`" in logged["unread"]


def test_a_compressed_prompt_passes_or_is_refused_for_what_it_is(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    body = gzip.compress(json.dumps({"model": "small", "messages": []}).encode())
    coded = "Content-Encoding: gzip"
    worker = start(world(two_models(endpoint, other_endpoint, "refuse")))
    assert ask(worker, "/v1/chat/completions", body, "application/json", coded).status == 200
    assert other_endpoint.last.body == body
    cut = body[:-9]
    answer = ask(worker, "/v1/chat/completions", cut, "application/json", coded)
    assert answer.status == 400
    assert "content coding is broken" in json.loads(answer.body)["error"]["message"]
