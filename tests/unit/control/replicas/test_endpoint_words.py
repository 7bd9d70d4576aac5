"""Endpoints that the admin API of one balancer was told of come to all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from penstock.control.background import BackgroundTasks
from penstock.control.events import Events
from penstock.control.replicas.endpoint_words import EndpointWords
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from tests.unit.control.conftest import Clock
from tests.unit.control.discovery.test_api_endpoints import Site
from tests.unit.control.worlds import world


class Balancer:
    def __init__(self, store: EmbeddedStore, clock: Clock) -> None:
        self.events = Events()
        self.site = Site(self.events, clock, None)
        self.background = BackgroundTasks(self.events)
        self.words = EndpointWords(store, self.background, self.events)
        self.words.follow = self.site.api.follow
        self.words.configure(self.site.running)

    async def has(self, **weights: float) -> None:
        """Wait until its endpoints have these weights, by the last part of their addresses."""
        wanted = {f"10.0.0.{name[1:]}:80": weight for name, weight in weights.items()}
        async with asyncio.timeout(10.0):
            while {"fixed": 1.0, **wanted} != self.site.weights:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.002)


@asynccontextmanager
async def running(balancer: Balancer) -> AsyncIterator[Balancer]:
    balancer.background.keep("words", balancer.words.words.run)
    try:
        yield balancer
    finally:
        await balancer.background.stop()


@pytest.fixture
def store() -> EmbeddedStore:
    return EmbeddedStore(StateFiles(None, Events()))


async def test_what_is_added_changed_and_removed_at_one_is_at_all(
    store: EmbeddedStore, clock: Clock
) -> None:
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(running(Balancer(store, clock))) for _ in range(2)
        ]
        url = "http://10.0.0.3:80"
        await one.site.api.add("main", url, {"weight": 2.0}, save=False)
        one.words.said("main", url, {"weight": 2.0})
        await two.has(_2=1.0, _3=2.0)
        await two.site.api.change("main", url, {"zone": "b"}, save=False)
        two.words.said("main", url, {"zone": "b"})
        async with asyncio.timeout(10.0):
            while not any(  # noqa: ASYNC110 - nothing tells of it
                each.zone == "b" for each in one.site.running.pools[0].endpoints
            ):
                await asyncio.sleep(0.002)
        later = await stack.enter_async_context(running(Balancer(store, clock)))
        await later.has(_2=1.0, _3=2.0)
        await two.site.api.remove("main", "http://10.0.0.2:80", save=False)
        two.words.said("main", "http://10.0.0.2:80", None)
        await one.has(_3=2.0)


async def test_what_is_configured_here_stays_as_it_is(store: EmbeddedStore, clock: Clock) -> None:
    async with running(Balancer(store, clock)) as balancer:
        await balancer.site.api.follow("main", "http://10.0.0.1:80", None)
        await balancer.site.api.follow("main", "http://10.0.0.1:80", {"weight": 9.0})
        assert balancer.site.weights["fixed"] == 1.0


@pytest.mark.parametrize(
    "value",
    [
        b"not json",
        b'{"pool": "main", "url": 5}',
        b'{"pool": "main", "url": "http://10.0.0.9:80", "weight": -1}',
        b'{"pool": "main", "url": "unix:/etc/passwd"}',
        b'{"pool": "main", "url": "udp://10.0.0.9:80"}',
    ],
)
async def test_what_the_api_would_refuse_is_refused_from_the_store(
    store: EmbeddedStore, clock: Clock, value: bytes
) -> None:
    async with running(Balancer(store, clock)) as balancer:
        await store.put_if_unchanged("endpoints/a", value, 0)
        async with asyncio.timeout(10.0):
            while not balancer.events.recent(10):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.002)
        assert balancer.events.recent(1)[0].kind == "store.refused"
        await balancer.has(_2=1.0)


async def test_of_a_pool_that_is_not_there_it_waits(store: EmbeddedStore, clock: Clock) -> None:
    async with running(Balancer(store, clock)) as balancer:
        balancer.words.configure(world([]))
        there = balancer.site.running
        balancer.site.running = world([])
        value = b'{"pool": "main", "url": "http://10.0.0.3:80"}'
        await store.put_if_unchanged("endpoints/a", value, 0)
        await asyncio.sleep(0.02)
        balancer.site.running = there
        balancer.words.configure(there)
        await balancer.has(_2=1.0, _3=1.0)
