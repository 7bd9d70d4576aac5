"""Policy ``session`` keeps what names the same session on one endpoint, without configuration."""

import json
from collections.abc import Callable

import pytest

from penstock.core.snapshot import HashKey, PolicyChoice, Snapshot
from penstock.wire.session_keys import HEADERS
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import head
from tests.harness.worker import Worker
from tests.harness.world import pool, world

SESSION = PolicyChoice("session", {"bounded_load": 0.0})
SESSIONS = 32  # all on one of two endpoints by chance: once in four billion sets of names


def served_by(worker: Worker, endpoints: list[HttpEndpoint], *headers: str) -> int:
    """Which endpoint a request of a new client goes to."""
    before = [len(endpoint.requests) for endpoint in endpoints]
    worker.connect().get("/", *headers)
    after = [len(endpoint.requests) for endpoint in endpoints]
    return [n - m for n, m in zip(after, before, strict=True)].index(1)


@pytest.mark.parametrize("header", [name.decode() for name in HEADERS])
def test_a_known_header_keeps_a_session_together(
    start: Callable[[Snapshot], Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    header: str,
) -> None:
    both = [endpoint, other_endpoint]
    worker = start(world(pool(endpoint, other_endpoint, policy=SESSION)))
    first = [served_by(worker, both, f"{header}: session {n}") for n in range(SESSIONS)]
    again = [served_by(worker, both, f"{header}: session {n}") for n in range(SESSIONS)]
    assert first == again
    assert set(first) == {0, 1}


def test_a_configured_header_goes_before_the_known_ones(
    start: Callable[[Snapshot], Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    both = [endpoint, other_endpoint]
    key = HashKey("header", ("x-conversation", "x-user"))
    worker = start(world(pool(endpoint, other_endpoint, policy=SESSION, hash_key=key)))
    by_session = [served_by(worker, both, f"X-Session-Id: s{n}") for n in range(SESSIONS)]
    by_user = [
        served_by(worker, both, f"X-Session-Id: s{n}", "X-User: ann") for n in range(SESSIONS)
    ]
    by_conversation = [
        served_by(worker, both, "X-User: ann", f"X-Conversation: c{n}") for n in range(SESSIONS)
    ]
    assert set(by_session) == set(by_conversation) == {0, 1}
    assert len(set(by_user)) == 1


BODIES: dict[str, tuple[str, Callable[[str], dict[str, object]]]] = {
    "prompt_cache_key": ("/v1/chat/completions", lambda key: {"prompt_cache_key": key}),
    "user": ("/v1/chat/completions", lambda key: {"user": key}),
    "conversation": ("/v1/responses", lambda key: {"input": "hi", "conversation": {"id": key}}),
    "user_id": ("/v1/messages", lambda key: {"metadata": {"user_id": key}}),
}


@pytest.mark.parametrize("field", BODIES)
def test_so_does_a_field_of_a_prompts_body_unless_a_header_does(
    start: Callable[[Snapshot], Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    field: str,
) -> None:
    both = [endpoint, other_endpoint]
    worker = start(world(pool(endpoint, other_endpoint, kind="llm", policy=SESSION)))
    path, more = BODIES[field]

    def asks(key: str, *headers: str) -> int:
        before = [len(each.requests) for each in both]
        body = json.dumps({"model": "m", "messages": [], **more(key)}).encode()
        length = f"Content-Length: {len(body)}"
        worker.connect().request(head(f"POST {path} HTTP/1.1", length, *headers) + body, "POST")
        after = [len(each.requests) for each in both]
        return [n - m for n, m in zip(after, before, strict=True)].index(1)

    first = [asks(f"session {n}") for n in range(SESSIONS)]
    assert first == [asks(f"session {n}") for n in range(SESSIONS)]
    assert set(first) == {0, 1}
    assert len({asks(f"session {n}", "X-Session-Id: one") for n in range(SESSIONS)}) == 1
