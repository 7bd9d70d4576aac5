"""A bug met while serving one request costs that request only, and is told in full."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.core.health.health import DOWN
from penstock.core.snapshot import Match, PolicyChoice, RequestLog
from penstock.dataplane.board.layout import S_HEALTH, W_CONNECTIONS
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer, answer_of, get
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, pool, route, world
from tests.scenario.faulty_policy import MAKE, METHODS, REBUILD


def answer_whole(connection: EndpointConnection) -> None:
    while True:
        connection.receive_head()
        connection.send(answer_of(b"hello"))


def answer_piecemeal(connection: EndpointConnection) -> None:
    connection.receive_head()
    connection.send(answer("Content-Length: 5", body=b"he"))
    connection.go_on.wait(0.05)
    connection.send(b"llo")
    connection.receive_to_end()


def never_answer(connection: EndpointConnection) -> None:
    connection.receive_head()


@pytest.mark.parametrize("script", [answer_whole, answer_piecemeal, never_answer])
@pytest.mark.parametrize("method", METHODS)
def test_bug_in_a_users_policy_leaves_nobody_hanging(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    endpoint: HttpEndpoint,
    method: str,
    script: Script,
) -> None:
    faulty = PolicyChoice("tests.scenario.faulty_policy:Faulty", {"method": method})
    snapshot = world(
        pool(scripted(script), name="faulty", policy=faulty, retry=NEVER_REPEAT),
        pool(endpoint),
        routes=[route("faulty", match=Match(path_kind="exact", path="/faulty")), route("main")],
    )
    worker = start(snapshot)
    worker.may_report_bugs = True
    unaffected = worker.connect()
    for _ in range(3):
        with worker.connect() as client:
            client.send(get("/faulty"))
            client.read_response_or_end()
        assert unaffected.get("/").status == 200
    worker.wait_until_idle()
    wait_until(lambda: worker.count(W_CONNECTIONS) == 1, "the others were let go")
    if not (method == "on_first_byte" and script is never_answer):
        assert "a bug in a user's policy" in worker.errors()


def test_bug_while_an_endpoint_is_picked_is_answered_with_500(
    start: Callable[..., Worker], endpoint: HttpEndpoint
) -> None:
    faulty = PolicyChoice("tests.scenario.faulty_policy:Faulty", {"method": "pick"})
    worker = start(world(pool(endpoint, policy=faulty)))
    worker.may_report_bugs = True
    with worker.connect() as client:
        response = client.get("/")
        assert response.status == 500
        assert b"the policy of the pool failed" in response.body
        assert b"faulty_policy" not in response.body, "that is the operator's business"
        client.expect_end()
    # The innermost line of the user's own module.
    told = "penstock: policy tests.scenario.faulty_policy:Faulty failed in fail_in ("
    wait_until(lambda: told in worker.errors(), "it is told")  # by a thread of the worker
    assert "faulty_policy.py, line " in worker.errors()
    assert "penstock: bug" not in worker.errors()


def test_the_request_log_names_the_users_class_and_line(
    start: Callable[..., Worker], endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    faulty = PolicyChoice("tests.scenario.faulty_policy:Faulty", {"method": "pick"})
    log = tmp_path / "requests.jsonl"
    worker = start(world(pool(endpoint, policy=faulty), request_log=RequestLog("file", str(log))))
    worker.may_report_bugs = True
    with worker.connect() as client:
        assert client.get("/").status == 500
    wait_until(log.exists, "it is logged")
    wait_until(lambda: log.read_text().endswith("\n"), "the line is whole")
    why = json.loads(log.read_text())["why"]
    assert why.startswith("policy tests.scenario.faulty_policy:Faulty failed in fail_in (")
    assert "faulty_policy.py, line " in why


def test_bug_while_a_policy_is_rebuilt_keeps_nobody_else_back(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """Other pools follow the board, and the faulty policy picks among who is eligible."""
    faulty = PolicyChoice("tests.scenario.faulty_policy:Faulty", {"method": REBUILD})
    snapshot = world(
        pool(endpoint, name="faulty", policy=faulty),
        pool(endpoint, other_endpoint),
        routes=[route("faulty", match=Match(path_kind="exact", path="/faulty")), route("main")],
    )
    worker = start(snapshot)
    worker.may_report_bugs = True
    client = worker.connect()
    assert client.get("/faulty").status == 200
    worker.set_state("main", endpoint, S_HEALTH, DOWN)
    for _ in range(4):
        assert client.get("/").body == other_endpoint.name.encode()
    worker.set_state("faulty", endpoint, S_HEALTH, DOWN)
    assert client.get("/faulty").status == 503
    assert "policy tests.scenario.faulty_policy:Faulty of pool faulty" in worker.errors()


def test_bug_while_a_snapshot_is_applied_refuses_it_and_changes_nothing(
    start: Callable[..., Worker], endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    faulty = PolicyChoice("tests.scenario.faulty_policy:Faulty", {"method": MAKE})
    worker = start(world(pool(endpoint)))
    worker.may_report_bugs = True
    client = worker.connect()
    answered = worker.publish(world(pool(other_endpoint, policy=faulty)))
    assert answered["kind"] == "refused"
    assert "a bug in a user's policy" in str(answered["reason"])
    assert client.get("/").body == endpoint.name.encode()
    worker.apply(world(pool(other_endpoint)))
    assert client.get("/").body == other_endpoint.name.encode()
    assert "while a snapshot was applied" in worker.errors()
