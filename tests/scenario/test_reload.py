"""A snapshot replaces the world in one step, without a request lost, or changes nothing at all."""

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from penstock.core.health.health import DOWN
from penstock.core.snapshot import (
    EndpointTls,
    FixedResponse,
    HeaderEdit,
    HeaderMatch,
    Listener,
    Match,
    PolicyChoice,
    RequestLog,
    Retry,
    Rewrite,
    Snapshot,
)
from penstock.dataplane.board.layout import P_RETRIES, P_RETRIES_DENIED, S_HEALTH, W_GENERATION
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer, answer_of, get
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, at, listener, pool, route, world


def replaced(snapshot: Snapshot, **parts: object) -> Snapshot:
    return msgspec.structs.replace(snapshot, **parts)


def test_connections_survive_and_see_the_change_with_their_next_request(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    assert client.get().body == endpoint.name.encode()
    worker.apply(world(pool(other_endpoint)))
    assert client.get().body == other_endpoint.name.encode()
    endpoint.wait_for_end(0)


def test_running_request_finishes_with_the_endpoint_that_it_has(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    def finish_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(answer("Content-Length: 10", body=b"hello"))
        connection.go_on.wait()
        connection.send(b"world")
        connection.receive_to_end()

    leaving = scripted(finish_when_told)
    worker = start(world(pool(leaving)))
    client = worker.connect()
    client.send(get())
    client.put_back(client.read_until(b"hello"))
    worker.apply(world(pool(endpoint)))
    leaving.connection().go_on.set()
    assert client.read_response().body == b"helloworld"
    leaving.wait_for_end()
    assert client.get().body == endpoint.name.encode()


def test_endpoint_that_stays_keeps_its_connections_and_load(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    assert client.get().status == 200
    worker.apply(world(pool(endpoint, other_endpoint)))
    worker.apply(world(pool(endpoint)))
    for _ in range(3):
        assert client.get().status == 200
    assert {request.connection for request in endpoint.requests} == {0}


def test_endpoint_that_moves_is_no_longer_asked_at_its_old_address(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    """Not even over the connection of a request that ran meanwhile."""

    def answer_when_told(connection: EndpointConnection) -> None:
        while True:
            connection.receive_head()
            connection.go_on.wait()
            connection.send(answer_of(b"old place"))

    old = scripted(answer_when_told)
    worker = start(world(pool(at(old, name="one"))))
    client = worker.connect()
    client.send(get())
    wait_until(lambda: old.requests_begun == 1, "the request runs")
    worker.apply(world(pool(at(endpoint, name="one"))))
    old.connection().go_on.set()
    assert client.read_response().body == b"old place"
    for _ in range(3):
        assert client.get().body == endpoint.name.encode()


def test_endpoint_that_changed_to_tls_is_never_asked_in_plain_text_again(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    """Not even over a connection that is open already."""

    def answer_once(connection: EndpointConnection) -> None:
        if connection.number == 0:
            connection.receive_head()
            connection.send(answer_of(b"plain"))
        connection.receive_until(b"/secret")

    endpoint = scripted(answer_once)
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    assert client.get("/plain").status == 200
    worker.apply(world(pool(at(endpoint, tls=True))))
    client.send(get("/secret"))
    wait_until(lambda: endpoint.connection(1).received[:1] == b"\x16", "a ClientHello came")
    endpoint.wait_for_end(0)
    assert b"/secret" not in endpoint.received


def test_settings_of_pools_and_routes_are_taken_over(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    edit = HeaderEdit("set", "X-Edit", "2")
    worker.apply(
        world(
            pool(endpoint, host_header="inner.example"),
            routes=[
                route(match=Match(methods=("DELETE",)), respond=FixedResponse(status=403)),
                route("main", request_headers=(edit,)),
            ],
        )
    )
    assert client.get().status == 200
    assert endpoint.last.headers["x-edit"] == "2"
    assert endpoint.last.headers["host"] == "inner.example"
    request = get().replace(b"GET", b"DELETE", 1)
    assert client.request(request, "DELETE").status == 403


def test_listeners_come_and_go(start: Callable[..., Worker], endpoint: HttpEndpoint) -> None:
    first, second = listener("first"), listener("second")
    snapshot = world(pool(endpoint), listeners=[first])
    worker = start(snapshot)
    old = worker.connect("first")
    worker.apply(replaced(snapshot, listeners=(first, second)))
    assert worker.connect("second").get().status == 200
    worker.apply(replaced(snapshot, listeners=(second,)))
    assert worker.connect("second").get().status == 200
    old.expect_end()


def test_client_of_a_removed_listener_gets_the_answer_that_it_waits_for(
    start: Callable[..., Worker], scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    def answer_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"late"))

    endpoint = scripted(answer_when_told)
    snapshot = world(pool(endpoint), listeners=[listener("first")])
    worker = start(snapshot)
    waiting, beginning = worker.connect("first"), worker.connect("first")
    waiting.send(get())
    beginning.send(get()[:10])
    wait_until(lambda: endpoint.requests_begun == 1, "the request runs")
    worker.apply(replaced(snapshot, listeners=(listener("second"),)))
    endpoint.connection().go_on.set()
    assert waiting.read_response().body == b"late"
    waiting.expect_end()
    beginning.send(get()[10:])
    endpoint.connection(1).go_on.set()
    assert beginning.read_response().body == b"late"


def test_settings_of_a_listener_are_those_of_the_newest_snapshot(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    snapshot = world(pool(endpoint))
    worker = start(snapshot)
    trusting: Listener = listener(trusted_proxies=("127.0.0.1/32",))
    for listening, expected in [(trusting, "9.9.9.9, 127.0.0.1"), (listener(), "127.0.0.1")]:
        worker.apply(replaced(snapshot, listeners=(listening,)))
        worker.connect().get("/", "X-Forwarded-For: 9.9.9.9")
        assert endpoint.last.headers["x-forwarded-for"] == expected


# What cannot be run

IMPOSSIBLE = {
    "route-regex": {"routes": (route("main", match=Match(path_kind="regex", path="(")),)},
    "header-regex": {
        "routes": (route("main", match=Match(headers=(HeaderMatch("x", "regex", "("),))),)
    },
    "rewrite-regex": {"routes": (route("main", rewrite=Rewrite("regex", "(", "")),)},
    "rewrite-group": {"routes": (route("main", rewrite=Rewrite("regex", "^/", r"\7")),)},
    "unknown-pool": {"routes": (route("nowhere"),)},
    "unknown-mirror": {"routes": (route("main", mirror="nowhere"),)},
    "network": {"listeners": (listener(trusted_proxies=("300.0.0.0/8",)),)},
}


@pytest.mark.parametrize("parts", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_impossible_snapshot_is_refused_with_a_reason_and_changes_nothing(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    parts: dict[str, object],
) -> None:
    worker = start(world(pool(endpoint)))
    client = worker.connect()
    assert client.get().status == 200
    answered = worker.publish(replaced(world(pool(other_endpoint)), **parts))
    assert (answered["kind"], bool(answered["reason"])) == ("refused", True)
    for each in (client, worker.connect()):
        assert each.get().body == endpoint.name.encode()


def unlike(endpoint: HttpEndpoint) -> dict[str, object]:
    """Pools of which the first could be run and the second could not."""
    edits = (HeaderEdit("set", "X-Edit", "new"),)
    first = pool(endpoint, request_headers=edits)
    return {
        "policy": (first, pool(name="second", policy=PolicyChoice("no-such-policy"))),
        "authorities": (
            first,
            pool(
                at(Address(443), tls=True), name="second", tls=EndpointTls(ca_file="/no/such.pem")
            ),
        ),
    }


@pytest.mark.parametrize("fault", ["policy", "authorities"])
def test_refused_snapshot_leaves_even_the_pools_before_the_fault_alone(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    fault: str,
) -> None:
    snapshot = world(pool(endpoint), pool(name="second"))
    worker = start(snapshot)
    answered = worker.publish(replaced(snapshot, pools=unlike(other_endpoint)[fault]))
    assert answered["kind"] == "refused"
    worker.set_state("main", endpoint, S_HEALTH, 1)  # makes the worker look at the board again
    for client in (worker.connect(), worker.connect()):
        assert client.get().body == endpoint.name.encode()
        assert "x-edit" not in endpoint.last.headers


def test_refused_snapshots_leak_no_descriptor(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    snapshot = world(pool(endpoint))
    worker = start(snapshot)
    before = worker.open_descriptors()
    for number in range(5):
        added = (*snapshot.listeners, listener(f"extra-{number}"))
        wrong = route("main", match=Match(path_kind="regex", path="("))
        answered = worker.publish(replaced(snapshot, listeners=added, routes=(wrong,)))
        assert answered["kind"] == "refused"
    assert worker.open_descriptors() == before


def test_a_listener_that_serves_outlives_a_refused_snapshot_that_replaces_its_socket(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    snapshot = world(pool(endpoint))
    worker = start(snapshot)
    before = worker.open_descriptors()
    log = RequestLog("file", str(tmp_path / "missing" / "log"))
    added = (*snapshot.listeners, listener("extra"))
    for _ in range(3):
        answered = worker.publish(replaced(snapshot, listeners=added, request_log=log))
        assert answered["kind"] == "refused"
        assert worker.connect().get().status == 200
    wait_until(lambda: worker.open_descriptors() <= before + 6, "no socket is left")
    assert worker.publish(replaced(snapshot, listeners=added))["kind"] == "applied"


def test_dead_endpoint_does_not_come_back_by_a_reload(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    snapshot = world(pool(endpoint, other_endpoint))
    worker = start(snapshot)
    worker.set_state("main", endpoint, S_HEALTH, DOWN)
    worker.apply(snapshot)
    client = worker.connect()
    for _ in range(4):
        assert client.get().body == other_endpoint.name.encode()


# Under load


def test_no_request_is_lost_while_endpoints_come_and_go(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """Every request of four clients succeeds through a hundred reloads."""
    snapshots = [
        world(pool(endpoint, retry=Retry(attempts=1))),
        world(pool(endpoint, other_endpoint, retry=Retry(attempts=1))),
        world(pool(other_endpoint, endpoint, name="main", retry=Retry(attempts=1))),
        world(pool(other_endpoint, retry=Retry(attempts=1))),
    ]
    worker = start(snapshots[0])
    stopping = threading.Event()
    statuses: list[int] = []

    def keep_asking() -> None:
        with worker.connect() as client:
            while not stopping.is_set():
                statuses.append(client.get().status)

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        asked = len(statuses)
        worker.apply(snapshots[number % len(snapshots)])
        wait_until(lambda n=asked: len(statuses) > n, "requests went on")  # type: ignore[misc]
    stopping.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert len(statuses) > 100
    wait_until(lambda: worker.count(W_GENERATION) == worker.snapshot.generation, "all applied")


def test_endpoint_that_comes_back_while_its_request_runs_still_counts_it(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
) -> None:
    """As when workers go back to the snapshot before, because one of them refused the next."""

    def answer_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"done"))

    leaving = scripted(answer_when_told)
    worker = start(world(pool(leaving)))
    client = worker.connect()
    client.send(get())
    wait_until(lambda: leaving.requests_begun == 1, "the request runs")
    worker.apply(world(pool(endpoint)))
    worker.apply(world(pool(leaving)))
    assert worker.load(leaving) == 1
    leaving.connection().go_on.set()
    assert client.read_response().body == b"done"
    wait_until(lambda: worker.load(leaving) == 0, "its ticket is settled")


def test_reload_does_not_refill_the_retry_budget(
    start: Callable[..., Worker], free_port: int
) -> None:
    retry = Retry(attempts=2, budget_share=0.0, budget_min_per_s=0.1)  # one in ten seconds
    snapshot = world(pool(Address(free_port), retry=retry))
    worker = start(snapshot, held=True)
    for _ in range(3):
        assert worker.connect().get().status == 502
        worker.apply(snapshot)
    worker.wait_until_published()
    assert worker.pool_count(P_RETRIES) == 1
    assert worker.pool_count(P_RETRIES_DENIED) == 2
