"""Policy ``session`` keeps what names the same session on one endpoint, without configuration."""

from collections.abc import Callable

import pytest

from penstock.core.snapshot import HashKey, PolicyChoice, Snapshot
from penstock.wire.session_keys import HEADERS
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.worker import Worker
from tests.harness.world import pool, world

SESSION = PolicyChoice("session", {"bounded_load": 0.0})
SESSIONS = 16  # all on one of two endpoints by chance: once in 32,768 sets of names


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
