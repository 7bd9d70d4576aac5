"""A recorded run of the data plane, played again in the simulator."""

from random import Random

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.health.health import UP
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.sim.kernel.arrivals import Recorded
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.faults import Drain, HealthNotice, WeightChange
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Deterministic
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.server import FifoServer, Server
from penstock.sim.kernel.source import OpenSource, Workload
from tests.harness.recording import Arrival, Record, State


class RecordedWorkload(Workload):
    """Each request hashes by what it was hashed by, and is served as long as it was served."""

    def __init__(self, arrivals: list[Arrival]) -> None:
        super().__init__(Deterministic(1.0), Random(0))
        self._arrivals = arrivals

    def next_job(self, number: int, now: float) -> Job:
        arrival = self._arrivals[number]
        return Job(number, Request(key_hash=arrival.key_hash), arrival.service_s, now)


def simulated_picks(
    record: Record, policy: str, settings: dict[str, object], seed: int
) -> list[str]:
    """Whom the policy picks in the simulator, given the record's arrivals, services and changes."""
    clock = Clock()
    start = record.changes[0][1]
    # Servers take as many at once as come: how long each takes is known.
    servers: list[Server] = [
        FifoServer(state.name, clock, slots=len(record.arrivals)) for state in start
    ]
    pool = Pool("main", create(policy, settings))
    pool.replace_endpoints([_endpoint(state) for state in start])
    recorder = Recorder()
    balancer = SimulatedBalancer("b", clock, pool, Env(Random(seed)), servers, recorder)
    picks: list[int] = []
    balancer.picks = picks
    source = OpenSource(
        clock,
        Recorded([arrival.at_s for arrival in record.arrivals]),
        RecordedWorkload(record.arrivals),
        [balancer],
        recorder,
        Random(0),
        customers=len(record.arrivals),
        warm_up=0.0,
    )
    before = start
    for at_s, states in record.changes[1:]:
        _schedule(clock, balancer, at_s, before, states)
        before = states
    source.begin()
    clock.run()
    return [servers[order].name for order in picks]


def _endpoint(state: State) -> Endpoint:
    endpoint = Endpoint(state.name, pool="main", weight=state.weight)
    endpoint.health = state.health
    endpoint.draining = state.draining
    return endpoint


def _schedule(
    clock: Clock, balancer: SimulatedBalancer, at_s: float, before: list[State], after: list[State]
) -> None:
    for order, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.weight != new.weight:
            clock.at(WeightChange(order, [balancer], new.weight), at_s)
        if old.draining != new.draining:
            clock.at(Drain(order, [balancer], new.draining), at_s)
        if old.health != new.health:
            clock.at(HealthNotice(order, [balancer], new.health == UP), at_s)
