"""The ready scenarios run, each briefly, and show what they say."""

from pathlib import Path

import pytest

from penstock.sim.expectation import expectation
from penstock.sim.experiment import Comparison, compare
from penstock.sim.likely_mistakes import likely_mistakes
from penstock.sim.scenario_file import load_scenario

EXAMPLES = Path(__file__).parents[3] / "examples"
SCENARIOS = EXAMPLES / "scenarios"
OWN_POLICY = EXAMPLES / "own-policy" / "scenario.yaml"


def shortened(name: str, policies: tuple[str, ...] = (), **run: object) -> Comparison:
    changes: dict[str, object] = {"run": {"replications": 1, **run}}
    if policies:
        changes["policies"] = list(policies)
    scenario = load_scenario(SCENARIOS / name, changes)
    return compare(scenario, processes=0, timeline=True)


def measured(comparison: Comparison, metric: str) -> dict[str, float]:
    return {result.label: result.interval(metric).mean for result in comparison.results}


def test_every_scenario_is_tried_here() -> None:
    tried = Path(__file__).read_text("utf-8")
    files = list(SCENARIOS.iterdir())
    assert len(files) >= 6
    for file in files:
        assert f'"{file.name}"' in tried


def test_tenants_share_by_weight() -> None:
    found = shortened("tenants.yaml", customers=8000).results[0].outcomes[0].tenants
    assert found["modest"].errors == 0.0
    assert found["paying"].given > 0.45
    assert found["greedy"].given < 0.5


def test_a_flood_is_met_by_servers_that_are_started_and_nothing_is_cut() -> None:
    comparison = shortened("flood-scaled.yaml", duration="600s")
    assert measured(comparison, "cut") == {"least-request": 0.0}
    assert measured(comparison, "errors") == {"least-request": 0.0}
    assert measured(comparison, "scalings")["least-request"] > 2


def test_the_seed_of_it_all_comes_near_its_closed_forms() -> None:
    comparison = shortened("seed-of-it-all.yaml", customers=20_000)
    for result in comparison.results[:2]:
        expected = expectation(comparison.scenario, result.policy)
        assert expected is not None
        assert expected.exact
        mean = result.interval("mean").mean
        assert mean == pytest.approx(expected.metrics["mean"], rel=0.2)
    means = measured(comparison, "mean")
    assert means["random"] > means["round-robin"] > means["least-request"]
    assert means["source-hash"] > means["least-request"]
    for result in comparison.results:
        shares = [result.share(server).mean for server in comparison.servers()]
        assert sum(shares) == pytest.approx(1.0)
        assert shares == pytest.approx([0.1] * 10, abs=0.02), f"P(i) = 1/N by {result.label}"


@pytest.mark.parametrize("file", [*SCENARIOS.iterdir(), OWN_POLICY], ids=lambda file: file.stem)
def test_no_scenario_is_warned_about(file: Path) -> None:
    assert list(likely_mistakes(load_scenario(file))) == []


def test_rules_that_do_not_look_overload_the_slow_servers() -> None:
    comparison = shortened("heterogeneous.yaml", customers=5000)
    p99 = measured(comparison, "p99")
    for looking in ("least-request", "power-of-two", "peak-ewma"):
        assert p99[looking] < p99["round-robin"] / 2


def test_a_slow_replica_is_avoided_by_those_that_measure() -> None:
    comparison = shortened(
        "slow-replica.yaml", ("round-robin", "least-request", "peak-ewma"), duration="25s"
    )
    goodput = measured(comparison, "goodput")
    assert goodput["round-robin"] < min(goodput["peak-ewma"], goodput["least-request"])


def test_a_flash_crowd_is_survived() -> None:
    comparison = shortened("flash-crowd.yaml", ("random", "least-request"), duration="38s")
    errors = measured(comparison, "errors")
    attempts = measured(comparison, "attempts")
    assert all(0.02 < share < 0.9 for share in errors.values())
    assert all(1.0 < tries <= 2.0 for tries in attempts.values())
    ticks = comparison.results[0].outcomes[0].ticks
    assert max(max(present) for _, present, *_ in ticks) == 50


def test_a_queue_that_knows_its_clients_patience_is_worth_twice_the_goodput() -> None:
    with_it = shortened("overload.yaml", ("least-request",), duration="40s")
    changes = {
        "admission": {"queue": "off"},
        "servers": [{"count": 12}],
        "policies": ["least-request"],
        "run": {"replications": 1, "duration": "40s"},
    }
    without = compare(load_scenario(SCENARIOS / "overload.yaml", changes), processes=0)
    assert measured(with_it, "p99")["least-request"] < 1.25
    goodput = measured(with_it, "goodput")["least-request"]
    assert goodput > 2.0 * measured(without, "goodput")["least-request"]


@pytest.mark.large
def test_tens_of_thousands_of_sessions_are_held_at_once() -> None:
    comparison = shortened("game-sessions.yaml", ("least-request", "source-hash"), duration="12m")
    ticks = comparison.results[0].outcomes[0].ticks
    assert max(sum(present) for _, present, *_ in ticks) > 10_000
    fullest = {
        result.label: max(max(present) for _, present, *_ in result.outcomes[0].ticks)
        for result in comparison.results
    }
    assert fullest["least-request"] < fullest["source-hash"] <= 600


def test_sessions_that_stay_keep_their_prefixes() -> None:
    comparison = shortened("multi-tenant-inference.yaml", customers=300)
    hits = measured(comparison, "hit rate")
    assert hits["consistent-hash"] > hits["round-robin"] + 0.1
    assert all(tokens > 0 for tokens in measured(comparison, "tokens").values())


@pytest.mark.large
def test_where_few_prompts_are_shared_marginal_cost_uses_all_engines() -> None:
    path = SCENARIOS / "shared-prefixes.yaml"
    prompts = load_scenario(path).prompts
    assert prompts is not None
    [tenant] = prompts.model_dump(mode="json")["tenants"]
    changes = {
        "prompts": {"tenants": [{**tenant, "groups": 6}]},
        "run": {"customers": 2000, "warm_up": 0.5, "replications": 1},
    }
    comparison = compare(load_scenario(path, changes), processes=0)
    p99 = measured(comparison, "ttft p99")
    assert p99["marginal-cost"] < 0.9 * p99["cache-aware"]
    assert min(measured(comparison, "hit rate").values()) > 0.9


def test_an_engine_that_hung_makes_no_answers_late_once_it_is_back() -> None:
    comparison = shortened(
        "engine-hangs.yaml", ("marginal-cost", "e2"), duration="150s", warm_up=0.8
    )
    assert max(measured(comparison, "ttft").values()) < 0.5


def test_waiting_for_a_slot_costs_more_than_a_cache_saves() -> None:
    comparison = shortened(
        "engine-slots.yaml", ("cache-aware", "marginal-cost"), customers=600, warm_up=0.1
    )
    ttft = measured(comparison, "ttft")
    assert ttft["marginal-cost"] < 0.7 * ttft["cache-aware"]
