"""Prequal over the real protocol: endpoints are asked for their load, and picked by it."""

import json
from collections.abc import Callable

import pytest

from penstock.core.snapshot import PolicyChoice, Probe, Retry
from penstock.dataplane.board.layout import L_REQUESTS, P_PROBES, P_PROBES_FAILED
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import pool, world

ASKED = PolicyChoice("prequal", {"answers": "asked", "probe_age_s": 60.0})

RETRY = Retry(budget_min_per_s=1000.0)


def telling(load: dict[str, float]) -> Callable[[Recorded], Answer]:
    """Answers probes with this load, and other requests with nothing."""

    def answer(request: Recorded) -> Answer:
        if request.target == "/load":
            return Answer(body=json.dumps(load).encode())
        return Answer()

    return answer


def telling_in_head(load: str) -> Callable[[Recorded], Answer]:
    def answer(request: Recorded) -> Answer:
        told = (("Endpoint-Load-Metrics", f"TEXT {load}"),)
        return Answer(headers=told if request.target == "/load" else ())

    return answer


def asked(endpoint: HttpEndpoint) -> int:
    """How many requests that are no probes it got."""
    return sum(request.target != "/load" for request in endpoint.requests)


@pytest.mark.parametrize(
    ("idle", "busy"),
    [
        (telling({"rif": 1, "latency_s": 0.01}), telling({"rif": 90, "latency_s": 9.0})),
        (telling({"server_load": 0}), telling({"server_load": 40})),
        (telling_in_head("rif=1,latency_ms=10"), telling_in_head("rif=90,latency_ms=9000")),
    ],
)
def test_requests_go_where_probes_say_there_is_room(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    other_endpoint: HttpEndpoint,
    idle: Callable[[Recorded], Answer],
    busy: Callable[[Recorded], Answer],
) -> None:
    endpoint.answer, other_endpoint.answer = idle, busy
    worker = start(world(pool(endpoint, other_endpoint, policy=ASKED)))
    client = worker.connect()

    def twenty_more_go_to_the_idle_one() -> bool:
        before = asked(endpoint)
        assert {client.get("/work").status for _ in range(20)} == {200}
        return asked(endpoint) - before >= 18

    wait_until(twenty_more_go_to_the_idle_one, "the answers count")
    worker.wait_until_published()
    probe = next(r for r in endpoint.requests if r.target == "/load")
    assert (probe.method, probe.headers["user-agent"]) == ("GET", "penstock-probe")
    assert worker.load(endpoint, L_REQUESTS) == asked(endpoint), "a probe is no request"
    assert worker.pool_count(P_PROBES) > 0


def answer_nothing(connection: EndpointConnection) -> None:
    connection.receive_to_end()


def answer_at_length(connection: EndpointConnection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
    connection.receive_to_end()


def answer_garbage(connection: EndpointConnection) -> None:
    connection.send(b"what?\r\n\r\n")
    connection.receive_to_end()


def hang_up(connection: EndpointConnection) -> None:
    connection.close()


@pytest.mark.parametrize("script", [answer_nothing, answer_at_length, answer_garbage, hang_up])
def test_probes_that_fail_harm_no_request(
    start: Callable[..., Worker],
    endpoint: HttpEndpoint,
    scripted: Callable[[Script], ScriptedEndpoint],
    script: Script,
) -> None:
    """Of two endpoints one answers probes badly, and hangs up on requests: they are retried."""

    def answer_probes_badly(connection: EndpointConnection) -> None:
        if connection.receive_head().startswith(b"GET /load "):
            script(connection)

    bad = scripted(answer_probes_badly)
    endpoint.answer = telling({"rif": 1, "latency_s": 0.01})
    members = pool(endpoint, bad, policy=ASKED, probe=Probe(timeout_s=0.1), retry=RETRY)
    worker = start(world(members))
    client = worker.connect()
    assert {client.get("/work").status for _ in range(20)} == {200}
    wait_until(lambda: worker.pool_count(P_PROBES_FAILED) > 0, "a probe failed")


def test_a_path_that_tells_no_load_leaves_a_draw_at_random(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """60 draws all alike is 1 in 10^17."""
    endpoint.answer = other_endpoint.answer = lambda _: Answer(404)
    worker = start(world(pool(endpoint, other_endpoint, policy=ASKED)))
    client = worker.connect()
    assert {client.get("/work").status for _ in range(60)} == {404}
    assert min(asked(endpoint), asked(other_endpoint)) > 0
