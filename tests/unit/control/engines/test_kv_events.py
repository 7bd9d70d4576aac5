"""Following emulated engines' KV events: exact, also after what was missed, a flush, a restart."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import aiohttp
import pytest

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.states import EndpointStates
from penstock.control.engines.exact_index import ExactIndex
from penstock.control.engines.kv_events import KvEventReaders
from penstock.control.engines.kv_sources import source_in
from penstock.control.events import Events
from penstock.core.snapshot import Endpoint, Engine, KvEvents, Pool
from penstock.dataplane.board.layout import R_CACHED, R_COLD
from penstock.dataplane.board.memory import Board
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from penstock.fleet.ports import hold
from penstock.wire.engines.reading import UnreadableError
from tests.unit.control.waiting import PATIENCE_S, until
from tests.unit.control.worlds import world

pytest.importorskip("zmq")

ROW = 3
BLOCK_BYTES = 64  # 16 tokens of 4 bytes


class Site:
    def __init__(self, board: Board, events: Events, client: aiohttp.ClientSession) -> None:
        self.board = board
        self.events = events
        self.client = client
        self.readers = KvEventReaders(
            board,
            events,
            ExactIndex(board, EndpointStates(board, events), events),
            EndpointContexts(),
        )

    def find(self, *engines: EngineServer) -> None:
        """Follow them wherever they say that they publish."""
        endpoints = tuple(
            Endpoint(f"e{number}", "127.0.0.1", engine.port, row=ROW + number)
            for number, engine in enumerate(engines)
        )
        pool = Pool(name="a", endpoints=endpoints, engine=Engine(kv_events=KvEvents()))
        self.readers.configure(world([pool]))

    def run(
        self,
        engine: EngineServer,
        *,
        replay: bool = True,
        addresses: tuple[str, ...] = ("127.0.0.1",),
    ) -> None:
        port, replay_port = (int(each.rpartition(":")[2]) for each in engine.kv_event_addresses)
        wanted = KvEvents(port, replay_port if replay else 0)
        # Its name has no address but those that were found for it.
        endpoint = Endpoint("e", "engine.invalid", 9, row=ROW, addresses=addresses)
        pool = Pool(name="a", endpoints=(endpoint,), engine=Engine(kv_events=wanted))
        self.readers.configure(world([pool]))

    def cell(self, cell: int) -> int:
        return self.board.cells[self.board.report(ROW) + cell]

    async def complete(self, engine: EngineServer, prompt: str) -> None:
        body = {"prompt": prompt, "max_tokens": 1, "ignore_eos": True}
        async with self.client.post(f"{engine.url}/v1/completions", json=body) as response:
            assert response.status == 200

    async def complete_until(
        self, condition: Callable[[], object], engine: EngineServer, start: str = ""
    ) -> None:
        """One prompt after the other: nobody is told when a subscription is in force."""
        async with asyncio.timeout(PATIENCE_S):
            for number in count():
                await self.complete(engine, start + f"{number:064d}" * 2)
                if condition():
                    return

    async def holds(self, tokens: int) -> None:
        await until(lambda: self.cell(R_CACHED) == tokens + 1, f"it is known to hold {tokens}")

    def said(self) -> list[str]:
        return [e.message for e in self.events.recent(100) if e.kind == "engine.kv_events"]


@pytest.fixture
async def site(board: Board, events: Events) -> AsyncIterator[Site]:
    connector = aiohttp.TCPConnector(force_close=True)  # engines die here
    async with aiohttp.ClientSession(connector=connector) as client:
        made = Site(board, events, client)
        yield made
        await made.readers.stop()


@pytest.fixture(params=["array", "map"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[EngineServer]:
    form: Any = request.param
    started = EngineServer(EngineSpec("engine", speedup=100.0, kv_events=form, kv_tokens=256))
    await started.start()
    yield started
    await started.stop()


async def test_what_was_published_before_is_asked_for(site: Site, engine: EngineServer) -> None:
    await site.complete(engine, "a" * BLOCK_BYTES * 2)
    await site.complete(engine, "b" * BLOCK_BYTES * 3)
    site.run(engine)
    await site.complete_until(site.said, engine, start="a" * BLOCK_BYTES)
    assert "exactly" in site.said()[0]
    for number in range(20):  # more than it can hold: some are evicted
        await site.complete(engine, f"{number:032d}" * 4)
    await site.holds(16 * engine._engine._cache.findable)


async def test_without_replay_nothing_is_told_until_the_cache_is_emptied(
    site: Site, engine: EngineServer
) -> None:
    await site.complete(engine, "a" * BLOCK_BYTES * 2)
    site.run(engine, replay=False)
    await site.complete_until(site.said, engine)
    assert "could not be replayed" in site.said()[0]
    assert site.cell(R_CACHED) == 0
    async with site.client.post(f"{engine.url}/reset_prefix_cache"):
        pass
    await site.complete(engine, "c" * BLOCK_BYTES * 2)
    await until(lambda: site.cell(R_COLD) == 1, "it is known to be cold")
    await site.holds(32)


async def test_a_restarted_engine_is_cold(site: Site, engine: EngineServer) -> None:
    site.run(engine)
    await site.complete_until(lambda: site.cell(R_CACHED), engine)
    await engine.apply(FaultCommand("die"))
    await engine.apply(FaultCommand("none"))
    await site.complete(engine, "c" * BLOCK_BYTES * 2)
    await until(lambda: site.cell(R_COLD) == 1, "it is known to be cold")
    await site.holds(32)


async def test_engines_that_share_a_host_are_asked_where_they_publish(
    site: Site, engine: EngineServer
) -> None:
    other = EngineServer(EngineSpec("other", speedup=100.0, kv_events="map", kv_tokens=256))
    await other.start()
    try:
        site.find(engine, other)
        await site.complete_until(lambda: site.cell(R_CACHED), engine)
        held = site.board.report(ROW + 1) + R_CACHED
        await site.complete_until(lambda: site.board.cells[held], other)
    finally:
        await other.stop()


SOURCE = {"endpoint": "tcp://*:5601", "replay_endpoint": "tcp://*:5602", "topic": "kv"}


def test_a_publisher_is_read() -> None:
    assert source_in(json.dumps({"0": SOURCE}).encode()) == KvEvents(5601, 5602, "kv")
    alone = {**SOURCE, "replay_endpoint": None}
    assert source_in(json.dumps({"0": alone}).encode()) == KvEvents(5601, 0, "kv")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "tells no publisher"),
        ({"0": SOURCE, "1": SOURCE}, "tells 2 publishers"),
        ({"0": {**SOURCE, "enable_kv_cache_events": False}}, "tells no publisher"),
        ({"0": {**SOURCE, "endpoint": "ipc:///tmp/kv"}}, "no TCP address"),
        ({"0": {**SOURCE, "endpoint": "tcp://*:x"}}, "no TCP address"),
        ([], "cannot be read"),
    ],
)
def test_what_cannot_be_followed_is_said(body: object, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        source_in(json.dumps(body).encode())


async def test_of_several_addresses_the_one_that_answers_is_followed(
    site: Site, engine: EngineServer
) -> None:
    site.run(engine, addresses=("127.0.0.9", "127.0.0.1"))
    await site.complete_until(lambda: site.cell(R_CACHED), engine)


async def test_an_engine_whose_publisher_does_not_listen_is_named(
    site: Site, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM connects to an `endpoint` without a `*`, as if a collector listened there."""
    monkeypatch.setattr("penstock.control.engines.kv_events._UNREADABLE_S", 0.01)
    bound, nobody = hold("127.0.0.1", 0)  # bound, so that nobody else is, and not listening
    assert nobody is not None
    with nobody:
        endpoint = Endpoint("e", "127.0.0.1", engine.port, row=ROW)
        pool = Pool(name="a", endpoints=(endpoint,), engine=Engine(kv_events=KvEvents(bound)))
        site.readers.configure(world([pool]))
        await until(lambda: bool(site.said()), "it is said")
        await asyncio.sleep(0.1)  # ten more attempts
    assert len(site.said()) == 1
    assert f"nobody publishes at 127.0.0.1:{bound} (connection refused)" in site.said()[0]


async def test_an_engine_that_is_down_is_the_business_of_health_checks(
    site: Site, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.control.engines.kv_events._AFTER_A_PROBLEM_S", 0.01)
    await engine.apply(FaultCommand("die"))
    site.run(engine)
    await asyncio.sleep(0.1)
    assert not site.said()
    await engine.apply(FaultCommand("none"))
    await site.complete_until(lambda: site.cell(R_CACHED), engine)


async def test_a_reader_that_cannot_be_made_is_made_again(
    site: Site, engine: EngineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = KvEventReaders._opened
    failures = iter([OSError("Too many open files")])

    def open_or_fail(readers: KvEventReaders) -> Any:
        for failure in failures:
            raise failure
        return opened(readers)

    monkeypatch.setattr(KvEventReaders, "_opened", open_or_fail)
    monkeypatch.setattr("penstock.control.engines.kv_events._AFTER_A_PROBLEM_S", 0.01)
    site.run(engine)
    await site.complete_until(lambda: site.cell(R_CACHED), engine)
    assert "Too many open files" in str([e.message for e in site.events.recent(9)])
