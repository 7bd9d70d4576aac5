"""One of several balancers acts, by lease, and another soon after it is gone."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from penstock.control.background import BackgroundTasks
from penstock.control.events import Events
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.store.leadership import LEASE_S, Leadership
from penstock.control.store.store import StoreError
from tests.unit.control.conftest import Clock
from tests.unit.control.waiting import until


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
    monkeypatch.setattr("penstock.control.store.leadership._RENEW_S", 0.002)


async def test_one_leads_and_another_once_it_is_gone(store: Outages, clock: Clock) -> None:
    async with AsyncExitStack() as stack:
        tasks = BackgroundTasks(Events())
        stack.push_async_callback(tasks.stop)
        one = Leadership(store, "one", Events(), clock)
        two = Leadership(store, "two", Events(), clock)
        assert not one.leads("a"), "nothing is known yet"
        await one.join("a")
        assert one.leads("a")
        first = tasks.begin("one", one.run())
        await two.join("a")
        tasks.begin("two", two.run())
        await asyncio.sleep(0.02)
        assert (one.leads("a"), two.leads("a")) == (True, False)
        first.cancel()
        await until(lambda: two.leads("a"), "it leads as soon as the other ended in order")
        assert not one.leads("a")


async def test_who_cannot_renew_stops_before_another_begins(store: Outages, clock: Clock) -> None:
    tasks = BackgroundTasks(Events())
    one = Leadership(store, "one", Events(), clock)
    await one.join("a")
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


async def test_a_successor_has_the_leases_of_whom_it_goes_on_for(
    store: Outages, clock: Clock
) -> None:
    before = Leadership(store, "one", Events(), clock)
    tasks = BackgroundTasks(Events())
    await before.join("a")
    tasks.begin("one", before.run())
    after = Leadership(store, before.holder, Events(), clock)
    before.hand_over()
    await tasks.stop()
    assert not await store.lease("leader/a", "two", 1.0)
    await after.join("a")
    assert after.leads("a")
