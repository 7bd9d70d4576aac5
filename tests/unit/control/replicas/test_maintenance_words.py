"""A pool that is set aside at one balancer is set aside at all, over outages of the store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio

from penstock.control.events import Events
from penstock.control.maintenance import MaintenanceSwitches
from penstock.control.replicas.maintenance_words import PREFIX, MaintenanceWords
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Maintenance, Pool, Snapshot
from tests.unit.control.replicas.test_operator_words import Outages

PAGE = Maintenance("Back at noon.", 120)


class Balancer:
    def __init__(self, store: Outages, *pools: Pool) -> None:
        self.published = 0
        self.switches = MaintenanceSwitches(Events(), self._publish)
        self._tasks: set[asyncio.Task[None]] = set()
        self.words = MaintenanceWords(store, self.switches, self._begin, Events())
        self.follow(*(pools or (Pool("site", ()),)))
        self.running: asyncio.Task[None] | None = None

    def _begin(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self) -> None:
        self.published += 1

    def follow(self, *pools: Pool) -> None:
        spec = Snapshot(1, (), (), pools)
        self.switches.configure(spec)
        self.words.configure(spec)

    async def switch(self, *, on: bool) -> None:
        if on:
            await self.switches.switch_on("site", PAGE.text, PAGE.retry_after_s, "by a test")
        else:
            await self.switches.switch_off("site", "by a test")
        self.words.said("site")

    def page(self) -> Maintenance | None:
        return self.switches.page("site")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.control.replicas.words._LOOK_S", 0.01)


@pytest.fixture
def store() -> Outages:
    return Outages(StateFiles(None, Events()))


@pytest_asyncio.fixture
async def made(store: Outages) -> AsyncIterator[Callable[..., Balancer]]:
    balancers: list[Balancer] = []

    def make(*pools: Pool) -> Balancer:
        balancer = Balancer(store, *pools)
        balancer.running = asyncio.create_task(balancer.words.words.run())
        balancers.append(balancer)
        return balancer

    yield make
    for each in balancers:
        if each.running is not None:
            each.running.cancel()
            await asyncio.gather(each.running, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("waited in vain")


async def test_what_one_sets_aside_and_puts_back_all_do(made: Callable[..., Balancer]) -> None:
    one, other = made(), made()
    await one.switch(on=True)
    await until(lambda: other.page() == PAGE)
    assert one.published == 1, "its own word changes nothing for it"
    await other.switch(on=False)
    await until(lambda: one.page() is None)


async def test_one_that_comes_later_hears_of_it(made: Callable[..., Balancer]) -> None:
    await made().switch(on=True)
    later = made()
    await until(lambda: later.page() == PAGE)


async def test_a_pool_that_comes_later_is_set_aside_once_it_is_there(
    made: Callable[..., Balancer],
) -> None:
    one, other = made(), made(Pool("another", ()))
    await one.switch(on=True)
    await until(lambda: bool(other.words._heard))
    assert other.published == 0
    other.follow(Pool("site", ()))
    await until(lambda: other.page() == PAGE)


async def test_what_is_said_while_the_store_is_gone_holds_once_it_is_back(
    made: Callable[..., Balancer], store: Outages
) -> None:
    one, other = made(), made()
    await until(lambda: bool(store._entries))
    store.gone = True
    await one.switch(on=True)
    await asyncio.sleep(0.05)
    assert other.page() is None
    store.gone = False
    await until(lambda: other.page() == PAGE)


async def test_what_cannot_be_is_not_followed(
    made: Callable[..., Balancer], store: Outages
) -> None:
    """Of a pool that is relayed unread here, or that says what no balancer does."""
    unread = made(Pool("site", (), protocol="tcp"))
    one = made()
    await one.switch(on=True)
    await until(lambda: bool(unread.words._heard))
    await asyncio.sleep(0.02)
    assert unread.page() is None
    (key,) = [key for key in await store.keys(PREFIX) if not key.endswith("mark")]
    entry = await store.get(key)
    assert entry is not None
    await store.put_if_unchanged(key, b'{"retry_after_s": -1}', entry.revision)
    await asyncio.sleep(0.05)
    assert one.page() == PAGE
