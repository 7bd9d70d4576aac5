"""What servers know of their load, and how policies come to hear of it."""

import pytest

from penstock.config.load.errors import ConfigError
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy import Policy
from penstock.core.request import Request
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.laws import Deterministic
from penstock.sim.kernel.reports import Poll, Scrape, WeightFeed
from penstock.sim.kernel.server import FifoServer, SharingServer
from penstock.sim.kernel.telemetry import Telemetry
from penstock.sim.outcome import run_once
from penstock.sim.scenario_file import scenario_of
from penstock.sim.world import build_world
from tests.unit.sim.worlds import SmallWorld


class Listener(Policy):
    """Picks the first endpoint, asks all of them, and keeps what it hears."""

    name = "listener"
    probes = True

    def __init__(self) -> None:
        self.heard: list[tuple[str, LoadReport]] = []
        self.endpoints: list[Endpoint] = []

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        return eligible[0] if eligible else None

    def probes_wanted(self, env: Env) -> list[Endpoint]:
        return self.endpoints

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        self.heard.append((endpoint.name, report))


def listening(clock: Clock, delay: float = 0.0) -> tuple[SmallWorld, Listener]:
    servers = [FifoServer("a", clock), FifoServer("b", clock)]
    for server in servers:
        server.telemetry = Telemetry()
    policy = Listener()
    world = SmallWorld(clock, list(servers), delay=Deterministic(delay) if delay else None)
    world.pool.policy = policy
    world.pool.refresh()
    return world, policy


def test_each_request_probes_whom_the_policy_asks_for() -> None:
    world, policy = listening(Clock())
    world.play([0.0, 1.0], [5.0, 5.0])
    told = [(name, report.at, report.in_flight) for name, report in policy.heard]
    # Probes go out with the request and are answered before it arrives.
    assert told == [("a", 0.0, 0.0), ("b", 0.0, 0.0), ("a", 1.0, 1.0), ("b", 1.0, 0.0)]


def test_probes_travel_both_ways_and_the_dead_do_not_answer() -> None:
    clock = Clock()
    world, policy = listening(clock, delay=0.25)
    world.servers[1].down = True
    world.play([0.0], [0.1])
    assert [(name, report.at) for name, report in policy.heard] == [("a", 0.25)]
    assert clock.now == pytest.approx(0.6)


def test_answers_bring_reports_where_that_is_wanted() -> None:
    world, policy = listening(Clock())
    policy.probes_wanted = lambda env: []  # type: ignore[method-assign]
    world.balancer.reports = True
    world.play([0.0, 0.0], [1.0, 1.0])
    assert [
        (name, report.at, report.in_flight, report.queued) for name, report in policy.heard
    ] == [
        ("a", 1.0, 1.0, 0.0),
        ("a", 2.0, 0.0, 0.0),
    ]


def test_scrapes_tell_every_policy_of_every_server() -> None:
    clock = Clock()
    world, policy = listening(clock)
    policy.probes_wanted = lambda env: []  # type: ignore[method-assign]
    clock.at(Scrape(clock, [world.balancer], 1.0), 1.0)
    world.play([0.0], [2.5])
    assert [(name, report.at) for name, report in policy.heard] == [
        ("a", 1.0),
        ("b", 1.0),
        ("a", 2.0),
        ("b", 2.0),
    ]


@pytest.mark.parametrize("own", [True, False])
def test_each_balancer_polls_what_servers_have_in_its_own_time(own: bool) -> None:
    clock = Clock()
    server = FifoServer("a", clock)
    worlds = [SmallWorld(clock, [server], counts_own=own) for _ in range(2)]
    for at, world in ((1.0, worlds[0]), (1.5, worlds[1])):
        world.pool.endpoints[0].in_flight = 1  # which is among those of the server
        clock.at(Poll(clock, world.balancer, 1.0), at)
    heard = []
    for until, present in ((0.9, 2), (1.2, 5), (1.7, 7), (2.2, 0)):
        clock.run(until)
        heard.append([world.pool.endpoints[0].load() for world in worlds])
        server.present = present
    assert heard == [[1, 1], [2, 1], [2, 5], [7, 5]]


