"""Sticky sessions: a signed cookie returns a client to its endpoint, whatever the policy."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from penstock.core.health.health import DOWN
from penstock.core.snapshot import Admission, Queue, Snapshot, Sticky
from penstock.dataplane.board.layout import P_WAITING, S_EJECTED, S_HEALTH, S_KEEPS_CLIENTS
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer, get
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import at, pool, world

pytestmark = pytest.mark.both_fronts

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


def cookie_for(worker: Worker, place: HttpEndpoint) -> str:
    """A cookie that binds to that endpoint, which others get their turn of as well."""
    while True:
        answer = worker.connect().get()
        if answer.body == place.name.encode():
            return bound(answer.headers["set-cookie"])


def test_a_client_stays_while_its_endpoint_drains(
    start: Callable[[Snapshot], Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """Until its time is over. Without a cookie nobody comes any more."""
    worker = start(world(pool(endpoint, other_endpoint, sticky=STICKY)))
    cookie = cookie_for(worker, endpoint)
    worker.set_state("main", endpoint, S_KEEPS_CLIENTS, 1)
    worker.drain("main", endpoint)
    for _ in range(3):
        answer = worker.connect().get("/", f"Cookie: {cookie}")
        assert answer.body == endpoint.name.encode()
        assert "set-cookie" not in answer.headers
        assert worker.connect().get().body == other_endpoint.name.encode()
    worker.set_state("main", endpoint, S_KEEPS_CLIENTS, 0)
    answer = worker.connect().get("/", f"Cookie: {cookie}")
    assert answer.body == other_endpoint.name.encode()
    assert bound(answer.headers["set-cookie"]) != cookie


@pytest.mark.parametrize(("cell", "value"), [(S_HEALTH, DOWN), (S_EJECTED, 1)])
def test_a_client_does_not_stay_where_nobody_answers(
    start: Callable[[Snapshot], Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    cell: int,
    value: int,
) -> None:
    worker = start(world(pool(endpoint, other_endpoint, sticky=STICKY)))
    cookie = cookie_for(worker, endpoint)
    worker.set_state("main", endpoint, S_KEEPS_CLIENTS, 1)
    worker.drain("main", endpoint)
    worker.set_state("main", endpoint, cell, value)
    answer = worker.connect().get("/", f"Cookie: {cookie}")
    assert answer.body == other_endpoint.name.encode()


class Crowded:
    """Two endpoints of which one is full, a client that is bound to it, and one that fills it."""

    def __init__(
        self,
        start: Callable[..., Worker],
        endpoint: HttpEndpoint,
        other: HttpEndpoint,
        **settings: Any,
    ) -> None:
        self.endpoint, self.other = endpoint, other
        members = at(endpoint, max_in_flight=1), at(other)
        self.worker = start(world(pool(*members, **settings)))
        self.cookie = cookie_for(self.worker, endpoint)
        self._answered = threading.Event()
        answer = endpoint.answer
        endpoint.answer = lambda request: (self._answered.wait(PATIENCE_S), answer(request))[1]
        self.busy = self.ask()
        wait_until(lambda: self.worker.load(endpoint) == 1, "the endpoint is full")

    def ask(self) -> Client:
        client = self.worker.connect()
        client.send(get("/", f"Cookie: {self.cookie}"))
        return client

    def let_go(self) -> None:
        self._answered.set()


QUEUE = Admission(queue=Queue(timeout_s=60.0))


@pytest.mark.parametrize(
    "settings",
    [
        {"sticky": STICKY},
        {"sticky": replace(STICKY, when_full="elsewhere"), "admission": QUEUE},
    ],
)
def test_a_client_whose_endpoint_is_full_goes_elsewhere_this_once(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    settings: dict[str, Any],
) -> None:
    """And keeps its cookie. Where the pool has no queue, it cannot wait."""
    crowded = Crowded(start, endpoint, other_endpoint, **settings)
    answer = crowded.ask().read_response()
    assert answer.body == other_endpoint.name.encode()
    assert "set-cookie" not in answer.headers
    crowded.let_go()
    assert crowded.busy.read_response().body == endpoint.name.encode()
    assert crowded.ask().read_response().body == endpoint.name.encode()


def test_a_client_waits_for_its_endpoint_in_the_pools_queue(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """Though another one idles; who is bound to nobody goes there."""
    crowded = Crowded(start, endpoint, other_endpoint, sticky=STICKY, admission=QUEUE)
    client = crowded.ask()
    wait_until(lambda: crowded.worker.pool_count(P_WAITING) == 1, "the client waits")
    assert crowded.worker.connect().get().body == other_endpoint.name.encode()
    assert crowded.worker.pool_count(P_WAITING) == 1
    crowded.let_go()
    assert crowded.busy.read_response().body == endpoint.name.encode()
    answer = client.read_response()
    assert answer.body == endpoint.name.encode()
    assert "set-cookie" not in answer.headers


def test_a_client_that_waits_moves_when_its_endpoint_is_down(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    crowded = Crowded(start, endpoint, other_endpoint, sticky=STICKY, admission=QUEUE)
    client = crowded.ask()
    wait_until(lambda: crowded.worker.pool_count(P_WAITING) == 1, "the client waits")
    crowded.worker.set_state("main", endpoint, S_HEALTH, DOWN)
    answer = client.read_response()
    assert answer.body == other_endpoint.name.encode()
    assert bound(answer.headers["set-cookie"]) != crowded.cookie
    crowded.let_go()


def test_an_answer_of_an_endpoint_that_was_removed_meanwhile_binds_nobody_to_it(
    start: Callable[[Snapshot], Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    def answer_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer("Content-Length: 5", body=b"hello"))
        connection.receive_to_end()

    leaving = scripted(answer_when_told)
    worker = start(world(pool(leaving, sticky=STICKY)))
    client = worker.connect()
    client.send(get())
    leaving.connection()
    wait_until(lambda: worker.in_flight() == 1, "it is under way")
    worker.apply(world(pool(endpoint, sticky=STICKY)))
    leaving.connection().go_on.set()
    answered = client.read_response()
    assert answered.body == b"hello"
    assert "set-cookie" not in answered.headers
