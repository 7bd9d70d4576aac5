"""Sessions stay where they are for as long as they last, and outlive their servers or break."""

import pytest

from penstock.config.load.errors import ConfigError
from penstock.core.request import Request
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.faults import Failure, SpeedChange
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Deterministic
from penstock.sim.kernel.session_server import SessionJob, SessionRules, SessionServer
from penstock.sim.outcome import run_once
from penstock.sim.scenario_file import scenario_of
from tests.unit.sim.worlds import GivenWork, SmallWorld

MOVES = SessionRules(True, None)
BREAKS = SessionRules(False, None)
REJOINS_AFTER_2_S = SessionRules(False, Deterministic(2.0))


class GivenSessions(GivenWork):
    """Sessions of these lengths."""

    def next_job(self, number: int, now: float) -> Job:
        job = SessionJob(number, Request(), self.given[number], now)
        self.jobs.append(job)
        return job


def play(
    servers: list[SessionServer],
    arrivals_s: list[float],
    lengths_s: list[float],
    rules: SessionRules = BREAKS,
    *,
    fails_at: float = -1.0,
    attempts: int = 1,
) -> list[tuple[float, str]]:
    """When each session ended, and how; the first server dies at ``fails_at``."""
    clock = servers[0].clock
    world = SmallWorld(clock, list(servers), attempts=attempts)
    world.balancer.sessions = rules
    if fails_at >= 0.0:
        clock.at(Failure(0, [world.balancer], 0.0), fails_at)
    return world.play(arrivals_s, [], GivenSessions(lengths_s))


def two() -> list[SessionServer]:
    clock = Clock()
    return [SessionServer("a", clock), SessionServer("b", clock)]


def test_sessions_take_nothing_from_each_other_however_slow_the_server() -> None:
    server = SessionServer("a", Clock(), slots=2)
    server.clock.at(SpeedChange(server, 0.1), 0.5)
    assert play([server], [0.0, 1.0, 1.0], [5.0, 5.0, 1.0]) == [
        (5.0, "200"),
        (6.0, "200"),
        (2.0, "200"),
    ]
    assert (server.most_present, server.busy_s()) == (3, 11.0)


def test_full_server_refuses_and_another_takes_the_session() -> None:
    clock = Clock()
    full, free = SessionServer("a", clock, room=1), SessionServer("b", clock)
    # In turn: the third is the first server's again.
    ends = play([full, free], [0.0, 0.0, 0.0], [9.0, 9.0, 9.0], attempts=2)
    assert [how for _, how in ends] == ["200"] * 3
    assert (full.most_present, free.most_present) == (1, 2)


def test_udp_session_goes_on_for_its_rest_at_another_server() -> None:
    servers = two()
    assert play(servers, [0.0], [5.0], MOVES, fails_at=2.0) == [(5.0, "200")]
    assert [server.work_done_s for server in servers] == [2.0, 3.0]


def test_connection_breaks_with_its_server() -> None:
    assert play(two(), [0.0], [5.0], BREAKS, fails_at=2.0) == [(2.0, "reset")]


def test_client_whose_connection_broke_comes_back_for_the_rest() -> None:
    servers = two()
    assert play(servers, [0.0], [5.0], REJOINS_AFTER_2_S, fails_at=2.0) == [(7.0, "200")]
    assert [server.work_done_s for server in servers] == [2.0, 3.0]


def test_session_without_another_server_ends() -> None:
    alone = SessionServer("a", Clock())
    assert play([alone], [0.0], [5.0], MOVES, fails_at=2.0) == [(2.0, "connect_failed")]


SCENARIO = {
    "arrivals": {"rate": 2},
    "service": {"law": "deterministic", "mean": "30s"},
    "sessions": {"protocol": "udp"},
    "servers": [{"count": 3, "model": "sessions", "slots": 40}],
    "policies": ["least-request"],
    "incidents": [{"at": "60s", "servers": [0], "fail": True}],
    "run": {"duration": "100s", "warm_up": 0, "replications": 1},
}


def test_scenario_tells_how_full_servers_were_and_who_moved() -> None:
    scenario = scenario_of(SCENARIO)
    outcome = run_once(scenario, scenario.policies[0], 0)
    metrics = outcome.metrics
    assert "p99" not in metrics
    # 60 sessions are on at a time: 20 at each of three, 30 at each of two.
    assert 0.6 < metrics["fullest"] < 1.0
    assert metrics["moved"] == pytest.approx(20 / 200, rel=0.5)
    assert metrics["errors"] == 0.0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"servers": [{"model": "fifo"}]}, "`sessions` go to servers of `model: sessions`"),
        ({"sessions": {"protocol": "udp", "rejoin": "1s"}}, "`rejoin` is of connections"),
        ({"network": {"response": "1ms"}}, "sessions have no answer"),
    ],
)
def test_what_makes_no_sense_of_sessions_is_refused(changes: dict[str, object], error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        scenario_of({**SCENARIO, "incidents": [], **changes})
