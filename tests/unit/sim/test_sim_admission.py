"""Admission in the simulator: the gate of live pools, under laws that are known."""

from typing import Any

import pytest

from penstock.config.load.errors import ConfigError
from penstock.sim.outcome import Outcome, run_once
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of

ONE_SERVER: dict[str, Any] = {
    "arrivals": {"load": 0.8},
    "servers": [{"count": 1}],
    "policies": ["least-request"],
    "run": {"customers": 20_000, "warm_up": 0.0, "replications": 1},
}


def outcome(scenario: Scenario) -> Outcome:
    return run_once(scenario, scenario.policies[0], 0)


def with_admission(load: float, admission: dict[str, Any], **server: Any) -> Outcome:
    changes = {"arrivals": {"load": load}, "servers": [{"count": 1, **server}]}
    return outcome(scenario_of(ONE_SERVER | changes | {"admission": admission}))


def test_where_requests_wait_does_not_matter_to_them() -> None:
    """One server that takes one request, with a queue before it, is the server with a queue."""
    plain = outcome(scenario_of(ONE_SERVER)).metrics
    queued = with_admission(0.8, {"queue": {"length": 10_000, "timeout": "1h"}}, max_in_flight=1)
    assert queued.metrics["errors"] == 0.0
    for name in ("mean", "p50", "p99"):
        assert queued.metrics[name] == pytest.approx(plain[name], rel=1e-9)


def test_a_bounded_queue_refuses_as_theory_has_it() -> None:
    """M/M/1/K with K = 5, one in service and four waiting.

    P(block) = (1 - r) r^K / (1 - r^(K+1)); three standard errors at 20,000 customers are 0.0083,
    as successive refusals are dependent.
    """
    load, places = 0.8, 5
    blocked = (1 - load) * load**places / (1 - load ** (places + 1))
    admission = {"queue": {"length": places - 1, "timeout": "1h"}}
    found = with_admission(load, admission, max_in_flight=1)
    assert found.metrics["errors"] == pytest.approx(blocked, abs=0.0083)


def test_under_overload_a_queue_with_a_deadline_keeps_waits_bounded() -> None:
    """Half as much again as the server can do: without a bound the wait grows for ever."""
    admission = {"queue": {"length": 10_000, "timeout": "5s"}}
    found = with_admission(1.5, admission, max_in_flight=1).metrics
    plain = outcome(scenario_of(ONE_SERVER | {"arrivals": {"load": 1.5}})).metrics
    assert plain["wait"] > 100.0
    assert found["wait"] <= 5.0 + 0.25
    assert found["errors"] == pytest.approx(1 / 3, abs=0.05)


def test_a_limit_that_learns_keeps_a_server_that_shares_itself_fast() -> None:
    """Processor sharing gets slower for all with every request more; AIMD finds the bound."""
    server = {"model": "sharing", "slots": 1, "count": 1}
    scenario = ONE_SERVER | {"arrivals": {"load": 2.0}, "servers": [server]}
    limit = {"name": "aimd", "initial": 4.0, "minimum": 1.0, "timeout_s": 10.0}
    limited = outcome(scenario_of(scenario | {"admission": {"limit": limit}})).metrics
    free = outcome(scenario_of(scenario)).metrics
    assert limited["mean"] < 20.0 < free["mean"]
    assert 0.4 < limited["errors"] < 0.7


def test_every_request_is_answered_or_refused() -> None:
    scenario = scenario_of(
        ONE_SERVER
        | {
            "arrivals": {"load": 1.5},
            "servers": [{"count": 3, "max_in_flight": 2}],
            "timeout": "4s",
            "admission": {
                "queue": {"length": 20, "timeout": "2s", "codel": "on"},
                "limit": {"name": "vegas"},
                "throttle": "on",
            },
        }
    )
    found = outcome(scenario)
    assert 0.0 < found.metrics["errors"] < 1.0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="vegas"):
        scenario_of(ONE_SERVER | {"admission": {"limit": "vega"}})
