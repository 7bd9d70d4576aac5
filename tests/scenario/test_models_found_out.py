"""What endpoints serve is known before they get requests, and looked at again before a 404."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.harness.http_endpoint import Answer
from tests.harness.messages import post
from tests.harness.model_server import ModelServer, chat
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve

EACH = 20


@pytest.fixture
def big() -> Iterator[ModelServer]:
    with closing(ModelServer("big")) as made:
        yield made


@pytest.fixture
def small() -> Iterator[ModelServer]:
    with closing(ModelServer("small")) as made:
        yield made


def document(*servers: ModelServer, **settings: Any) -> dict[str, Any]:
    pool = {
        "kind": "llm",
        "policy": "round-robin",
        "engine": "off",
        "endpoints": [server.name for server in servers],
        **settings,
    }
    return {"pools": {"main": pool}}


def test_the_first_requests_go_to_who_serves_their_models(
    serve: Serve, big: ModelServer, small: ModelServer
) -> None:
    client = serve(document(big, small)).connect()
    statuses = [client.request(chat(m)).status for _ in range(EACH) for m in ("big", "small")]
    assert statuses == [200] * 2 * EACH
    assert (big.asked, small.asked) == (["big"] * EACH, ["small"] * EACH)


def test_an_endpoint_added_by_a_reload_gets_none_of_the_others_requests(
    serve: Serve, big: ModelServer, small: ModelServer
) -> None:
    balancer = serve(document(big))
    client = balancer.connect()
    assert client.request(chat("big")).status == 200
    balancer.write(document(big, small))
    assert balancer.reload()["ok"]
    statuses = [client.request(chat(m)).status for _ in range(EACH) for m in ("big", "small")]
    assert statuses == [200] * 2 * EACH
    assert small.asked == ["small"] * EACH


@pytest.mark.parametrize("page", [b'{"object": "list", "data": []}', None])
def test_what_is_not_known_yet_is_503_and_not_404(
    serve: Serve, big: ModelServer, small: ModelServer, page: bytes | None
) -> None:
    """An engine that loads lists nothing, or says 503."""
    small.listing = Answer(503) if page is None else Answer(body=page)
    client = serve(document(big, small)).connect()
    assert client.request(chat("big")).status == 200
    refused = client.request(chat("small"))
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"
    assert b"not known yet" in refused.body
    small.listing = None
    wait_until(lambda: client.request(chat("small")).status == 200, "it is known")
    assert client.request(chat("neither")).status == 404


def test_an_adapter_that_was_loaded_through_the_balancer_is_there_at_once(
    serve: Serve, big: ModelServer
) -> None:
    client = serve(document(big)).connect()
    assert client.request(chat("sql")).status == 404
    body = json.dumps({"lora_name": "sql", "lora_path": "/adapters/sql"}).encode()
    loading = post(
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        body=body,
        target="/v1/load_lora_adapter",
    )
    assert client.request(loading).status == 200
    assert client.request(chat("sql")).status == 200


def test_endpoints_are_looked_at_again_before_a_404(
    serve: Serve, big: ModelServer, small: ModelServer
) -> None:
    """Something else had the engine load a model, or it was restarted with another one."""
    client = serve(document(big, small)).connect()
    assert client.request(chat("big")).status == 200
    small.models = ["other"]
    assert client.request(chat("other")).status == 200
    assert client.request(chat("small")).status == 404


def test_an_endpoint_that_answers_404_is_looked_at_again(
    serve: Serve, big: ModelServer, small: ModelServer
) -> None:
    client = serve(document(big, small)).connect()
    big.models, small.models = ["new"], ["big"]
    assert client.request(chat("big")).status == 404  # the engine's own: it was asked
    wait_until(lambda: client.request(chat("big")).status == 200, "the move is noticed")


def test_an_endpoint_that_comes_back_with_another_model_is_asked_first(
    serve: Serve, big: ModelServer, small: ModelServer
) -> None:
    check = {"path": "/v1/models", "interval": "50ms", "fast_interval": "20ms", "fall": 1}
    balancer = serve(document(big, small, health_check=check, outlier="off"))
    client = balancer.connect()
    small.listing = Answer(500)
    wait_until(lambda: balancer.endpoint(small.name)["state"] == "down", "it is down")
    small.models, small.listing = ["other"], None
    wait_until(lambda: balancer.endpoint(small.name)["state"] == "up", "it is up")
    assert client.request(chat("other")).status == 200
    assert client.request(chat("small")).status == 404
