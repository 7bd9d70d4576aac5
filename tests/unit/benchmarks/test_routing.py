"""The comparison of routers: its workloads can be sent and simulated, its tables name the best."""

import json
from pathlib import Path

import click
import msgspec
import pytest

from benchmarks import data
from benchmarks.routing import document, standing, tables
from benchmarks.routing.__main__ import named
from benchmarks.routing.fleets import ALIKE, PROFILE, SPEEDS
from benchmarks.routing.floor import NAME, Floor
from benchmarks.routing.live import SECONDS, Row
from benchmarks.routing.routers import routers
from benchmarks.routing.simulated import EVERY_POLICY, OWN, OWN_OBJECTIVES, scenario
from benchmarks.routing.workloads import OBJECTIVES, Kind, kinds
from benchmarks.site import Site
from penstock.core.snapshot import PolicyChoice
from penstock.sim.engine_timing import PROFILES
from penstock.sim.experiment import Comparison, Result
from penstock.sim.outcome import Outcome
from penstock.sim.scenario_file import scenario_of

KINDS = kinds(None)
VARIANTS = ("", ", 2 workers", " with objectives")


def row(router: str, mean_s: float, hit_rate: float = 0.5) -> Row:
    return Row(router, "agents", "alike", 10, 0, mean_s, 1.0, 0.05, 2.0, hit_rate, 0.001, 0.01)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))
def test_every_workload_is_the_same_for_the_same_seed(kind: Kind) -> None:
    assert kind.live(10.0, 1, ALIKE) == kind.live(10.0, 1, ALIKE)
    assert kind.live(10.0, 1, ALIKE) != kind.live(10.0, 2, ALIKE)
    assert kind.live(10.0, 1, ALIKE).requests >= 40


@pytest.mark.parametrize("fleet", SPEEDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))
def test_every_workload_can_be_simulated_on_every_fleet(kind: Kind, fleet: str) -> None:
    read = scenario_of(scenario(kind, fleet, 100, 5, EVERY_POLICY))
    assert read.run.replications == 5
    speeds = [group.speed for group in read.servers for _ in range(group.count)]
    assert sorted(speeds) == sorted(SPEEDS[fleet])


def test_many_prompts_overflow_the_caches_of_all_engines_and_others_do_not() -> None:
    """A third more than they hold, though nothing were kept twice."""
    held = sum(PROFILES[PROFILE].kv_tokens for _ in SPEEDS[ALIKE])
    asked: dict[str, int] = {}
    for kind in KINDS:
        [tenant] = kind.simulated(ALIKE)["prompts"]["tenants"]
        asked[kind.name] = tenant["groups"] * tenant["system_tokens"]
    assert asked.pop("many prompts") / held == pytest.approx(1.3, abs=0.02)
    assert max(asked.values()) < held / 2


def result(policy: str, ttft: list[float], goodput: list[float]) -> Result:
    """A replication for each of the values; 99th percentiles are the same for all policies."""
    outcomes = []
    for number, (first_s, good) in enumerate(zip(ttft, goodput, strict=True)):
        metrics = {"ttft": first_s, "ttft p99": 1.0 + number, "goodput": good}
        outcomes.append(Outcome(policy, number, metrics, {}, {}, {}, 0, 0.0, 0.0, 0.0, 0.0, 0.0))
    return Result(PolicyChoice(policy), outcomes)


STANDING = [
    "-10.0% ± 0.0% (second)",
    "equal, +0.0% ± 0.0% (second)",
    "**worse**, -10.0% ± 0.0% (third)",
]


def told(comparison: Comparison) -> list[str]:
    return [standing.told(each) for each in standing.records(comparison, "agents", "alike")]


def test_a_policy_is_held_against_the_best_of_the_others_seed_by_seed() -> None:
    """What all seeds agree on counts, however far the seeds are apart; and no variant of itself."""
    read = scenario_of(scenario(KINDS[0], "alike", 100, 3))
    found = Comparison(
        read,
        [
            result(OWN, [0.9, 1.8, 3.6], [9.0, 18.0, 27.0]),
            result("second", [1.0, 2.0, 4.0], [8.0, 16.0, 24.0]),
            result("third", [2.0, 3.0, 5.0], [10.0, 20.0, 30.0]),
        ],
    )
    assert told(found) == STANDING
    variant = Result(
        PolicyChoice(OWN, dict(OWN_OBJECTIVES)), result(OWN, [0.1] * 3, [99.0] * 3).outcomes
    )
    assert told(Comparison(read, [*found.results, variant])) == STANDING