def test_loads_are_polled_or_exchanged_not_both() -> None:
    with pytest.raises(ConfigError, match="not both"):
        scenario_of(
            {
                "arrivals": {"load": 0.5},
                "servers": [{"count": 2}],
                "reports": {"poll": "1s", "every": "1s"},
            }
        )


def test_telemetry_tells_rate_utilisation_and_service() -> None:
    telemetry = Telemetry()
    now = 0.0
    for _ in range(400):
        now += 0.05
        telemetry.on_end(0, 0.03, 0.02, now)
        telemetry.on_busy(0.4 * now, now)
    report = telemetry.report(3, 2, 1.0, now)
    assert report.rate == pytest.approx(20.0, rel=0.05)
    assert report.utilisation == pytest.approx(0.4, rel=0.05)
    assert report.service_s == pytest.approx(0.02)
    assert (report.in_flight, report.queued, report.at) == (3.0, 2.0, now)


def test_latency_is_that_of_requests_that_met_as_many() -> None:
    telemetry = Telemetry()
    assert telemetry.latency_s(0) == -1.0
    for latency in (1.0, 2.0, 9.0):
        telemetry.on_end(1, latency, 0.1, 1.0)
    telemetry.on_end(6, 30.0, 0.1, 1.0)
    assert telemetry.latency_s(1) == 2.0
    assert telemetry.latency_s(3) == 2.0  # nearer to 1 than to 6
    assert telemetry.latency_s(5) == 30.0
    assert telemetry.latency_s(100) == 30.0
    for latency in range(100):
        telemetry.on_end(1, float(latency), 0.1, 1.0)
    assert telemetry.latency_s(1) == 92.0  # of the last sixteen


def test_fed_weights_follow_what_servers_do_per_utilisation() -> None:
    clock = Clock()
    servers = [SharingServer("a", clock, slots=4), SharingServer("b", clock)]
    for server in servers:
        server.telemetry = Telemetry()
    world = SmallWorld(clock, list(servers))
    clock.at(WeightFeed(clock, [world.balancer], 1.0), 1.0)
    world.play([i * 0.1 for i in range(200)], [0.05] * 200)
    weights = [endpoint.weight for endpoint in world.pool.endpoints]
    assert weights[0] / weights[1] == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("answers", ["asked", "observed"])
def test_prequal_beats_a_random_split_over_unequal_servers(answers: str) -> None:
    scenario = scenario_of(
        {
            "arrivals": {"load": 0.7},
            "servers": [
                {"count": 30, "model": "sharing"},
                {"count": 30, "model": "sharing", "speed": 0.25},
            ],
            "service": {"mean": "100ms"},
            "network": {"request": "0.2ms", "response": "0.2ms"},
            "policies": [{"name": "prequal", "answers": answers}, "random"],
            "timeout": "5s",
            "run": {"customers": 6000},
        }
    )
    means = []
    for policy in scenario.policies:
        world = build_world(scenario, policy, 1)
        world.run()
        means.append(world.recorder.response_sum / world.recorder.count)
    assert means[0] < 0.75 * means[1]


SHARED_PROMPTS = {
    "arrivals": {"rate": 8.0},
    "servers": [{"model": "engine", "engine": {}, "count": 4}],
    "prompts": {
        "tenants": [
            {
                "name": "questions",
                "groups": 12,
                "system_tokens": 3000,
                "input": {"mean": 300},
                "output": {"mean": 40},
            }
        ]
    },
    "policies": ["marginal-cost"],
    "run": {"customers": 150, "replications": 1},
}


def found_in_caches(balancers: int, **reports: object) -> float:
    """The share of prompt tokens."""
    made = {**SHARED_PROMPTS, "balancers": balancers, "reports": {"scrape": "1s", **reports}}
    scenario = scenario_of(made)
    return run_once(scenario, scenario.policies[0], 0).metrics["hit rate"]


def test_balancers_that_tell_each_other_prefixes_find_what_one_finds() -> None:
    one = found_in_caches(1)
    alone = found_in_caches(4)
    shared = found_in_caches(4, every="5ms", delay="2ms", prefixes=True)
    assert alone < 0.95 * one
    assert shared > 0.95 * one


def test_prefixes_are_told_with_loads() -> None:
    with pytest.raises(ConfigError, match="`every`"):
        scenario_of({**SHARED_PROMPTS, "reports": {"prefixes": True}})
