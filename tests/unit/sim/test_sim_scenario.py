"""Scenarios say what they mean, and what is wrong with them; worlds follow them."""

from pathlib import Path
from typing import Any

import pytest

from penstock.config.load.errors import ConfigError
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import load_scenario, scenario_of
from penstock.sim.world import World, build_world


def scenario(**values: Any) -> Scenario:
    return scenario_of(
        {"arrivals": {"load": 0.7}, "servers": [{"count": 2}], "run": {"customers": 2000}} | values
    )


def world_of(scenario: Scenario, seed: int = 1) -> World:
    world = build_world(scenario, scenario.policies[0], seed)
    world.run()
    return world


def played(**values: Any) -> Recorder:
    return world_of(scenario(**values)).recorder


def test_the_least_scenario_has_sane_defaults() -> None:
    least = scenario_of({"arrivals": {"rate": 1}, "servers": [{}]})
    assert least.server_count == 1
    assert least.policies[0].name == "least-request"
    assert least.customers == 100_000
    assert least.service.build().mean == 1.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"servers": []}, "at least one group"),
        ({"servers": [{"cuont": 2}]}, "did you mean 'count'"),
        ({"arrivals": {}}, "need a rate or a load"),
        ({"arrivals": {"load": 0.5, "rate": 2}}, "one of them"),
        ({"arrivals": {"kind": "gamma", "rate": 2}}, "need the cv2"),
        ({"arrivals": {"kind": "closed", "load": 2}}, "no rate and no load"),
        ({"arrivals": {"kind": "bursts", "rates": [1], "stays": ["1s"]}}, "at least two states"),
        ({"service": {"law": "pareto"}}, "pareto needs alpha"),
        ({"service": {"law": "exponential", "cv2": 3}}, "exponential takes no cv2"),
        ({"service": {"law": "expnential"}}, "did you mean 'exponential'"),
        ({"policies": ["least-requests"]}, "here it is called 'least-request'"),
        ({"policies": []}, "at least one policy"),
        ({"incidents": [{"at": "1s", "servers": [9], "pause": "1s"}]}, "they are 0..1"),
        ({"incidents": [{"at": "1s", "servers": [0]}]}, "says one of"),
        ({"run": {"customers": 5, "duration": "1s"}}, "not both"),
        ({"servers": [{"antagonist": {"factors": [], "stay": "1s"}}]}, "needs values"),
    ],
)
def test_what_is_wrong_is_said(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        scenario(**wrong)


def test_a_file_is_read_with_changes_and_wrong_lines_are_named(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("arrivals: {load: 0.5}\nservers:\n  - count: 3\nrun: {seed: 4}\n")
    changed = load_scenario(file, {"run": {"customers": 10}, "policies": ["random"]})
    assert (changed.run.seed, changed.customers) == (4, 10)
    assert changed.policies[0].name == "random"
    file.write_text("arrivals: {load: 0.5}\nservers:\n  - speed: 0\n")
    with pytest.raises(ConfigError, match=r"s\.yaml:3:5: servers\[0\]\.speed"):
        load_scenario(file)


def test_load_is_offered_as_a_share_of_all_capacity() -> None:
    mixed = scenario(
        arrivals={"load": 0.5, "kind": "deterministic"},
        servers=[{"count": 2, "speed": 3}, {"count": 1, "slots": 4}],
        service={"mean": "100ms"},
    )
    assert mixed.capacity == pytest.approx(100.0)
    assert mixed.arrivals.build(mixed.capacity).rate == pytest.approx(50.0)


@pytest.mark.parametrize(
    "arrivals",
    [
        {"kind": "poisson", "load": 0.5},
        {"kind": "deterministic", "rate": 1.0},
        {"kind": "gamma", "load": 0.5, "cv2": 4},
        {"kind": "weibull", "load": 0.5, "cv2": 0.5},
        {"kind": "hyper-exponential", "load": 0.5, "cv2": 4},
        {"kind": "bursts", "rates": [0.2, 3], "stays": ["10s", "2s"]},
        {"kind": "diurnal", "load": 0.5, "period": "100s", "swing": 0.9},
        {"kind": "profile", "points": [["0s", 1], ["1000s", 0.5]]},
        {"kind": "recorded", "times": [0.1 * i for i in range(2000)]},
        {"kind": "closed", "clients": 3, "think": "500ms"},
    ],
    ids=lambda a: str(a["kind"]),
)
def test_every_kind_of_arrivals_runs_to_its_end(arrivals: dict[str, Any]) -> None:
    recorder = played(arrivals=arrivals)
    assert recorder.arrived == 1800  # the first tenth is warm-up
    assert recorder.count == 1800
    assert recorder.window_s() > 0


def test_a_closed_loop_never_has_more_requests_than_clients() -> None:
    recorder = played(
        arrivals={"kind": "closed", "clients": 2, "think": "1s"}, servers=[{"room": 2}]
    )
    assert recorder.refused == 0
    # Each of two clients thinks 1 s and is served for about 1 s, at times behind the other.
    assert 0.6 < recorder.answered_in_window / recorder.window_s() < 1.0


def test_time_may_end_a_run_instead_of_a_count() -> None:
    world = world_of(scenario(run={"duration": "1000s"}, arrivals={"rate": 1.0}))
    assert world.recorder.window_s() == pytest.approx(900.0, abs=20)
    assert world.source.sent == pytest.approx(1000, abs=5 * 1000**0.5)


def test_what_runs_at_the_end_need_not_be_waited_for() -> None:
    long = {"servers": [{"slots": 100}], "service": {"mean": "50s"}, "arrivals": {"rate": 1.0}}
    ends = {
        drain: world_of(scenario(**long, run={"duration": "200s"} | given)).clock.now
        for drain, given in (("none", {}), ("10s", {"drain": "10s"}), ("off", {"drain": "off"}))
    }
    assert ends["off"] < 200.5 < ends["10s"] < 211.0 < ends["none"]


def test_the_same_seed_gives_the_same_run_and_another_another() -> None:
    sums = [
        world_of(scenario(policies=["random"]), seed).recorder.response_sum for seed in (1, 1, 2)
    ]
    assert sums[0] == sums[1] != sums[2]


def test_all_policies_meet_the_same_requests() -> None:
    works = {
        played(policies=[name]).work_sum for name in ("random", "round-robin", "least-request")
    }
    assert len({round(work, 6) for work in works}) == 1


def test_capacity_weights_give_each_server_its_share() -> None:
    world = world_of(
        scenario(
            servers=[{"speed": 3, "weight": "capacity"}, {"count": 1, "weight": "capacity"}],
            policies=["round-robin"],
        )
    )
    assert world.servers[0].served == pytest.approx(3 * world.servers[1].served, rel=0.01)


def test_neighbours_change_the_speed_and_the_run_still_ends() -> None:
    antagonist = {"factors": [0.5, 2.0], "stay": {"mean": "20s"}}
    recorder = played(servers=[{"count": 2, "antagonist": antagonist}])
    assert recorder.count == 1800


def test_several_balancers_share_the_servers_and_report_their_load() -> None:
    alone = played(balancers=8, servers=[{"count": 8}], policies=["least-request"])
    told = played(
        balancers=8,
        servers=[{"count": 8}],
        policies=["least-request"],
        reports={"every": "100ms"},
    )
    assert told.response_sum < alone.response_sum


def test_keys_go_where_they_hash() -> None:
    world = world_of(
        scenario(keys={"count": 1, "skew": 0}, policies=["source-hash"], arrivals={"rate": 0.5})
    )
    assert sorted(server.served for server in world.servers) == [0, 2000]


def test_popular_keys_make_a_hot_server() -> None:
    served = []
    for skew in (0.0, 1.5):
        world = world_of(scenario(keys={"count": 500, "skew": skew}, policies=["source-hash"]))
        served.append(max(server.served for server in world.servers))
    assert served[1] > served[0]
