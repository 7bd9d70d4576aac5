"""The simulated balancer is the real pool: picks, tickets, retries and views of load."""

import pytest

from penstock.core.health.health import DOWN
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.faults import Drain, Failure, Recovery, WeightChange
from penstock.sim.kernel.laws import Deterministic
from penstock.sim.kernel.reports import LoadExchange
from penstock.sim.kernel.server import FifoServer, Server
from tests.unit.sim.worlds import SmallWorld


def two_servers(clock: Clock) -> list[Server]:
    return [FifoServer("a", clock), FifoServer("b", clock)]


def test_the_policy_sees_the_load_of_tickets_that_are_open() -> None:
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock), policy="least-request")
    world.play([0.0, 1.0, 2.0, 2.5], [10.0, 10.0, 1.0, 1.0])
    assert world.balancer.picks == [0, 1, 0, 1]
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock), policy="least-request")
    world.play([0.0, 1.0, 2.5, 3.6], [10.0, 1.0, 1.0, 1.0])
    assert world.balancer.picks == [0, 1, 1, 1]


def test_network_delay_is_part_of_the_response_on_both_ways() -> None:
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock), delay=Deterministic(0.25))
    assert world.play([0.0], [1.0]) == [(1.5, "200")]
    ticket = world.jobs[0].ticket
    assert ticket is not None
    assert (ticket.opened_at, ticket.first_byte_at, ticket.settled_at) == (0.0, 1.5, 1.5)


@pytest.mark.parametrize("delay", [None, Deterministic(0.25)])
def test_a_client_that_gives_up_frees_the_server_at_once(delay: Deterministic | None) -> None:
    clock = Clock()
    server = FifoServer("a", clock)
    world = SmallWorld(clock, [server], timeout_s=2.0, delay=delay)
    ends = world.play([0.0, 0.5, 1.0], [9.0, 9.0, 0.1])
    assert [how for _, how in ends] == ["timeout", "timeout", "200"]
    assert ends[2][0] < 3.0
    assert world.recorder.timed_out == 2
    assert server.present == 0


def test_a_server_that_is_not_told_works_on_for_nobody() -> None:
    clock = Clock()
    server = FifoServer("a", clock)
    world = SmallWorld(clock, [server], timeout_s=2.0, cancels=False)
    assert world.play([0.0, 1.0], [3.0, 1.0]) == [(2.0, "timeout"), (3.0, "timeout")]
    assert world.recorder.count == 2


def test_an_answer_on_its_way_comes_too_late() -> None:
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock), timeout_s=1.4, delay=Deterministic(0.25))
    assert world.play([0.0], [1.0]) == [(1.4, "timeout")]


def test_a_failed_attempt_is_repeated_elsewhere() -> None:
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock), attempts=2)
    clock.at(Failure(0, [world.balancer], 100.0), 1.0)
    assert world.play([0.0, 2.0], [5.0, 1.0]) == [(6.0, "200"), (7.0, "200")]
    assert world.balancer.picks == [0, 1, 0, 1]


def test_failure_and_recovery_are_noticed_by_health_checks() -> None:
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock))
    clock.at(Failure(0, [world.balancer], 2.0), 1.0)
    clock.at(Recovery(0, [world.balancer], 1.0), 5.0)
    ends = world.play([0.0, 1.5, 1.7, 3.5, 3.6, 6.5, 6.6], [0.1] * 7)
    assert [how for _, how in ends].count("connect_failed") == 1
    assert world.balancer.picks is not None
    assert world.balancer.picks[:5] == [0, 1, 0, 1, 1]
    assert sorted(world.balancer.picks[5:]) == [0, 1]
    assert world.pool.endpoints[0].health != DOWN


def test_a_draining_endpoint_finishes_its_work_and_gets_no_more() -> None:
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock))
    clock.at(Drain(0, [world.balancer], True), 1.0)
    clock.at(Drain(0, [world.balancer], False), 3.0)
    ends = world.play([0.0, 2.0, 2.1, 4.0, 4.1], [2.5, 0.1, 0.1, 0.1, 0.1])
    assert [how for _, how in ends] == ["200"] * 5
    assert world.balancer.picks is not None
    assert world.balancer.picks[:3] == [0, 1, 1]
    assert sorted(world.balancer.picks[3:]) == [0, 1]


def test_a_changed_weight_is_followed() -> None:
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock))
    clock.at(WeightChange(0, [world.balancer], 3.0), 0.0)
    world.play([1.0 + i for i in range(8)], [0.1] * 8)
    assert world.balancer.picks is not None
    assert world.balancer.picks.count(0) == 6


def test_with_no_endpoint_left_requests_are_refused() -> None:
    clock = Clock()
    world = SmallWorld(clock, [FifoServer("a", clock)])
    clock.at(Drain(0, [world.balancer], True), 0.0)
    assert world.play([1.0], [1.0]) == [(1.0, "503")]
    assert world.recorder.refused == 1


def test_a_balancer_learns_of_others_only_by_reports() -> None:
    clock = Clock()
    servers = two_servers(clock)
    mine = SmallWorld(clock, servers, policy="least-request")
    other = SmallWorld(clock, servers, policy="least-request")
    other.pool.endpoints[0].in_flight = 3
    other.pool.endpoints[0].tokens.pending_prefill = 500
    other.pool.endpoints[0].tokens.decoding = 2
    clock.at(LoadExchange(clock, [mine.balancer, other.balancer], 1.0, 0.5), 1.0)
    loads: list[int] = []
    for until in (1.2, 1.6):
        clock.run(until)
        loads.append(mine.pool.endpoints[0].load())
    assert loads == [0, 3]
    assert mine.pool.endpoints[0].tokens_elsewhere.pending_prefill == 500
    assert mine.pool.endpoints[0].tokens_elsewhere.decoding == 2
    other.pool.endpoints[0].in_flight = 0
    clock.run(2.6)
    assert mine.pool.endpoints[0].load() == 0


def test_on_a_bulletin_board_ones_own_requests_are_not_seen() -> None:
    clock = Clock()
    world = SmallWorld(clock, two_servers(clock), policy="least-request", counts_own=False)
    clock.at(LoadExchange(clock, [world.balancer], 2.0, 0.0), 2.0)
    world.play([0.0, 1.0, 1.5, 2.5, 2.6], [9.0, 9.0, 9.0, 1.0, 1.0])
    # Nothing seems loaded before the report, so turns are taken; after it b holds fewer.
    assert world.balancer.picks == [0, 1, 0, 1, 1]
