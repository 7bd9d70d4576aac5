"""The line of one request tells what is known, and nothing that is not."""

import json

from penstock.core.caller import Caller
from penstock.dataplane.exchange.log_line import Outcome, log_line
from penstock.dataplane.route.plan import Plan
from penstock.wire.http1 import parse_request


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
