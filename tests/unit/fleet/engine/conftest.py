"""What the tests of emulated engines share."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest_asyncio

from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from tests.unit.fleet.engine.asking import Start, sdk_for


@pytest_asyncio.fixture
async def start() -> AsyncIterator[Start]:
    """Starts engines a hundred times faster than real ones."""
    started: list[EngineServer] = []

    async def begin(**fields: Any) -> EngineServer:
        server = EngineServer(EngineSpec("engine", **{"speedup": 100.0, **fields}))
        await server.start()
        started.append(server)
        return server

    yield begin
    for server in started:
        await server.stop()


@pytest_asyncio.fixture
async def engine(start: Start) -> EngineServer:
    return await start()


@pytest_asyncio.fixture
async def sdk(engine: EngineServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk_for(engine) as made:
        yield made
