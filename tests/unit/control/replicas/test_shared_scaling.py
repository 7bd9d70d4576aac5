"""Of several balancers one scales a pool, by what all of them are asked; the others follow it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from penstock.control.background import BackgroundTasks
from penstock.control.discovery.membership import Membership
from penstock.control.elsewhere import DemandElsewhere, Elsewhere
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.replicas.leadership import LEASE_S, Leadership
from penstock.control.replicas.shared_scaling import SharedScaling
from penstock.control.scale.sampling import Sampler
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.store.store import StoreError
from penstock.core.snapshot import Endpoint, Pool, Scale, Snapshot
from penstock.dataplane.board.layout import P_REQUESTS, P_WAITING
from penstock.dataplane.board.memory import create_board
from tests.unit.control.conftest import Clock
from tests.unit.control.replicas.balancers import Balancer as Sharing
from tests.unit.control.replicas.balancers import Bus
from tests.unit.control.waiting import until

A, B = 9001, 9002


class Outages(EmbeddedStore):
    gone = False

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        if self.gone:
            raise StoreError("it is gone")
        return await super().lease(name, holder, seconds)


@pytest.fixture
def store(clock: Clock) -> Outages:
    return Outages(StateFiles(None, Events()), clock)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.control.replicas.leadership._RENEW_S", 0.002)


def scaled(*ports: int) -> Snapshot:
    endpoints = tuple(
        Endpoint(f"127.0.0.1:{port}", "127.0.0.1", port, row=row) for row, port in enumerate(ports)
    )
    return Snapshot(0, (), (), (Pool("main", endpoints=endpoints, scale=Scale(max=3), row=0),))


async def test_one_leads_and_another_once_it_is_gone(store: Outages, clock: Clock) -> None:
    async with AsyncExitStack() as stack:
        tasks = BackgroundTasks(Events())
        stack.push_async_callback(tasks.stop)
        one = Leadership(store, "one", Events(), clock)
        two = Leadership(store, "two", Events(), clock)
        assert not one.leads("a"), "nothing is known yet"
        first = tasks.begin("one", one.run())
        await until(lambda: one.leads("a"), "it leads")
        two.leads("a")
        tasks.begin("two", two.run())
        await asyncio.sleep(0.02)
        assert (one.leads("a"), two.leads("a")) == (True, False)
        first.cancel()
        await until(lambda: two.leads("a"), "it leads as soon as the other ended in order")
        assert not one.leads("a")


async def test_who_cannot_renew_stops_before_another_begins(store: Outages, clock: Clock) -> None:
    tasks = BackgroundTasks(Events())
    one = Leadership(store, "one", Events(), clock)
    one.leads("a")
    tasks.begin("one", one.run())
    await until(lambda: one.leads("a"), "it leads")
    store.gone = True
    await asyncio.sleep(0.01)
    clock.now += LEASE_S - 0.6
    assert one.leads("a")
    clock.now += 0.2
    assert not one.leads("a")
    store.gone = False
    assert not await store.lease("leader/a", "two", 1.0)
    clock.now += 0.5
    await tasks.stop()


class Lead:
    def __init__(self, leads: bool) -> None:
        self.now = leads

    def leads(self, what: str) -> bool:
        return self.now


class Balancer:
    def __init__(self, store: EmbeddedStore, clock: Clock, leads: bool) -> None:
        self.states = EndpointStates(create_board(1, endpoint_rows=4, pool_rows=1), Events())
        self.membership = Membership(clock)
        self.scaling = SharedScaling(
            store,
            Lead(leads),  # type: ignore[arg-type]
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
    store: Outages, clock: Clock
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
