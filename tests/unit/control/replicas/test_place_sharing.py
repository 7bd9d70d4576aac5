"""`max_in_flight` over several balancers: on a real store, never more than the endpoint takes."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from penstock.config.compile.store import parse_url
from penstock.control.events import Events
from penstock.control.replicas.load_sharing import url_hash
from penstock.control.replicas.place_sharing import PlaceSharing
from penstock.control.store.shared import SharedStore
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.dataplane.board.layout import (
    L_IN_FLIGHT,
    O_PLACES,
    O_WANTED,
    O_WANTS,
    P_WAITING,
)
from penstock.dataplane.board.memory import create_board
from tests.harness.store_server import StoreServer
from tests.unit.control.replicas.test_shared_limits import Clock, Path

MOST = 16
MEMBER = Endpoint("e", "127.0.0.1", 9, row=0, max_in_flight=MOST)
POOL = Pool("main", (MEMBER,), row=0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    with StoreServer(tmp_path_factory.mktemp("store")) as started:
        yield started


@pytest.fixture(autouse=True)
def _empty(server: StoreServer) -> None:
    server.client.flushall()


class Balancer:
    """Its board, where a worker takes places, and its supervisor."""

    def __init__(
        self, name: str, store: SharedStore, clock: Clock, count: int, when_gone: Any
    ) -> None:
        self.path = Path(store)
        self.clock = clock
        self.board = create_board(1, endpoint_rows=1, pool_rows=1)
        self.board.share()
        self.places = PlaceSharing(self.path, self.board, name, lambda: count - 1, when_gone, clock)
        self.places.configure(Snapshot(1, (), (), (POOL,)))
        self.running = 0

    @property
    def bound(self) -> int:
        told: int = self.board.cells[self.board.others(0) + O_PLACES]
        return told - 1

    @property
    def wants(self) -> int:
        told: int = self.board.cells[self.board.others(0) + O_WANTS]
        return told

    def run(self, running: int) -> None:
        self.running = running
        self.board.cells[self.board.load(0, 0) + L_IN_FLIGHT] = running

    def take(self, wanted: int = 1) -> int:
        """As many as there is room for; the others wait."""
        taken = min(wanted, max(self.bound - self.running, 0))
        self.run(self.running + taken)
        self.board.cells[self.board.pool(0, 0) + P_WAITING] = wanted - taken
        return taken

    async def look(self) -> None:
        self.places.look([url_hash(POOL, MEMBER), *(0,) * 7])
        await self.quiet()

    async def quiet(self) -> None:
        while self.places._tasks:
            await asyncio.gather(*self.places._tasks)


@asynccontextmanager
async def balancers(
    server: StoreServer, count: int = 2, when_gone: str = "share"
) -> AsyncIterator[list[Balancer]]:
    stores = [SharedStore(parse_url(server.url), Events()) for _ in range(count)]
    tasks = [asyncio.create_task(store.run()) for store in stores]
    for store in stores:
        await store.keys("")  # waits until it is connected
    clock = Clock()
    made = [
        Balancer(f"b{number}", store, clock, count, when_gone)
        for number, store in enumerate(stores)
    ]
    try:
        yield made
    finally:
        for each in made:
            os.close(each.board.fd)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def rounds(all_of_them: list[Balancer], count: int = 1, seconds: float = 0.2) -> None:
    """All look, and hear what the others want."""
    for _ in range(count):
        for each in all_of_them:
            each.clock.now += seconds / len(all_of_them)
            await each.look()
            for other in all_of_them:
                at = other.board.others(0) + O_WANTED
                other.board.cells[at] = sum(b.wants for b in all_of_them if b is not other)


async def test_one_alone_gets_all_places_and_a_few_ahead_of_need(server: StoreServer) -> None:
    async with balancers(server, 1) as (one,):
        assert one.bound == 0, "none before the store was asked"
        await rounds([one])
        assert one.bound == 1
        taken = 0
        for _ in range(20):
            taken += one.take(3)
            await rounds([one])
            assert one.bound <= MOST
        assert taken == MOST


async def test_whatever_comes_and_goes_there_are_never_more_than_the_endpoint_takes(
    server: StoreServer,
) -> None:
    rng = Random(3)
    async with balancers(server, 3) as three:
        most = 0
        for _ in range(200):
            each = rng.choice(three)
            if rng.random() < 0.6:
                each.take(rng.randrange(1, 5))
            elif each.running:
                each.run(each.running - rng.randrange(1, each.running + 1))
            assert sum(b.running for b in three) <= MOST
            most = max(most, sum(b.running for b in three))
            if rng.random() < 0.5:
                await rounds([rng.choice(three)], seconds=rng.random())
            if rng.random() < 0.2:
                await rounds(three)
        assert most >= MOST - 3, "nearly all places are used"


async def test_who_has_more_than_its_share_gives_some_up_to_who_has_none(
    server: StoreServer,
) -> None:
    async with balancers(server) as (greedy, late):
        for _ in range(20):
            greedy.take(9)
            await rounds([greedy])
        assert greedy.running == MOST
        late.take(5)
        await rounds([greedy, late], 3)
        assert late.bound == 0
        for _ in range(16):  # its requests end one by one, and it has more that wait
            greedy.run(greedy.running - 1)
            greedy.take(9)
            late.take(9)
            await rounds([greedy, late], 2)
        assert late.running >= MOST // 2 - 1
        assert greedy.running + late.running <= MOST
        assert greedy.running >= MOST // 2


async def test_what_is_not_used_goes_back(server: StoreServer) -> None:
    async with balancers(server) as (one, other):
        for _ in range(10):
            one.take(9)
            await rounds([one])
        one.run(0)
        await rounds([one], 12)
        assert one.bound == 1
        for _ in range(10):
            other.take(9)
            await rounds([other])
        assert other.running == MOST - 1


async def test_while_the_store_is_gone_what_is_held_counts_and_then_a_share(
    server: StoreServer,
) -> None:
    async with balancers(server) as (one, other):
        for _ in range(10):
            one.take(9)
            await rounds([one])
        await rounds([other])
        one.path.cut = other.path.cut = True
        await rounds([one, other])
        assert (one.bound, other.bound) == (MOST, MOST // 2)
        one.clock.now += 20.0
        await rounds([one, other])
        assert (one.bound, other.bound) == (MOST // 2, MOST // 2)
        one.path.cut = other.path.cut = False
        await rounds([one, other], 2)
        assert one.bound + other.bound <= MOST + MOST // 2, "what runs goes on"
        one.run(4)
        await rounds([one, other], 12)
        assert one.bound + other.bound <= MOST


async def test_or_nothing_where_that_is_the_setting(server: StoreServer) -> None:
    async with balancers(server, when_gone="refuse") as (one, _):
        await rounds([one])
        one.path.cut = True
        one.clock.now += 20.0
        await rounds([one])
        assert one.bound == 0


async def test_a_store_that_was_never_there_is_not_waited_for(server: StoreServer) -> None:
    async with balancers(server) as (one, _):
        one.path.cut = True
        await rounds([one])
        assert one.bound == 0
        one.clock.now += 1.0
        await rounds([one])
        assert one.bound == MOST // 2


async def test_a_dead_balancers_places_are_free_when_its_lease_ends(server: StoreServer) -> None:
    async with balancers(server) as (one, other):
        for _ in range(10):
            one.take(9)
            await rounds([one])  # and it is never heard of again
        (key,) = server.client.keys("penstock:main:v1:{limit:places*")
        held = server.client.hget(key, "b:b0").split()[1]
        assert float(held) == MOST
        server.client.hset(key, "b:b0", f"0 {held} 1 1")
        for _ in range(10):
            other.take(9)
            await rounds([other])
        assert other.running == MOST
