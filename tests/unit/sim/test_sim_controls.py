"""Control variates have a mean of 0 whatever the policy, and change nothing of a run."""

import pytest

from penstock.sim.outcome import run_once
from penstock.sim.scenario_file import scenario_of
from penstock.sim.statistics import interval

REPLICATIONS = 40


@pytest.mark.parametrize("policy", ["random", "least-request", "round-robin"])
def test_controls_have_a_mean_of_zero(policy: str) -> None:
    """Held to four standard errors; seeds never change."""
    scenario = scenario_of(
        {
            "arrivals": {"load": 0.8},
            "servers": [{"count": 3}],
            "policies": [policy],
            "run": {"customers": 1500, "warm_up": 0.3},
        }
    )
    runs = [
        run_once(scenario, scenario.policies[0], number, controls=True).controls
        for number in range(REPLICATIONS)
    ]
    assert len(runs[0]) == (11 if policy == "random" else 9)
    for column in zip(*runs, strict=True):
        found = interval(column)
        assert found.half_width > 0.0
        assert abs(found.mean) < 2.0 * found.half_width


def test_controls_change_nothing_of_a_run() -> None:
    scenario = scenario_of(
        {
            "arrivals": {"load": 0.7},
            "servers": [{"count": 2}],
            "policies": ["power-of-two"],
            "run": {"customers": 1000},
        }
    )
    plain = run_once(scenario, scenario.policies[0], 0)
    controlled = run_once(scenario, scenario.policies[0], 0, controls=True)
    assert plain.metrics == controlled.metrics
    assert plain.controls == []