TRACE = """\
{"timestamp": 0, "input_length": 1030, "output_length": 5, "hash_ids": [0, 1, 2]}
{"timestamp": 3000, "input_length": 600, "output_length": 5, "hash_ids": [0, 3]}
{"timestamp": 9000, "input_length": 1600, "output_length": 5, "hash_ids": [0, 1, 4, 5]}
"""


@pytest.fixture
def traced(tmp_path: Path) -> list[Kind]:
    """The two ways of playing a trace."""
    trace = tmp_path / "trace.jsonl"
    trace.write_text(TRACE)
    return [kind for kind in kinds(trace) if kind.traced]


def test_a_trace_comes_as_much_slower_as_the_fleet_is_slower_live_and_simulated(
    traced: list[Kind],
) -> None:
    for kind in traced:
        alike, halved = (
            scenario(kind, fleet, 100, 5)["prompts"]["rate_scale"]
            for fleet in ("alike", "two speeds")
        )
        assert halved == pytest.approx(0.75 * alike)
        assert kind.live(10.0, 1, "alike").sessions[1].start_s == pytest.approx(3.0 / alike)
        assert kind.live(10.0, 1, "two speeds").sessions[1].start_s == pytest.approx(3.0 / halved)


def test_a_trace_is_a_workload_of_both_kinds_by_its_times_and_with_think_time(
    traced: list[Kind],
) -> None:
    """The caches of simulated engines have blocks of the trace's size."""
    for kind, sessions in zip(traced, (3, 2), strict=True):
        workload = kind.live(10.0, 1, ALIKE)
        assert (workload.requests, len(workload.sessions)) == (3, sessions)
        read = scenario_of(scenario(kind, "alike", 100, 5)).prompts
        assert read is not None
        assert read.think == (sessions == 2)


def test_penstock_runs_with_two_workers_and_with_objectives(tmp_path: Path) -> None:
    site = Site(tmp_path, 1, 2, [("127.0.0.1", 3)])
    found = {
        router.name: router.configuration(site)
        for router in routers("python", interpreted=True, speedup=1.0)
        if "marginal-cost" in router.name
    }
    plain, two, told = (json.loads(found[f"Penstock marginal-cost{v}"]) for v in VARIANTS)
    assert (plain["workers"], two["workers"], told["workers"]) == (1, 2, 1)
    policies = [each["pools"]["endpoints"]["policy"] for each in (plain, two, told)]
    assert policies[0] == policies[1] == {"name": "marginal-cost"}
    assert policies[2] == {
        "name": "marginal-cost",
        "ttft_objective_s": OBJECTIVES.ttft_s,
        "token_objective_s": OBJECTIVES.tpot_s,
    }


def test_the_quickest_router_comes_first() -> None:
    records = tables.live([row("a", 0.2, 0.9), row("b", 0.1, 0.5)])
    assert [(each["router"], each[tables.TTFT]) for each in records] == [("b", "100"), ("a", "200")]
    assert records[1]["hit rate"] == "0.900"


def test_several_seeds_are_a_mean_with_its_interval() -> None:
    """Student's t of two values is 12.7: their half-width 12.7 / 2 of their difference."""
    seeds = [msgspec.structs.replace(row("a", 0.1 * n), seed=n, failed=n) for n in (1, 2)]
    floors = [Floor("agents", "alike", n, 10, 0.05, 0.09) for n in (1, 2)]
    floor, several, one = tables.live([*seeds, row("b", 0.2)], floors)
    mean, spread = tables.TTFT, f"{tables.TTFT} ±"
    assert (floor["router"], floor[mean], floor[spread], floor["hit rate"]) == (NAME, "50", "0", "")
    assert (several["router"], several[mean], several[spread]) == ("a", "150", "635")
    assert (several["failed"], several["client late at p99 ms"]) == ("3", "10")  # all, the latest
    assert (one["router"], one[mean], one[spread]) == ("b", "200", "")
    assert list(floor) == list(several) == list(one)


