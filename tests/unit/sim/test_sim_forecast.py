"""A scenario's `forecast`: the load of a run beside what was expected of it."""

from typing import Any

import pytest

from penstock.sim.experiment import Comparison, compare
from penstock.sim.report.page import comparison_page
from penstock.sim.scenario_file import scenario_of

STEADY: dict[str, Any] = {
    "arrivals": {"kind": "deterministic", "rate": 20},
    "servers": [{"count": 4}],
    "service": {"mean": "100ms"},
    "run": {"duration": "100s", "replications": 1},
    "policies": ["random"],
}
FORECAST = {"method": "last-value", "step": "2s", "seasons": [], "horizon": "20s", "lead": "6s"}


def run(**changes: Any) -> Comparison:
    return compare(scenario_of(STEADY | changes), processes=0, timeline=True)


def test_every_step_has_its_load_and_what_was_expected_a_lead_before() -> None:
    steps = run(forecast=FORECAST).results[0].outcomes[0].foreseen
    at, load, mean, lower, upper = steps[10]
    assert steps[0][0] == 2.0 + 6.0  # after a first step and the lead
    assert at == steps[0][0] + 10 * 2.0
    assert load == pytest.approx(20.0, abs=0.5)
    assert mean == pytest.approx(20.0, abs=0.5)
    assert lower <= mean <= upper


def test_the_report_shows_it_only_when_asked() -> None:
    title = "Requests per second, and last-value 6.00 s before"
    assert title in comparison_page(run(forecast=FORECAST))
    assert "Requests per second, and" not in comparison_page(run())


def test_it_changes_nothing_in_the_run() -> None:
    plain, watched = run(), run(forecast=FORECAST)
    assert plain.results[0].outcomes[0].metrics == watched.results[0].outcomes[0].metrics
