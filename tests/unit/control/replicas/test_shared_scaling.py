"""Of several balancers one scales a pool, by what all of them are asked; the others follow it."""

import pytest

from penstock.control.background import BackgroundTasks
from penstock.control.discovery.membership import Membership
from penstock.control.elsewhere import DemandElsewhere, Elsewhere
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.replicas.shared_scaling import SharedScaling
from penstock.control.scale.sampling import Sampler
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Endpoint, Pool, Scale, Snapshot
from penstock.dataplane.board.layout import P_REQUESTS, P_WAITING
from penstock.dataplane.board.memory import create_board
from tests.unit.control.conftest import Clock
from tests.unit.control.replicas.balancers import Balancer as Sharing
from tests.unit.control.replicas.balancers import Bus
from tests.unit.control.waiting import until

A, B = 9001, 9002


@pytest.fixture
def store(clock: Clock) -> EmbeddedStore:
    return EmbeddedStore(StateFiles(None, Events()), clock)


def scaled(*ports: int) -> Snapshot:
    endpoints = tuple(
        Endpoint(f"127.0.0.1:{port}", "127.0.0.1", port, row=row) for row, port in enumerate(ports)
    )
    return Snapshot(0, (), (), (Pool("main", endpoints=endpoints, scale=Scale(max=3), row=0),))


class Balancer:
    def __init__(self, store: EmbeddedStore, clock: Clock, leads: bool) -> None:
        self.states = EndpointStates(create_board(1, endpoint_rows=4, pool_rows=1), Events())
        self.membership = Membership(clock)
        self.scaling = SharedScaling(
            store,
            lambda pool: leads,
            lambda pool: DemandElsewhere(),
            self.states,
            self.membership,
            Events(),
        )
        spec = scaled(A, B)
        self.membership.configure({}, {"main": ()})
        self.states.add_new(spec.pools)
        self.states.configure(spec.pools)
        self.scaling.configure(spec)

    def shown(self, port: int) -> str:
        return self.states.of("main", f"127.0.0.1:{port}").shown

    def members(self) -> list[str]:
        return sorted(each.name for each in self.membership.members("main", ()))


async def test_the_others_serve_what_the_leader_started_and_drain_whom_it_drains(
    store: EmbeddedStore, clock: Clock
) -> None:
    leader, other = Balancer(store, clock, True), Balancer(store, clock, False)
    tasks = BackgroundTasks(Events())
    try:
        for each in (leader, other):
            tasks.begin("words", each.scaling.words.run())
        endpoints = scaled(A, B).pools[0].endpoints
        leader.scaling.tell("main", endpoints, [("127.0.0.1", A)])
        await until(lambda: other.shown(A) == "draining", "it drains it")
        assert other.shown(B) == "up"
        assert other.members() == ["127.0.0.1:9001", "127.0.0.1:9002"]
        leader.scaling.tell("main", endpoints[1:], [])
        await until(lambda: other.shown(A) == "up", "it is needed after all")
        assert other.members() == ["127.0.0.1:9002"]
        later = Balancer(store, clock, False)
        tasks.begin("words", later.scaling.words.run())
        await until(lambda: later.members() == ["127.0.0.1:9002"], "a newcomer has it too")
    finally:
        await tasks.stop()


def test_what_all_are_asked_is_counted_and_never_goes_down() -> None:
    bus = Bus()
    one, two = Sharing(bus, "one", [A]), Sharing(bus, "two", [A])
    for each in (one, two):
        each.sharing.configure(scaled(A))
    bus.run(1.5)
    one.board.cells[one.board.pool(0, 1) + P_REQUESTS] = 700
    one.board.cells[one.board.pool(0, 1) + P_WAITING] = 3
    bus.run(1.5)
    assert two.sharing.others.demand("main") == (700, 0, 0, 3)
    assert two.sharing.others.demand("another") == (0, 0, 0, 0)
    one.die()
    bus.run(1.0)
    assert two.sharing.others.demand("main") == (700, 0, 0, 0)


class Others(Elsewhere):
    requests = 0

    def demand(self, pool: str) -> DemandElsewhere:
        return DemandElsewhere(self.requests, waiting=4)


def test_a_leader_scales_by_what_all_are_asked() -> None:
    board = create_board(1, endpoint_rows=2, pool_rows=1)
    others = Others()
    sampler = Sampler(board, others)
    pool = Pool("main", endpoints=(), row=0)
    sampler.look(pool, 0.0, 0.0)
    board.cells[board.pool(0, 0) + P_REQUESTS] = 10
    others.requests = 50
    sight = sampler.look(pool, 10.0, 0.0).sight
    assert sight.demand.rate == 6.0
    assert sight.queued == 4.0
