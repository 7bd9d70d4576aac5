"""Answers that Penstock gives itself carry what endpoints' would: to pages and by configuration."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.snapshot import Engine, HeaderEdit, Models, ServedModel
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import get
from tests.harness.model_server import chat
from tests.harness.worker import Worker
from tests.harness.world import Address, at, pool, route, world

pytestmark = pytest.mark.both_fronts

PAGE = "Origin: https://page.example"
ALLOWED = ("access-control-allow-origin", "https://page.example")
VLLM = {
    "id": "llama",
    "object": "model",
    "created": 17,
    "owned_by": "vllm",
    "root": "/models/llama",
    "parent": None,
    "max_model_len": 8192,
    "permission": [{"id": "modelperm-1"}],
}
LLAMACPP = {"id": "tiny", "created": 18, "meta": {"n_ctx": 4096}, "status": {"value": "loaded"}}
LISTED = tuple(
    ServedModel(
        str(each["id"]),
        created=int(str(each["created"])),
        owned_by=str(each.get("owned_by", "")),
        max_tokens=int(str(each.get("max_model_len", 0))),
        listed=json.dumps(each),
    )
    for each in (VLLM, LLAMACPP)
)


def serving(place: HttpEndpoint | Address, **settings: Any) -> Any:
    """A pool whose endpoint's models are known."""
    return pool(place, kind="llm", discovered={place.name: LISTED}, **settings)


def allowing(request: Recorded) -> Answer:
    """As llama.cpp and vLLM's ``--allowed-origins`` do."""
    given = "origin" in request.headers and (
        ("Access-Control-Allow-Origin", request.headers["origin"]),
        ("Access-Control-Allow-Credentials", "true"),
    )
    return Answer(body=b"{}", headers=(*(given or ()), ("Content-Type", "application/json")))


