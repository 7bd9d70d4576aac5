"""The simulator and a running balancer come to the same verdicts, by the same objects."""

from random import Random

import pytest

from penstock.control.events import Events
from penstock.core.attempt_counts import AttemptCounts
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.health.breaker import Breaker
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.core.snapshot import Breaker as BreakerSettings
from penstock.core.snapshot import Outlier
from penstock.core.ticket import (
    ABANDONED,
    CLIENT_GONE,
    CONNECT_FAILED,
    DONE,
    GARBAGE,
    RESET,
    TIMEOUT,
    Ticket,
)
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.board.memory import Board
from penstock.sim.kernel.events import Clock as SimulatedClock
from penstock.sim.kernel.protection import GuardedEndpoint, Protection
from penstock.sim.kernel.server import FifoServer, Server
from tests.unit.control.conftest import Clock
from tests.unit.control.test_outliers import Site

_BREAKER = BreakerSettings(failures=4, open_s=2.0, max_open_s=8.0)
_ENDS = [
    (DONE, 200),
    (DONE, 404),
    (DONE, 500),
    (DONE, 503),
    (CLIENT_GONE, 0),
    (CONNECT_FAILED, 0),
    (RESET, 200),
    (GARBAGE, 0),
    (TIMEOUT, 0),
]


class Simulated:
    """Three endpoints of a simulated balancer whose servers stay down, so that none reconnects."""

    def __init__(self, now: float, outlier: Outlier) -> None:
        self.clock = SimulatedClock()
        self.clock.now = now
        self.env = Env(Random(1))
        pool = Pool("a", create("random"))
        servers: list[Server] = [FifoServer(f"e{n}", self.clock) for n in range(3)]
        for server in servers:
            server.down = True
        self.endpoints = [GuardedEndpoint(server.name, pool, self.env) for server in servers]
        pool.replace_endpoints(list(self.endpoints))
        self.protection = Protection(self.clock, pool, self.endpoints, servers)
        self.protection.break_circuits(_BREAKER)
        self.protection.detect_outliers(outlier)


def attempt(endpoint: Endpoint, outcome: int, status: int, now: float) -> bool:
    ticket = Ticket(endpoint, create("random"), Request(), now)
    entered = ticket.enters(now)
    ticket.status = status if entered else 0
    ticket.settle(outcome if entered else ABANDONED, now)
    return entered


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_same_attempts_open_the_same_circuits_and_eject_the_same_endpoints(
    board: Board, events: Events, clock: Clock, seed: int, split: bool
) -> None:
    outlier = Outlier(
        split_local_failures=split,
        consecutive_failures=3,
        consecutive_local_failures=3,
        failure_share_min_requests=20,
        base_ejection_s=3.0,
    )
    site = Site(board, events, clock)
    site.run(outlier)
    running = [CountedEndpoint(e, "a", board, 0) for e in site.snapshot.pools[0].endpoints]
    for endpoint in running:
        endpoint.protect(_BREAKER)
    simulated = Simulated(clock.now, outlier)
    site.detection.refresh()
    simulated.protection.look()
    dice = Random(seed)
    bad = 0
    cut_out = ejected = 0
    for step in range(600):
        if step % 100 == 0:
            bad = dice.randrange(3)
        clock.now += 0.1
        simulated.clock.now = simulated.env.now = clock.now
        for number in range(3):
            ends = _ENDS if number == bad else _ENDS[:2] * 4 + _ENDS
            outcome, status = dice.choice(ends)
            entered = attempt(running[number], outcome, status, clock.now)
            assert entered == attempt(simulated.endpoints[number], outcome, status, clock.now)
            running[number].try_again(clock.now)
            running[number].publish()
        simulated.protection.try_circuits()
        site.detection.refresh()
        simulated.protection.look()
        out = [number for number, each in enumerate(simulated.endpoints) if each.ejected]
        assert out == site.ejected()
        cut = [each.cut_out for each in simulated.endpoints]
        assert cut == [each.cut_out for each in running]
        cut_out += any(cut)
        ejected += len(out) > 0
    assert cut_out > 0
    assert ejected > 0


def test_what_they_judge_by_is_one_class_each() -> None:
    pool = Pool("a", create("random"))
    endpoint = GuardedEndpoint("e", pool, Env(Random(1)))
    endpoint.protect(_BREAKER)
    assert type(endpoint.counts) is AttemptCounts
    assert type(endpoint.breaker) is Breaker
