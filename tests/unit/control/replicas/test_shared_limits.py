"""Limits over several balancers: on a real store, no more is given out than there is."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Literal

import pytest

from penstock.config.compile.store import parse_url
from penstock.control.events import Events
from penstock.control.replicas.shared_limits import LEASE_S, SharedLimits
from penstock.control.store.files import StateFiles
from penstock.control.store.shared import SharedStore
from penstock.control.store.store import StoreError
from penstock.control.tenants.limits import WorkerLimits
from penstock.core.limits.owner import Lent
from penstock.core.limits.rules import Rule
from penstock.core.limits.slices import LACKS, TAKEN, Charge, Slices
from penstock.core.snapshot import Limit, Pool, Snapshot
from tests.harness.store_server import StoreServer

DAY_S = 86400.0
ENOUGH_S = 5.0  # what balancers wait for the store, so that no verdict depends on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    with StoreServer(tmp_path_factory.mktemp("store")) as started:
        yield started


@pytest.fixture(autouse=True)
def _empty(server: StoreServer) -> None:
    server.client.flushall()


def budget(amount: float = 1000.0, counts: Any = "tokens", per: Any = "day") -> Limit:
    return Limit("it", counts, amount, per, budget=True)


class Clock:
    def __init__(self) -> None:
        self.now = 10.5 * DAY_S

    def __call__(self) -> float:
        return self.now


class Path:
    """To the store, which may be cut, or so slow that nothing comes of it."""

    def __init__(self, store: SharedStore) -> None:
        self._store = store
        self.cut = False
        self.slow = False
        self.said: list[tuple[str, str, tuple[object, ...]]] = []

    def is_connected(self) -> bool:
        return not self.cut

    async def told_before(self, at: int) -> None:
        """Say again what was said then: it lay in a connection that was given up."""
        script, name, arguments = self.said[at]
        await self._store.of_limit(script, name, *arguments)

    async def of_limit(self, script: str, name: str, *arguments: object) -> list[str]:
        if self.cut:
            raise StoreError("it is gone")
        if self.slow:
            await asyncio.sleep(3600.0)
        self.said.append((script, name, arguments))
        return await self._store.of_limit(script, name, *arguments)


class Balancer:
    """One worker, its supervisor, and the store."""

    def __init__(
        self,
        name: str,
        store: SharedStore,
        clock: Clock,
        spec: Limit,
        when_gone: Literal["share", "refuse"] = "share",
        count: int = 4,
    ) -> None:
        self.path = Path(store)
        self.clock = clock
        self.spec = spec
        self.others = count - 1
        self.lending = WorkerLimits(
            StateFiles(None, Events()), Events(), lambda: 1, clock, clock, leased=True
        )
        self.lending.configure(Snapshot(1, (), (), (Pool("main", (), limits=(spec,)),)))
        self.shared = SharedLimits(
            self.path,
            name,
            self.lending.owner,
            lambda: self.others,
            when_gone,
            clock,
            clock,
            ENOUGH_S,
        )
        self.rule = Rule(spec)
        self.slices = Slices()
        self._mailbox = asyncio.Lock()

    async def exchange(self) -> None:
        """What the worker asks for is answered."""
        async with self._mailbox:
            await self._exchange()

    async def _exchange(self) -> None:
        asked = [
            [a.limit, a.subject, a.need, a.least, a.back, a.owed, a.ahead]
            for a in self.slices.asks(self.clock())
        ]
        waiting = self.shared.before_lend(asked)
        if waiting is not None:
            await waiting
        for told in self.lending.lend(0, asked):
            limit, subject, amount, keeps_s, wait_s, left, whole_s = told
            lent = Lent(_number(amount), _number(keeps_s), _number(wait_s))
            lent.left, lent.whole_s = _number(left), _number(whole_s)
            self.slices.lent(str(limit), str(subject), lent, self.clock())

    async def take(self, amount: float = 1.0, subject: str = "a") -> Charge | None:
        """As a request does: once more after the owner answered."""
        charge = Charge(self.slices.holding(self.rule, subject), amount)
        verdict = LACKS
        for _ in range(8):
            verdict = self.slices.take([charge], self.clock())
            if verdict != LACKS:
                break
            await self.exchange()
        return charge if verdict == TAKEN else None

    async def take_all(self, amount: float, most: int = 1000) -> int:
        """How many there are."""
        for count in range(most):
            if await self.take(amount) is None:
                return count
        return most

    async def settled(self) -> None:
        """What the worker does not use goes back, and the store is told."""
        self.slices.all_back()
        await self.exchange()
        self.clock.now += 2.0
        self.shared.sweep()
        await self.quiet()

    async def quiet(self) -> None:
        while self.shared._asking:
            await asyncio.gather(*self.shared._asking.values())


def _number(told: object) -> float:
    return float("inf") if told is None else float(str(told))


@asynccontextmanager
async def balancers(
    server: StoreServer, spec: Limit, count: int = 4, names: str = "b", **more: Any
) -> AsyncIterator[list[Balancer]]:
    stores = [SharedStore(parse_url(server.url), Events()) for _ in range(count)]
    tasks = [asyncio.create_task(store.run()) for store in stores]
    for store in stores:
        await store.keys("")  # waits until it is connected
    clock = Clock()
    made = [
        Balancer(f"{names}{number}", store, clock, spec, count=count, **more)
        for number, store in enumerate(stores)
    ]
    try:
        yield made
    finally:
        for each in made:
            for asking in each.shared._asking.values():
                asking.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_thousand_requests_at_once_over_four_balancers_never_pass_a_budget(
    server: StoreServer,
) -> None:
    rng = Random(1)
    sizes = [float(rng.randrange(1, 12)) for _ in range(1000)]
    async with balancers(server, budget(3000.0), when_gone="refuse") as four:
        taken = await asyncio.gather(
            *(four[number % 4].take(size) for number, size in enumerate(sizes))
        )
        given = sum(charge.amount for charge in taken if charge is not None)
        assert 1500.0 < given <= 3000.0
        for each in four:
            await each.settled()
        for each in four:
            each.clock.now += 2.0
            given += 12.0 * await each.take_all(12.0)
            await each.settled()
        assert 2900.0 < given <= 3000.0, "what one does not use the others may"


async def test_a_rate_holds_over_all(server: StoreServer) -> None:
    spec = Limit("it", "requests", 100.0, "day")
    async with balancers(server, spec, when_gone="refuse") as four:
        given = [await each.take_all(1.0) for each in four]
        assert 50 <= sum(given) <= 100


async def test_what_a_dead_balancer_held_is_there_when_its_lease_ends(server: StoreServer) -> None:
    async with balancers(server, budget(100.0), count=2, when_gone="refuse") as (one, other):
        assert await one.take(60.0) is not None  # and it is never heard of again
        first = await other.take_all(1.0)
        assert first < 40, "what it holds beyond is not for others"
        (key,) = server.client.keys("penstock:main:v1:{limit:*")
        spent, held, until, _ = (float(each) for each in server.client.hget(key, "b:b0").split())
        assert (spent, until > 0.0) == (0.0, True), "it was told before it was given out"
        now_s, now_us = server.client.time()
        assert until - (now_s * 1000.0 + now_us / 1000.0) <= LEASE_S * 1000.0
        server.client.hset(key, "b:b0", f"60 {held} 1 1")
        other.clock.now += 2.0
        assert first + await other.take_all(1.0) == 40


async def test_after_a_flush_balancers_write_back_what_was_spent(server: StoreServer) -> None:
    async with balancers(server, budget(100.0), count=3, when_gone="refuse") as (one, two, three):
        assert await one.take(30.0) is not None
        await one.settled()
        assert await two.take(40.0) is not None
        await two.settled()
        server.client.flushall()
        await two.shared._look_for_a_flush()
        two.shared.sweep()
        await two.quiet()
        assert await three.take_all(1.0) <= 30, "what the first had spent the second knew"


def places(amount: float = 8.0) -> Limit:
    return Limit("it", "concurrent", amount)


async def test_a_thousand_requests_at_once_over_four_balancers_never_have_more_places(
    server: StoreServer,
) -> None:
    async with balancers(server, places(100.0), when_gone="refuse") as four:
        taken = await asyncio.gather(*(four[number % 4].take() for number in range(1000)))
        assert 50 <= len([charge for charge in taken if charge is not None]) <= 100


async def test_whatever_comes_and_goes_there_are_never_more_places_than_all_have(
    server: StoreServer,
) -> None:
    rng = Random(2)
    async with balancers(server, places(), count=3, when_gone="refuse") as three:
        running: list[tuple[Balancer, Charge]] = []
        most = 0
        for _ in range(300):
            if running and rng.random() < 0.45:
                balancer, charge = running.pop(rng.randrange(len(running)))
                balancer.slices.settle(charge, 1.0, balancer.clock())
            else:
                balancer = rng.choice(three)
                taken = await balancer.take()
                if taken is not None:
                    running.append((balancer, taken))
            assert len(running) <= 8
            most = max(most, len(running))
            if rng.random() < 0.2:
                balancer.clock.now += rng.random()
                balancer.slices.sweep(balancer.clock())
                await balancer.exchange()
                balancer.shared.sweep()
                await balancer.quiet()
        assert most >= 6, "nearly all are used"


async def test_places_that_one_does_not_use_any_more_others_may(server: StoreServer) -> None:
    async with balancers(server, places(), count=2, when_gone="refuse") as (one, other):
        charges = [await one.take() for _ in range(8)]
        assert await other.take() is None
        for charge in charges:
            assert charge is not None
            one.slices.settle(charge, 1.0, one.clock())
        await one.settled()
        assert await other.take_all(1.0) == 8


async def test_places_of_a_dead_balancer_are_free_when_its_lease_ends(server: StoreServer) -> None:
    async with balancers(server, places(), count=2, when_gone="refuse") as (_, other):
        assert await _.take_all(1.0) >= 4  # and it is never heard of again
        (key,) = server.client.keys("penstock:main:v1:{limit:*")
        spent, held, until, _seq = server.client.hget(key, "b:b0").split()
        now_s, now_us = server.client.time()
        assert float(spent) == 0.0
        left_ms = float(until) - (now_s * 1000.0 + now_us / 1000.0)
        assert 0.0 < left_ms <= LEASE_S * 1000.0
        server.client.hset(key, "b:b0", f"0 {float(held)} 1 1")
        other.clock.now += 2.0
        assert await other.take_all(1.0) == 8


async def test_places_that_are_used_are_held_on_to(server: StoreServer) -> None:
    """For as long as a stream lasts, which is longer than a lease."""
    async with balancers(server, places(), count=2, when_gone="refuse") as (one, other):
        assert await one.take() is not None
        for _ in range(10):
            one.clock.now += 4.0
            one.slices.sweep(one.clock())
            await one.exchange()
            one.shared.sweep()
            await one.quiet()
        (key,) = server.client.keys("penstock:main:v1:{limit:*")
        assert float(server.client.hget(key, "b:b0").split()[1]) == 1.0
        assert await other.take_all(1.0) == 7


async def test_while_the_store_is_gone_a_share_of_the_places_is_given_out(
    server: StoreServer,
) -> None:
    async with balancers(server, places(), count=4) as (one, *_):
        one.path.cut = True
        assert await one.take_all(1.0) == 2
    async with balancers(server, places(), count=4, names="c", when_gone="refuse") as (one, *_):
        one.path.cut = True
        assert await one.take_all(1.0) == 0


async def test_a_rate_is_written_back_too(server: StoreServer) -> None:
    spec = Limit("it", "requests", 100.0, "day")
    async with balancers(server, spec, count=2, when_gone="refuse") as (one, two):
        spent = await one.take_all(1.0)
        server.client.flushall()
        await one.shared._look_for_a_flush()
        one.shared.sweep()
        await one.quiet()
        assert spent + await two.take_all(1.0) <= 100


async def test_while_the_store_is_gone_slices_are_given_out_and_then_a_share(
    server: StoreServer,
) -> None:
    async with balancers(server, budget(400.0)) as (one, *_):
        assert await one.take(40.0) is not None
        one.path.cut = True
        given = 40.0 + await one.take_all(1.0)
        assert 100.0 <= given <= 250.0, "a quarter of what was left, and what was held"
        one.path.cut = False
        await one.settled()
        assert given + await one.take_all(1.0) >= 390.0, "and it is counted afterwards"


async def test_or_nothing_where_that_is_the_setting(server: StoreServer) -> None:
    async with balancers(server, budget(400.0), when_gone="refuse") as (one, *_):
        one.path.cut = True
        assert await one.take(1.0) is None


async def test_a_rate_flows_on_by_its_share(server: StoreServer) -> None:
    spec = Limit("it", "requests", 40.0, "second")
    async with balancers(server, spec) as (one, *_):
        one.path.cut = True
        assert await one.take_all(1.0) == 10
        one.clock.now += 0.5
        assert await one.take_all(1.0) == 5


async def test_a_store_that_says_nothing_is_not_waited_for(server: StoreServer) -> None:
    async with balancers(server, budget(400.0)) as (one, *_):
        one.shared._patience_s = 0.005
        one.path.slow = True
        assert await one.take(1.0) is not None
        assert one.shared.late == 1


async def test_a_budget_is_whole_in_a_new_window(server: StoreServer) -> None:
    async with balancers(server, budget(10.0), count=2) as (one, two):
        assert await one.take(10.0) is not None
        assert await two.take(10.0) is None
        one.clock.now += DAY_S
        assert await two.take(10.0) is not None


async def test_a_balancer_that_knows_nothing_goes_on_from_what_it_had_spent(
    server: StoreServer,
) -> None:
    async with balancers(server, budget(100.0), count=1) as (one,):
        assert await one.take(70.0) is not None
        await one.settled()
    async with balancers(server, budget(100.0), count=1, names="later") as (again,):
        assert await again.take(40.0) is None
        assert await again.take(30.0) is not None


async def test_what_was_said_before_and_comes_late_changes_nothing(server: StoreServer) -> None:
    async with balancers(server, budget(100.0), count=2, when_gone="refuse") as (one, two):
        assert await one.take(30.0) is not None
        assert await one.take(60.0) is not None
        await one.settled()
        with pytest.raises(StoreError, match="a later one"):
            await one.path.told_before(0)
        assert await two.take_all(1.0) == 10


async def test_a_store_that_is_full_counts_as_gone(server: StoreServer) -> None:
    async with balancers(server, budget(400.0)) as (one, *_):
        server.client.config_set("maxmemory", 1)
        try:
            assert await one.take_all(1.0) == 100
        finally:
            server.client.config_set("maxmemory", 0)
        await one.settled()
        assert 100 + await one.take_all(1.0) == 400


async def test_shares_are_of_the_balancers_that_were_there_before(server: StoreServer) -> None:
    """A store that is lost makes the others silent, first of all."""
    spec = Limit("it", "requests", 40.0, "second")
    async with balancers(server, spec) as (one, *_):
        one.shared.sweep()
        one.others = 0
        one.shared.sweep()
        assert one.shared.balancers() == 4
        one.path.cut = True
        one.clock.now += 60.0
        assert await one.take_all(1.0) == 10
        assert one.shared.balancers() == 4
        one.path.cut = False
        assert one.shared.balancers() == 4, "they were not heard yet"
        one.clock.now += 4.0
        assert one.shared.balancers() == 1, "these are gone, and not the store"


async def test_behind_a_cut_a_slice_is_given_out_until_its_lease_ends(server: StoreServer) -> None:
    """By then another balancer may have it."""
    async with balancers(server, budget(6400.0), count=2, when_gone="refuse") as (one, _):
        assert await one.take(10.0) is not None
        one.path.cut = True
        assert await one.take(10.0) is not None
        one.clock.now += LEASE_S
        one.slices.sweep(one.clock())
        await one.exchange()
        one.shared.sweep()
        assert await one.take(10.0) is None
