"""The line of one request tells what is known, and nothing that is not."""

import json
from collections.abc import Iterator

import pytest

from penstock.core.caller import Caller
from penstock.dataplane.exchange.log_line import log_line, refusal_line
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.io.system import System
from penstock.dataplane.record.time_of_day import tell_time_by, time_stamp, wall_clock
from penstock.dataplane.route.plan import Plan
from penstock.wire.http1 import parse_request
from tests.harness.fake.stage import Stage


def line(caller: Caller | None = None) -> dict[str, object]:
    head = parse_request(b"GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n", 1000, 10)
    outcome = Outcome(head, Plan(1, None, b""), b"id", 1.0, "done")
    if caller is not None:
        outcome.caller = caller
    told: dict[str, object] = json.loads(log_line(outcome, 1.5))
    return told


def test_who_asks_is_told_by_their_tenants_name() -> None:
    assert line(Caller(tenant="acme"))["tenant"] == "acme"


def test_of_a_caller_that_nothing_tells_of_there_is_no_field() -> None:
    told = line()
    assert "tenant" not in told
    assert (told["host"], told["t_total"], told["end"]) == ("site.example", 500.0, "done")


def test_how_often_it_lost_its_place_is_told_where_it_did() -> None:
    head = parse_request(b"GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n", 1000, 10)
    outcome = Outcome(head, Plan(1, None, b""), b"id", 1.0, "done")
    assert "preempted" not in json.loads(log_line(outcome, 1.5))
    outcome.preempted = 2
    assert json.loads(log_line(outcome, 1.5))["preempted"] == 2


@pytest.fixture
def own_time() -> Iterator[None]:
    """What a test makes of the time of day ends with it."""
    yield
    tell_time_by(System())


@pytest.mark.usefixtures("own_time")
def test_a_line_has_the_time_of_the_systems_wall_clock() -> None:
    tell_time_by(System(wall_clock=lambda: 1_769_860_800.123))
    assert line()["time"] == "2026-01-31T12:00:00.123Z"


@pytest.mark.usefixtures("own_time")
def test_lines_and_records_of_a_worker_follow_its_own_system() -> None:
    with Stage() as stage:
        stage.system.now = 3.25
        assert time_stamp() == b"1970-01-01T00:00:03.250Z"
        assert wall_clock() == 3.25
        stage.system.now = 61.5
        assert time_stamp() == b"1970-01-01T00:01:01.500Z"


def test_of_a_request_that_was_refused_no_key_is_told() -> None:
    told = refusal_line("192.0.2.1", b"GET /v1?a=1&api_key=secret&b=2 HTTP/1.1\r\n", 400, "bad")
    assert b"secret" not in told
    assert b"a=1&api_key=-&b=2" in told
