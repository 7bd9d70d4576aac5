"""A model's fallback answers when its endpoints fail before they are known to be down."""

import json
from collections.abc import Callable

import pytest

from penstock.core.snapshot import Models, Pool, PoolTimeouts, Retry
from penstock.dataplane.board.layout import P_RETRIES
from tests.harness.client import Response
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.messages import post
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, HasAddress, at, pool, world

pytestmark = pytest.mark.both_fronts

FALLBACKS = Models(fallbacks={"large": ("small",)})
PROMPT = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


def reset(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.reset()


def engines(large: HasAddress, small: HasAddress, *more: HasAddress, **settings: object) -> Pool:
    """``more`` serve the large model too."""
    members = (at(large, models=("large",)), at(small, models=("small",)))
    others = [at(each, models=("large",)) for each in more]
    made = {"kind": "llm", "models": FALLBACKS, **settings}
    return pool(*members, *others, **made)  # type: ignore[arg-type]


def ask(worker: Worker, model: str = "large", target: str = "/v1/chat/completions") -> Response:
    body = json.dumps({"model": model, **PROMPT}).encode()
    fields = (f"Content-Length: {len(body)}", "Content-Type: application/json")
    with worker.connect() as client:
        return client.request(post(*fields, body=body, target=target), "POST")


def asked_of(endpoint: HttpEndpoint) -> dict[str, object]:
    return dict(json.loads(endpoint.last.body))


def test_it_is_asked_when_connecting_fails(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address
) -> None:
    worker = start(world(engines(refusing, endpoint)))
    assert ask(worker).status == 200
    assert asked_of(endpoint) == {"model": "small", **PROMPT}
    wait_until(lambda: worker.pool_count(P_RETRIES) == 1, "the retry was counted")


def test_it_is_asked_however_many_endpoints_of_the_model_are_dead(
    start: Callable[..., Worker], endpoint: HttpEndpoint, dead: Callable[[int], list[Address]]
) -> None:
    first, *others = dead(7)
    worker = start(world(engines(first, endpoint, *others)))
    assert ask(worker).status == 200
    assert asked_of(endpoint)["model"] == "small"


def test_it_is_asked_when_the_attempts_at_the_model_are_used_up(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    black_holes: Callable[[int], list[Address]],
) -> None:
    """Though one of the model's endpoints was not tried."""
    first, *others = black_holes(3)
    settings = {"timeouts": PoolTimeouts(connect_s=0.1), "retry": Retry(attempts=2)}
    worker = start(world(engines(first, endpoint, *others, **settings)))
    assert ask(worker).status == 200
    assert asked_of(endpoint)["model"] == "small"
    wait_until(lambda: worker.pool_count(P_RETRIES) == 2, "the retries were counted")


def test_attempts_at_it_are_bounded_as_those_at_the_model(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    large, small = scripted(reset), scripted(reset)
    retry = Retry(attempts=2, non_idempotent=True)
    worker = start(world(engines(large, small, retry=retry)))
    assert ask(worker).status == 502
    assert (large.requests_begun, small.requests_begun) == (1, 2)


def test_it_is_asked_of_an_api_that_is_not_read(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address
) -> None:
    worker = start(world(engines(refusing, endpoint)))
    assert ask(worker, target="/api/chat").status == 200
    assert asked_of(endpoint) == {"model": "small", **PROMPT}


def test_an_alias_goes_on_with_its_other_model(
    start: Callable[..., Worker], endpoint: HttpEndpoint, refusing: Address
) -> None:
    both = Models(aliases={"any": {"large": 1.0, "small": 1e-9}})
    worker = start(world(engines(refusing, endpoint, models=both)))
    assert ask(worker, "any").status == 200
    assert asked_of(endpoint)["model"] == "small"


def test_endpoints_of_the_model_itself_come_first(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    refusing: Address,
) -> None:
    worker = start(world(engines(refusing, other_endpoint, endpoint)))
    for _ in range(4):
        assert ask(worker).status == 200
    assert len(endpoint.requests) == 4
    assert asked_of(endpoint)["model"] == "large"
    assert other_endpoint.requests == []


def test_it_is_asked_after_all_endpoints_of_the_model(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    refusing: Address,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    failing = scripted(reset)
    retry = Retry(non_idempotent=True)
    worker = start(world(engines(refusing, endpoint, failing, retry=retry)))
    assert ask(worker).status == 200
    assert failing.requests_begun == 1
    assert asked_of(endpoint)["model"] == "small"


def test_a_request_that_was_sent_is_not_sent_again_for_another_model(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    retry = Retry(generations=False)
    worker = start(world(engines(scripted(reset), endpoint, retry=retry)))
    assert ask(worker).status == 502
    assert endpoint.requests == []


@pytest.mark.parametrize("status", [429, 503])
def test_it_is_asked_when_the_engine_refuses(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, status: int
) -> None:
    busy = other_endpoint
    busy.answer = lambda _: Answer(status, b"busy")
    retry = Retry(on_statuses=(429, 503))
    worker = start(world(engines(busy, endpoint, retry=retry)))
    assert ask(worker).status == 200
    assert asked_of(endpoint)["model"] == "small"
    assert len(busy.requests) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"retry": Retry(budget_share=0.0, budget_min_per_s=0.0)},
        {"retry": Retry(attempts=1)},
        {"models": Models()},
    ],
)
def test_it_needs_a_fallback_and_the_right_to_repeat(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    refusing: Address,
    settings: dict[str, object],
) -> None:
    worker = start(world(engines(refusing, endpoint, **settings)))
    assert ask(worker).status == 502
    assert endpoint.requests == []
