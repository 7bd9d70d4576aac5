"""Sticky sessions: a signed cookie returns a client to its endpoint, whatever the policy."""

from collections.abc import Callable

from penstock.core.snapshot import Snapshot, Sticky
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.worker import Worker
from tests.harness.world import pool, world

KEYS = ("the first key signs, all keys verify",)
STICKY = Sticky(cookie="lb", keys=KEYS, ttl_s=3600.0)


def bound(set_cookie: str) -> str:
    """The cookie that a Set-Cookie line gives, as a client sends it back."""
    return set_cookie.partition(";")[0]


def test_a_cookie_returns_a_client_to_its_endpoint(
    start: Callable[[Snapshot], Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, other_endpoint, sticky=STICKY)))
    first = worker.connect().get()
    cookie = bound(first.headers["set-cookie"])
    assert "Max-Age=3600" in first.headers["set-cookie"]
    assert "HttpOnly" in first.headers["set-cookie"]
    for _ in range(6):
        answer = worker.connect().get("/", f"Cookie: a=b; {cookie}")
        assert "set-cookie" not in answer.headers
    assert sorted([len(endpoint.requests), len(other_endpoint.requests)]) == [0, 7]


def test_a_forged_cookie_binds_to_nobody_and_is_replaced(
    start: Callable[[Snapshot], Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, other_endpoint, sticky=STICKY)))
    for _ in range(4):
        forged = "lb=" + "A" * 32
        answer = worker.connect().get("/", f"Cookie: {forged}")
        assert bound(answer.headers["set-cookie"]) != forged
    assert len(endpoint.requests) == len(other_endpoint.requests) == 2


def test_a_client_whose_endpoint_is_gone_is_bound_to_another(
    start: Callable[[Snapshot], Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint, other_endpoint, sticky=STICKY)))
    cookie = bound(worker.connect().get().headers["set-cookie"])
    mine = endpoint if endpoint.requests else other_endpoint
    other = other_endpoint if mine is endpoint else endpoint
    worker.drain("main", mine)
    answer = worker.connect().get("/", f"Cookie: {cookie}")
    assert answer.status == 200
    assert bound(answer.headers["set-cookie"]) != cookie
    assert len(other.requests) == 1
