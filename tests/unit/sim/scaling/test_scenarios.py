"""`scale` in a scenario: servers come and go while requests run."""

import pytest

from penstock.config.load.errors import ConfigError
from penstock.core.snapshot import PolicyChoice
from penstock.sim.outcome import run_once
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of

FLOOD = {
    "arrivals": {"kind": "profile", "points": [["0s", 5], ["60s", 5], ["90s", 30], ["300s", 5]]},
    "service": {"law": "exponential", "mean": "500ms"},
    "servers": [{"count": 10, "slots": 4, "max_in_flight": 4}],
    "admission": {"queue": {"length": 1000, "timeout": "1m"}},
    "scale": {"min": 2, "start": "20s", "cool_down": "30s"},
    "run": {"duration": "500s", "warm_up": 0.0, "replications": 1},
}


def outcome(**changes: object) -> dict[str, float]:
    scenario = scenario_of(FLOOD | changes)
    return run_once(scenario, scenario.policies[0], 0).metrics


def test_servers_come_for_a_flood_and_leave_without_cutting_anything() -> None:
    scaled = outcome()
    assert scaled["cut"] == 0.0
    assert scaled["errors"] == 0.0
    assert scaled["scalings"] >= 2
    assert scaled["server-hours"] < 10 * 500 / 3600
    few = outcome(servers=[{"count": 2, "slots": 4, "max_in_flight": 4}])
    assert scaled["p99"] < few["p99"]


def test_the_same_seed_gives_the_same_course() -> None:
    assert outcome() == outcome()


def test_from_nothing_the_first_request_waits_for_a_start() -> None:
    arrivals = {"kind": "recorded", "times": ["100s"]}
    waiting = {"length": 10, "timeout": "1m", "while_down": "wait"}
    scale = {"min": 0, "start": "20s"}
    run = {"duration": "200s", "warm_up": 0.0}
    found = outcome(arrivals=arrivals, admission={"queue": waiting}, scale=scale, run=run)
    assert found["errors"] == 0.0
    assert 20.0 < found["mean"] < 30.0


def test_engines_are_scaled_by_their_model_and_objectives() -> None:
    scenario = scenario_of(
        {
            "arrivals": {"kind": "profile", "points": [["0s", 1], ["30s", 1], ["40s", 12]]},
            "prompts": {
                "tenants": [{"name": "all", "input": {"mean": 1000}, "output": {"mean": 100}}]
            },
            "servers": [{"count": 8, "model": "engine", "engine": {}}],
            "policies": ["marginal-cost"],
            "objective_ttft": "1s",
            "scale": {"min": 1, "start": "10s", "cool_down": "30s"},
            "run": {"duration": "120s", "warm_up": 0.0, "replications": 1},
        }
    )
    found = run_once(scenario, PolicyChoice("marginal-cost"), 0).metrics
    assert found["scalings"] >= 1
    assert found["cut"] == 0.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale": {"begin": 11}}, "10 are listed"),
        ({"scale": {"min": 3, "begin": 2}}, "less than `min`"),
        ({"scale": {"rule": "hpa", "cool_down": "1m"}}, "is of `rule: penstock`"),
        ({"servers": [{"slots": 1}, {"slots": 2}], "scale": {}}, "one group"),
        ({"incidents": [{"at": "1s", "servers": [0], "fail": True}]}, "contradict"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scenario_of(FLOOD | changes)


def test_others_rules_scale_the_same_servers() -> None:
    assert outcome(scale={"rule": "kpa", "min": 2, "start": "20s"})["scalings"] >= 2
    assert isinstance(scenario_of(FLOOD), Scenario)