def test_another_seed_is_another_measurement() -> None:
    kept = document.Kept()
    for seed in (1, 2, 1):
        document.keep(kept, msgspec.structs.replace(row("a", 0.1), seed=seed))
        document.keep_floor(kept, Floor("agents", "alike", seed, 10, 0.05, 0.09))
    assert [each.seed for each in kept.rows] == [1, 2]
    assert sorted(each.seed for each in kept.floors) == [1, 2]


def test_a_row_measured_again_takes_the_place_of_the_last() -> None:
    kept = document.Kept()
    for measured in (row("a", 0.2), row("b", 0.1), row("a", 0.3)):
        document.keep(kept, measured)
    assert [(each.router, each.ttft_mean_s) for each in kept.rows] == [("a", 0.3), ("b", 0.1)]


def test_a_router_that_ran_after_all_is_not_missing() -> None:
    kept = document.Kept(missing={"a": "no port", "b": "not installed"})
    document.keep(kept, row("a", 0.2))
    assert kept.missing == {"b": "not installed"}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The document, beside data files of its own."""
    monkeypatch.setattr(document, "FILE", tmp_path / "routing-quality.md")
    monkeypatch.setattr(data, "DIRECTORY", tmp_path / "data")
    return document.FILE


def test_runs_at_the_engines_own_speed_are_kept_apart(page: Path) -> None:
    kept = document.Kept()
    document.keep(kept, row("a", 0.2))
    document.keep(kept, msgspec.structs.replace(row("a", 0.1), speedup=1.0))
    assert [each.ttft_mean_s for each in kept.rows] == [0.2, 0.1]
    document.write(kept)
    assert [each[tables.TTFT] for each in data.read(document.LIVE)] == ["200"]


SIMULATED = {"workload": "agents", "engines": "alike", "policy": "ttft"}
BESIDE = {
    "workload": "agents",
    "engines": "alike",
    "metric": "TTFT mean",
    "best other": "ttft",
    "verdict": "worse",
    "difference": "0.100",
    "difference ±": "0.010",
}
SIMULATION = document.Kept(
    simulated={"agents, alike": [SIMULATED]}, standing={"agents, alike": [BESIDE]}, seeds=5
)


def test_a_simulation_alone_leaves_the_live_part_as_it_is(page: Path) -> None:
    kept = document.Kept()
    document.keep(kept, row("Penstock marginal-cost", 0.2))
    document.keep(kept, row("b", 0.1))
    document.write(kept)
    document.write(SIMULATION)
    assert "| agents | 200 ms, +100% (b) |" in page.read_text()
    assert "| agents | **worse**, +10.0% ± 1.0% (ttft) |" in page.read_text()
    assert len(data.read(document.LIVE)) == 2
    assert data.read(document.SIMULATED) == [SIMULATED]
    assert data.read(document.STANDING) == [BESIDE]


def test_a_table_measured_by_itself_comes_to_its_place_among_those_that_stand(page: Path) -> None:
    for fleet, seconds, mean_s in (
        ("two speeds", SECONDS, 0.2),
        ("alike", 540.0, 0.1),
        ("alike", SECONDS, 0.3),
        ("two speeds", SECONDS, 0.4),
    ):
        kept = document.Kept()
        one = msgspec.structs.replace(row("a", mean_s), fleet=fleet, seconds=seconds)
        document.keep(kept, one)
        document.write(kept)
    found = [
        (each["engines"], each["seconds"], each[tables.TTFT]) for each in data.read(document.LIVE)
    ]
    assert found == [("alike", "54", "300"), ("two speeds", "54", "400"), ("alike", "540", "100")]


def test_the_document_keeps_what_people_wrote(page: Path) -> None:
    page.write_text("# Title\n\nBy hand.\n")
    for _ in range(2):
        document.write(SIMULATION)
    text = page.read_text()
    assert text.startswith("# Title\n\nBy hand.\n")
    assert text.count("| agents | **worse**") == 1


def test_what_is_not_there_is_not_left_out_in_silence() -> None:
    assert named("", ["agents", "reasoning"]) == ["agents", "reasoning"]
    assert named("reasoning", ["agents", "reasoning"]) == ["reasoning"]
    with pytest.raises(click.BadParameter, match="no nonsense; there are agents, reasoning"):
        named("agents,nonsense", ["agents", "reasoning"])
