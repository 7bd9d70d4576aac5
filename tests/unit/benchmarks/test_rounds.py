"""Ratios are taken within rounds, and a row that fails leaves the others as they are."""

from collections.abc import Iterator

import pytest

from benchmarks.balancers import Balancer
from benchmarks.failure import LoadError
from benchmarks.report import section, targets
from benchmarks.rounds import Result, run_rounds
from benchmarks.scenarios import Bench, Case, Sample, Scenario
from benchmarks.scenarios.scenario import Target
from benchmarks.site import Site


class Named(Balancer):
    """A balancer that is never started."""

    def __init__(self, name: str) -> None:
        self.name = name

    def version(self) -> str:
        return "1"

    def configuration(self, site: Site) -> str:
        return ""

    def command(self, site: Site) -> list[str]:
        return []


class Scripted(Scenario):
    """Gives each balancer its values in order; None fails."""

    name = "scripted"
    title = "Scripted"
    unit = "µs"
    method = "None."

    def __init__(self, values: dict[str, list[float | None]], bound: float = 1.0) -> None:
        self._values: dict[str, Iterator[float | None]] = {
            name: iter(row) for name, row in values.items()
        }
        self._bound = bound
        self.order: list[str] = []

    def targets(self) -> list[Target]:
        return [Target("Penstock", ("nginx", "HAProxy"), self._bound)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        self.order.append(case.label)
        value = next(self._values[case.label])
        if value is None:
            raise LoadError("3 requests failed")
        return Sample(value)


def run(scenario: Scripted, *names: str, rounds: int) -> Result:
    silent: list[str] = []
    return run_rounds(scenario, [Named(n) for n in names], Bench(rounds, 0.0), silent.append)


def test_balancers_take_turns() -> None:
    scenario = Scripted({"nginx": [1.0, 1.0], "Penstock": [1.0, 1.0]})

    run(scenario, "nginx", "Penstock", rounds=2)

    assert scenario.order == ["nginx", "Penstock", "nginx", "Penstock"]


def test_a_slow_round_does_not_change_ratios() -> None:
    """The whole machine was three times slower in the second round."""
    scenario = Scripted({"nginx": [10.0, 30.0, 10.0], "Penstock": [9.0, 27.0, 9.0]})

    ratio = run(scenario, "nginx", "Penstock", rounds=3).ratio("Penstock", "nginx")

    assert ratio is not None
    assert (ratio.median, ratio.least, ratio.greatest) == pytest.approx((0.9, 0.9, 0.9))


def test_the_cheaper_anchor_is_that_of_each_round() -> None:
    scenario = Scripted({"nginx": [10.0, 20.0], "HAProxy": [20.0, 10.0], "Penstock": [10.0, 10.0]})

    ratio = run(scenario, "nginx", "HAProxy", "Penstock", rounds=2).ratio(
        "Penstock", "nginx", "HAProxy"
    )

    assert ratio is not None
    assert (ratio.least, ratio.greatest) == (1.0, 1.0)


def test_a_row_that_fails_is_left_out_with_its_reason() -> None:
    scenario = Scripted({"nginx": [10.0, 10.0], "Penstock": [9.0, None]})

    result = run(scenario, "nginx", "Penstock", rounds=2)

    assert list(result.samples) == ["nginx"]
    assert result.failures == {"Penstock": "3 requests failed"}
    assert "Penstock: failed: 3 requests failed" in section(scenario, result)


def test_a_target_without_its_anchors_is_not_judged() -> None:
    scenario = Scripted({"nginx": [10.0], "Penstock": [9.0]})

    result = run(scenario, "nginx", "Penstock", rounds=1)

    assert targets(scenario, result) == []


@pytest.mark.parametrize(("bound", "verdict"), [(0.95, "met"), (0.85, "**missed**")])
def test_a_target_is_judged_by_the_median_ratio(bound: float, verdict: str) -> None:
    values: dict[str, list[float | None]] = {
        "nginx": [10.0, 10.0, 10.0],
        "HAProxy": [11.0, 11.0, 11.0],
        "Penstock": [8.0, 9.0, 20.0],
    }
    scenario = Scripted(values, bound)

    (line,) = targets(scenario, run(scenario, *values, rounds=3))

    assert "0.90 (0.80–2.00)" in line
    assert line.endswith(f": {verdict}")
