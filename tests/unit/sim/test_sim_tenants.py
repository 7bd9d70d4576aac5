"""Tenants share a pool that has not enough for all: by weight, and nobody pays for another."""

from typing import Any

import pytest

from penstock.config.load.errors import ConfigError
from penstock.sim.outcome import Outcome, run_once
from penstock.sim.scenario_file import scenario_of
from penstock.sim.tenants import jain
from penstock.sim.world import build_world

CROWDED: dict[str, Any] = {
    "arrivals": {"load": 2.5},
    "service": {"law": "exponential", "mean": "100ms"},
    "servers": [{"count": 8, "max_in_flight": 1}],
    "policies": ["least-request"],
    "admission": {"queue": {"length": 400, "timeout": "20s"}},
    "run": {"customers": 8000, "warm_up": 0.2, "replications": 1},
}
ENGINE = {"profile": "llama-3-8b-h100"}
PROMPTS: dict[str, Any] = {
    "arrivals": {"rate": 60},
    "servers": [
        {
            "count": 2,
            "model": "engine",
            "max_in_flight": 24,
            "engine": {"profile": "llama-3-8b-h100"},
        }
    ],
    "policies": ["prefix-sticky"],
    "admission": {"queue": {"length": 300, "timeout": "30s"}},
    "run": {"duration": "40s", "warm_up": 0.3, "drain": "0s", "replications": 1},
}


def run(base: dict[str, Any], **changes: Any) -> Outcome:
    scenario = scenario_of(base | changes)
    return run_once(scenario, scenario.policies[0], 0)


def tenant(name: str, share: float, weight: float, **others: Any) -> dict[str, Any]:
    return {"name": name, "share": share, "weight": weight, **others}


def assert_shares_are_weights(found: Outcome, weights: dict[str, float]) -> None:
    """To 2% of each weight, with a Jain's index of at least 0.98."""
    given = {name: each.given for name, each in found.tenants.items()}
    for name, weight in weights.items():
        assert given[name] == pytest.approx(weight / sum(weights.values()), rel=0.02), name
    assert jain(given, weights) >= 0.98


def test_shares_under_overload_are_the_weights_whatever_each_sends() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 4.0}
    sent = {"a": 2.0, "b": 5.0, "c": 5.0}
    tenants = [tenant(name, sent[name], weight) for name, weight in weights.items()]
    assert_shares_are_weights(run(CROWDED, tenants=tenants), weights)


def test_a_light_tenant_beside_a_heavy_one_is_as_fast_as_with_its_share_alone() -> None:
    """It sends 60% of what its half of the servers can do, and the other twice as much as all."""
    tenants = [tenant("light", 0.3, 1.0), tenant("heavy", 2.0, 1.0)]
    shared = run(CROWDED, arrivals={"load": 2.3}, tenants=tenants).tenants["light"]
    alone = run(
        CROWDED,
        arrivals={"load": 0.6},
        servers=[{"count": 4, "max_in_flight": 1}],
        tenants=[tenant("light", 1.0, 1.0)],
    ).tenants["light"]
    assert shared.errors == 0.0
    assert shared.p99_s <= 1.2 * alone.p99_s


def test_sharing_costs_no_throughput() -> None:
    """First come first served is the same with tenants that the balancer does not know."""
    tenants = [tenant("a", 1.0, 1.0), tenant("b", 4.0, 1.0)]
    fair = run(CROWDED, tenants=tenants).metrics["throughput"]
    first_come = run(CROWDED, tenants=tenants, knows_tenants=False).metrics["throughput"]
    assert fair == pytest.approx(first_come, rel=0.03)


def test_a_class_goes_first_and_those_below_are_not_starved() -> None:
    tenants = [
        tenant("gold", 2.0, 1.0, priority=0),
        tenant("bronze", 1.0, 1.0, priority=9),
    ]
    found = run(CROWDED, tenants=tenants, arrivals={"load": 1.8}).tenants
    assert found["gold"].given >= 0.95
    assert found["bronze"].given > 0.0
    assert found["gold"].p99_s < 15.0


def prompt_tenant(name: str, share: float, weight: float, tokens: int) -> dict[str, Any]:
    return {
        "name": name,
        "share": share,
        "weight": weight,
        "system_tokens": tokens,
        "groups": 4,
        "input": {"mean": 400},
        "output": {"mean": 150},
    }


def test_of_prompts_shares_are_of_tokens_that_no_cache_had() -> None:
    """One tenant's prompts are mostly a long text in common, the other sends twice as many."""
    tenants = [prompt_tenant("long", 1.0, 1.0, 4000), prompt_tenant("short", 2.0, 1.0, 0)]
    found = run(PROMPTS, arrivals={"rate": 120}, prompts={"tenants": tenants})
    assert_shares_are_weights(found, {"long": 1.0, "short": 1.0})


def test_sharing_throws_no_prefixes_away() -> None:
    """Of a mix of which first come first served makes equal shares too, so that they compare."""
    tenants = [prompt_tenant("long", 1.0, 1.0, 4000), prompt_tenant("short", 1.0, 1.0, 0)]
    fair = run(PROMPTS, prompts={"tenants": tenants}).metrics
    first_come = run(PROMPTS, prompts={"tenants": tenants}, knows_tenants=False).metrics
    assert fair["hit rate"] >= 0.99 * first_come["hit rate"]
    assert fair["throughput"] >= 0.97 * first_come["throughput"]


def class_of(name: str, share: float, priority: int, tokens: int) -> dict[str, Any]:
    sizes = {"groups": 0, "input": {"mean": tokens}, "output": {"mean": 20}}
    return tenant(name, share, 1.0, priority=priority, **sizes)


def test_a_class_above_takes_places_of_long_prompts_without_a_token() -> None:
    """Nobody is lost by it, and what was computed in vain is told."""
    p99_s: list[float] = []
    for preemptions in (0, 1):
        queue = {"length": 900, "timeout": "60s", "preemptions": preemptions}
        base = PROMPTS | {
            "arrivals": {"rate": 1.6},
            "servers": [{"count": 2, "model": "engine", "max_in_flight": 1, "engine": ENGINE}],
            "admission": {"queue": queue},
            "prompts": {
                "tenants": [class_of("urgent", 1.0, 0, 200), class_of("batch", 1.5, 9, 30000)]
            },
            "run": {"duration": "60s", "warm_up": 0.1, "drain": "60s", "replications": 1},
        }
        world = build_world(scenario_of(base), scenario_of(base).policies[0], 1)
        world.run()
        recorder = world.recorder
        assert recorder.refused == 0
        assert (recorder.preempted > 0, recorder.vain_tokens > 0) == 2 * (preemptions > 0,)
        p99_s.append(recorder.tenants["urgent"].responses.quantile(0.99))
    assert p99_s[1] < 0.5 * p99_s[0]


def test_what_tenants_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="same name"):
        run(CROWDED, tenants=[tenant("a", 1.0, 1.0), tenant("a", 1.0, 2.0)])
    with pytest.raises(ConfigError, match="no `keys`"):
        run(CROWDED, tenants=[tenant("a", 1.0, 1.0)], keys={"count": 5})
