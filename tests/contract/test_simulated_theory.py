"""The simulator, driving the real policies, comes out where theory says.

The table of docs/theory.md holds every value to 1%; here a few are held loosely and quickly: to
four standard errors or so, with seeds that never change.
"""

import pytest

from penstock.sim.expectation import expectation
from penstock.sim.experiment import compare
from penstock.sim.scenario_file import scenario_of
from penstock.sim.theory_cases import cases
from penstock.sim.validation import Case, Quantity, examine, simultaneous_factor

QUICK = {
    ("M/M/1", "ρ=0.5"),
    ("random split", "N=10, ρ=0.5"),
    ("M/D/1", "ρ=0.5"),
    ("M/G/1 sharing", "ρ=0.5, hyper-exponential, cv²=10"),
    ("M/M/c", "c=2, ρ=0.5"),
    ("M/M/c", "c=4, ρ=0.8"),
    ("M/M/c/K", "λ=0.8, c=1, K=5"),
    ("M/M/c/K", "λ=9, c=10, K=20"),
    ("shorter of two", "ρ=0.5"),
}


def shortened(case: Case) -> Case:
    run = case.scenario.run.model_copy(update={"customers": 6000})
    return Case(
        case.model,
        case.setting,
        case.scenario.model_copy(update={"run": run}),
        case.quantities,
        pilot=8,
    )


@pytest.mark.parametrize(
    "case",
    [case for case in cases() if (case.model, case.setting) in QUICK],
    ids=lambda case: f"{case.model} {case.setting}",
)
def test_the_simulator_finds_what_theory_knows(case: Case) -> None:
    for finding in examine(shortened(case), precision=1.0):
        assert finding.measured.replications == 8
        assert finding.off < 2.0, finding
        assert finding.measured.precision < 0.4


def test_quick_cases_are_among_all() -> None:
    known = {(case.model, case.setting) for case in cases()}
    assert known >= QUICK
    assert len(known) >= 60


def test_runs_are_added_until_the_interval_is_narrow() -> None:
    case = next(case for case in cases() if case.model == "random split")
    loose = examine(shortened(case), precision=1.0)[0]
    tight = examine(shortened(case), precision=loose.measured.precision / 2, most=24 * 6000)[0]
    assert tight.measured.replications == 24
    assert loose.measured.replications == 8
    assert tight.measured.precision < loose.measured.precision


def test_a_wrong_expectation_is_found_out() -> None:
    case = next(case for case in cases() if case.model == "M/M/1")
    wrong = [Quantity("W", 1.2 * case.quantities[0].expected, case.quantities[0].read)]
    wrong_case = Case("wrong", "", shortened(case).scenario, tuple(wrong))
    finding = examine(wrong_case, precision=0.02, most=400_000)[0]
    assert not finding.covered
    assert finding.off > simultaneous_factor(80, 16)


def test_join_the_shortest_queue_approaches_its_mean_field() -> None:
    scenario = scenario_of(
        {
            "arrivals": {"load": 0.8},
            "servers": [{"count": 200}],
            "policies": ["power-of-two"],
            "run": {"customers": 40_000, "replications": 4, "warm_up": 0.3},
        }
    )
    measured = compare(scenario, processes=0).results[0].interval("mean")
    expected = expectation(scenario, scenario.policies[0])
    assert expected is not None
    assert not expected.exact
    assert measured.mean == pytest.approx(expected.metrics["mean"], rel=0.02)
