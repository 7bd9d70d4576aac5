"""What an operator says at one balancer holds at all, over outages and flushes of the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio

from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.replicas.operator_words import OperatorWords
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.store.store import Entry, StoreError
from penstock.dataplane.board.memory import create_board
from tests.unit.control.replicas.balancers import snapshot

A, B = 9001, 9002
NAME = f"127.0.0.1:{A}"


class Outages(EmbeddedStore):
    """A store that can be gone, and be flushed."""

    gone = False

    async def get(self, key: str) -> Entry | None:
        if self.gone:
            raise StoreError("it is gone")
        return await super().get(key)

    def flush(self) -> None:
        """Nobody is told."""
        self._entries.clear()


class Balancer:
    def __init__(self, store: Outages) -> None:
        self.states = EndpointStates(create_board(1, endpoint_rows=4, pool_rows=1), Events())
        self.operators = OperatorWords(store, self.states, Events())
        self.follow(A)

    def follow(self, *ports: int) -> None:
        spec = snapshot({port: row for row, port in enumerate(ports)})
        self.states.add_new(spec.pools)
        self.states.configure(spec.pools)
        self.operators.configure(spec)

    def drain(self) -> None:
        self.states.drain("main", NAME, "requested by an operator")
        self.operators.said("main", NAME)

    def undrain(self) -> None:
        self.states.undrain("main", NAME, "requested by an operator")
        self.operators.said("main", NAME)

    def weigh(self, weight: float) -> None:
        self.states.set_weight("main", NAME, weight, "requested by an operator")
        self.operators.said("main", NAME)

    @property
    def shown(self) -> tuple[str, float]:
        state = self.states.of("main", NAME)
        return state.shown, state.weight


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.control.replicas.words._LOOK_S", 0.01)


@pytest.fixture
def store() -> Outages:
    return Outages(StateFiles(None, Events()))


@asynccontextmanager
async def running(balancer: Balancer) -> AsyncIterator[Balancer]:
    task = asyncio.create_task(balancer.operators.words.run())
    try:
        yield balancer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest_asyncio.fixture
async def pair(store: Outages) -> AsyncIterator[tuple[Balancer, Balancer]]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running(Balancer(store)))
        two = await stack.enter_async_context(running(Balancer(store)))
        yield one, two


async def becomes(balancer: Balancer, state: str, weight: float = 1.0) -> None:
    async with asyncio.timeout(10.0):
        while balancer.shown != (state, weight):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.002)


async def test_drains_and_weights_hold_everywhere(pair: tuple[Balancer, Balancer]) -> None:
    one, two = pair
    one.drain()
    await becomes(two, "draining")
    two.undrain()
    await becomes(one, "up")
    two.weigh(0.5)
    await becomes(one, "up", 0.5)
    one.weigh(1.0)
    await becomes(two, "up", 1.0)


async def test_who_comes_later_learns_them(store: Outages, pair: tuple[Balancer, Balancer]) -> None:
    pair[0].drain()
    await becomes(pair[1], "draining")
    later = Balancer(store)
    later.follow(B)
    async with running(later):
        await asyncio.sleep(0.05)
        later.follow(B, A)
        assert later.shown == ("draining", 1.0)


async def test_what_is_said_while_the_store_is_gone_holds_when_it_is_back(
    store: Outages, pair: tuple[Balancer, Balancer]
) -> None:
    one, two = pair
    await asyncio.sleep(0.02)
    store.gone = True
    one.drain()
    await asyncio.sleep(0.03)
    assert two.shown == ("up", 1.0)
    store.gone = False
    await becomes(two, "draining")


async def test_after_a_flush_it_is_written_back(
    store: Outages, pair: tuple[Balancer, Balancer]
) -> None:
    one, two = pair
    one.drain()
    await becomes(two, "draining")
    store.flush()
    async with asyncio.timeout(10.0):
        while len(await store.keys("operators/")) < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.002)
    assert (one.shown, two.shown) == (("draining", 1.0), ("draining", 1.0))
    later = Balancer(store)
    async with running(later):
        await becomes(later, "draining")


async def test_another_configured_weight_goes_before_what_was_said_of_the_one_before(
    store: Outages, pair: tuple[Balancer, Balancer]
) -> None:
    key = next(iter(pair[0].operators._keys.values()))
    for value in (b'{"weight": 2.0, "configured": 7.0}', b"not json", b'{"weight": -1}'):
        entry = await store.get(f"operators/{key}")
        await store.put_if_unchanged(f"operators/{key}", value, entry.revision if entry else 0)
        await asyncio.sleep(0.03)
        assert pair[0].shown == ("up", 1.0)
