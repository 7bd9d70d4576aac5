"""Cache events over ZeroMQ, in vLLM's wire form."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.engine.text import padded, token_ids
from penstock.fleet.faults import FaultCommand

zmq_asyncio = pytest.importorskip("zmq.asyncio")
zmq = pytest.importorskip("zmq")

PROMPT = "four" * 40  # two blocks and a half
LAST = "last" * 16  # a block


@pytest_asyncio.fixture
async def sockets() -> AsyncIterator[Any]:
    context = zmq_asyncio.Context()
    yield context
    context.destroy(linger=0)


async def started(form: Any, **fields: Any) -> EngineServer:
    engine = EngineServer(EngineSpec("engine", speedup=100.0, kv_events=form, **fields))
    await engine.start()
    return engine


async def subscriber(sockets: Any, engine: EngineServer) -> Any:
    """A subscription that is known to be in force, and that has nothing more of before."""
    socket = sockets.socket(zmq.SUB)
    socket.subscribe(b"")
    socket.connect(engine.kv_event_addresses[0])
    async with asyncio.timeout(20), aiohttp.ClientSession() as client:
        number = 0
        while not await socket.poll(20):
            await complete(client, engine, f"{number:04d}" * 16)
            number += 1
        await complete(client, engine, LAST)
    while not any(stores(event, LAST) for event in (await receive(socket))[1]):
        pass
    return socket


def stores(event: Any, prompt: str) -> bool:
    """Whether it tells of a block with the tokens of the prompt."""
    kind, told = (event["type"], event) if isinstance(event, dict) else (event[0], {})
    tokens = told.get("token_ids") if told else event[3:4] and event[3]
    return bool(kind == "BlockStored" and tokens == token_ids(padded(prompt.encode())))


async def complete(client: aiohttp.ClientSession, engine: EngineServer, prompt: str) -> None:
    body = {"prompt": prompt, "max_tokens": 1, "ignore_eos": True}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        assert response.status == 200


async def receive(socket: Any) -> tuple[int, list[Any]]:
    async with asyncio.timeout(20):
        topic, number, payload = await socket.recv_multipart()
    assert topic == b""
    stamp, events, rank = msgspec.msgpack.decode(payload)
    assert stamp > 1e9
    assert rank == 0
    return int.from_bytes(number, "big"), events


async def test_stored_blocks_are_published_with_their_tokens_as_arrays(
    sockets: Any, client: aiohttp.ClientSession
) -> None:
    engine = await started("array")
    try:
        socket = await subscriber(sockets, engine)
        await complete(client, engine, PROMPT)
        _, [[kind, hashes, parent, tokens, block_size, lora_id, medium, lora_name]] = await receive(
            socket
        )
        assert kind == "BlockStored"
        assert len(hashes) == 2
        assert parent is None
        assert tokens == token_ids(padded(PROMPT.encode()))[:32]
        assert (block_size, lora_id, medium, lora_name) == (16, None, "GPU", None)
    finally:
        await engine.stop()


async def test_later_blocks_name_their_parent_and_maps_name_their_fields(
    sockets: Any, client: aiohttp.ClientSession
) -> None:
    engine = await started("map", adapters=("poet",))
    try:
        socket = await subscriber(sockets, engine)
        await complete(client, engine, PROMPT)
        _, [first] = await receive(socket)
        await complete(client, engine, PROMPT + "more" * 24)
        _, [second] = await receive(socket)
        assert second["type"] == "BlockStored"
        assert second["parent_block_hash"] == first["block_hashes"][-1]
        assert len(second["block_hashes"]) == 2
        assert len(second["token_ids"]) == 32
    finally:
        await engine.stop()


async def test_evictions_and_an_emptied_cache_are_published(
    sockets: Any, client: aiohttp.ClientSession
) -> None:
    engine = await started("map", kv_tokens=64)
    try:
        socket = await subscriber(sockets, engine)
        await complete(client, engine, "abcd" * 48)
        await complete(client, engine, "efgh" * 48)
        events = (await receive(socket))[1] + (await receive(socket))[1]
        removed = [event for event in events if event["type"] == "BlockRemoved"]
        assert sum(len(event["block_hashes"]) for event in removed) >= 2
        async with client.post(f"{engine.url}/reset_prefix_cache") as response:
            assert response.status == 200
        assert (await receive(socket))[1] == [{"type": "AllBlocksCleared"}]
    finally:
        await engine.stop()


async def test_a_gap_is_filled_by_replay_and_a_restart_begins_anew(
    sockets: Any, client: aiohttp.ClientSession
) -> None:
    engine = await started("array")
    try:
        for number in range(3):
            await complete(client, engine, f"{number:04d}" * 16)
        socket = sockets.socket(zmq.DEALER)
        socket.connect(engine.kv_event_addresses[1])
        assert [number for number, _ in await replayed(socket, 1)] == [1, 2]
        await engine.apply(FaultCommand("die"))
        await engine.apply(FaultCommand("none"))
        assert await replayed(socket, 0) == []
        await complete(client, engine, PROMPT)
        [(number, events)] = await replayed(socket, 0)
        assert number == 0
        assert events[0][0] == "BlockStored"
    finally:
        await engine.stop()


async def replayed(socket: Any, start: int) -> list[tuple[int, list[Any]]]:
    await socket.send_multipart([b"", start.to_bytes(8, "big")])
    found: list[tuple[int, list[Any]]] = []
    async with asyncio.timeout(20):
        while True:
            _, frame, payload = await socket.recv_multipart()
            number = int.from_bytes(frame, "big", signed=True)
            if number == -1:
                return found
            found.append((number, msgspec.msgpack.decode(payload)[1]))