def test_the_list_has_all_that_endpoints_tell(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    aliases = {"chat": {"tiny": 1.0, "llama": 9.0}, "other": {"unheard": 1.0}}
    client = start(world(serving(endpoint, models=Models(aliases=aliases)))).connect()
    listed = {each["id"]: each for each in json.loads(client.get("/v1/models").body)["data"]}
    assert listed["llama"] == VLLM
    assert listed["tiny"]["meta"] == {"n_ctx": 4096}
    assert listed["tiny"]["status"] == {"value": "loaded"}
    assert listed["chat"] == {**VLLM, "id": "chat"}
    assert listed["other"]["id"] == "other"
    assert endpoint.requests == []


@pytest.mark.parametrize(
    "path", ["/api/models", "/admin/models", "/v1/fine_tuning/models", "/v2/models"]
)
def test_other_paths_that_end_like_the_list_go_to_the_endpoint(
    start: Callable[..., Worker], endpoint: HttpEndpoint, path: str
) -> None:
    client = start(world(serving(endpoint))).connect()
    assert client.get(path).body == endpoint.name.encode()


@pytest.mark.parametrize("path", ["/v1/models", "/openai/v1/models", "/models"])
def test_the_list_is_where_clients_look_for_it(
    start: Callable[..., Worker], endpoint: HttpEndpoint, path: str
) -> None:
    client = start(world(serving(endpoint))).connect()
    assert len(json.loads(client.get(path).body)["data"]) == 2


def test_what_is_configured_for_answers_stands_in_each(
    start: Callable[..., Worker], refusing: Address
) -> None:
    """As nginx's ``add_header … always`` and HAProxy's ``http-after-response``."""
    by_pool = (HeaderEdit("set", "X-Pool", "main"),)
    by_route = (HeaderEdit("add", "X-Route", "all"),)
    snapshot = world(
        serving(refusing, response_headers=by_pool),
        routes=[route("main", response_headers=by_route)],
    )
    worker = start(snapshot)
    for request, status in ((get("/v1/models"), 200), (chat("llama"), 502), (chat("none"), 404)):
        response = worker.connect().request(request)
        assert response.status == status
        assert response.headers.all("x-pool") == ["main"]
        assert response.headers.all("x-route") == ["all"]


def test_a_body_that_is_refused_while_it_comes_carries_it_too(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    snapshot = world(pool(endpoint, response_headers=(HeaderEdit("set", "X-Pool", "main"),)))
    bad = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    response = start(snapshot).connect().request(bad)
    assert (response.status, response.headers.all("x-pool")) == (400, ["main"])


def test_a_page_that_endpoints_allow_can_read_our_errors(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    endpoint.answer = allowing
    client = start(world(serving(endpoint))).connect()
    assert client.request(chat("none", PAGE)).headers.all(ALLOWED[0]) == []  # nothing is guessed
    assert client.request(chat("llama", PAGE)).headers.all(ALLOWED[0]) == [ALLOWED[1]]
    refused = client.request(chat("none", PAGE))
    assert refused.status == 404
    assert refused.headers.all(ALLOWED[0]) == [ALLOWED[1]]
    assert refused.headers.all("access-control-allow-credentials") == ["true"]
    assert refused.headers.all("vary") == ["Origin"]
    other = client.request(chat("none", "Origin: https://other.example"))
    assert other.headers.all(ALLOWED[0]) == []
    assert client.request(chat("none")).headers.all(ALLOWED[0]) == []


def test_a_page_is_given_the_list_as_the_engine_would_let_it(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    endpoint.answer = allowing
    client = start(world(serving(endpoint))).connect()
    for _ in range(2):
        response = client.get("/v1/models", PAGE)
        assert response.headers.all(ALLOWED[0]) == [ALLOWED[1]]
        assert len(json.loads(response.body)["data"]) == 2
    assert endpoint.last.target == "/v1/models"


def test_a_page_is_given_the_list_though_no_engine_is_there(
    start: Callable[..., Worker], refusing: Address
) -> None:
    response = start(world(serving(refusing))).connect().get("/v1/models", PAGE)
    assert (response.status, len(json.loads(response.body)["data"])) == (200, 2)


KEYED = Engine(headers=(("Authorization", "Bearer reader"),))


def wanting_a_key(request: Recorded) -> Answer:
    """As vLLM's ``--api-key``."""
    if request.headers.all("authorization") == ["Bearer right"]:
        return Answer(body=b'{"data": []}')
    return Answer(401, b'{"error": "Unauthorized"}')


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/tiny"])
def test_engines_that_want_a_key_decide_who_gets_the_list(
    start: Callable[..., Worker], endpoint: HttpEndpoint, path: str
) -> None:
    endpoint.answer = wanting_a_key
    client = start(world(serving(endpoint, engine=KEYED))).connect()
    for fields in ((), ("Authorization: Bearer wrong",)):
        refused = client.get(path, *fields)
        assert (refused.status, refused.body) == (401, b'{"error": "Unauthorized"}')
    given = client.get(path, "Authorization: Bearer right")
    assert given.status == 200
    assert b"tiny" in given.body


def test_without_an_engine_nobody_gets_a_list_that_wants_a_key(
    start: Callable[..., Worker], refusing: Address
) -> None:
    client = start(world(serving(refusing, engine=KEYED))).connect()
    assert client.get("/v1/models", "Authorization: Bearer right").status == 502


def test_a_model_of_another_engine_is_told_to_who_has_a_key(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """The one that is asked answers 404, which it would not without the key."""
    endpoint.answer = lambda _: Answer(404)
    both = pool(
        at(endpoint),
        at(other_endpoint, weight=0.0),
        kind="llm",
        engine=KEYED,
        discovered={other_endpoint.name: LISTED},
    )
    response = start(world(both)).connect().get("/v1/models/tiny", "Authorization: Bearer right")
    assert (response.status, json.loads(response.body)["id"]) == (200, "tiny")


def test_the_engines_own_id_of_a_request_goes_on_and_is_logged(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Any
) -> None:
    endpoint.answer = lambda _: Answer(headers=(("x-request-id", "chatcmpl-7"),))
    client = start(world(pool(endpoint))).connect()
    response = client.get()
    assert response.headers.all("x-endpoint-request-id") == ["chatcmpl-7"]
    assert len(response.headers.all("x-request-id")) == 1
    endpoint.answer = lambda r: Answer(headers=(("x-request-id", r.headers["x-request-id"]),))
    assert client.get().headers.all("x-endpoint-request-id") == []  # it is ours
