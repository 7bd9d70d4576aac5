"""Emulated engines with Penstock in front, for the clients that people use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.fleet.balancer import start_balancer
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec

MODEL = "emulated-model"
PATIENCE_S = 20.0


@dataclass
class Serving:
    """``url`` is the balancer's."""

    url: str
    engines: list[EngineServer]

    def working(self) -> int:
        """Requests that the engines say they hold."""
        return sum(engine.load().running + engine.load().waiting for engine in self.engines)

    async def until_idle(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.working():  # noqa: ASYNC110 - an engine announces nothing
                await asyncio.sleep(0.002)


@asynccontextmanager
async def two_engines(**fields: Any) -> AsyncIterator[list[EngineServer]]:
    """Running; ``fields`` are those of ``EngineSpec``."""
    engines = [EngineServer(EngineSpec(f"engine-{number}", **fields)) for number in (1, 2)]
    for engine in engines:
        await engine.start()
    try:
        yield engines
    finally:
        for engine in engines:
            await engine.stop()


@asynccontextmanager
async def serving(directory: Path, **fields: Any) -> AsyncIterator[Serving]:
    """Two engines behind a pool of kind llm."""
    async with two_engines(**fields) as engines, _balanced(directory, engines) as url:
        yield Serving(url, engines)


@asynccontextmanager
async def _balanced(directory: Path, engines: list[EngineServer]) -> AsyncIterator[str]:
    pool = {
        "kind": "llm",
        "policy": "marginal-cost",
        "endpoints": [engine.url for engine in engines],
    }
    balancer = await start_balancer(directory, {"pools": {"engines": pool}, "workers": 1})
    try:
        yield balancer.url
    finally:
        await balancer.stop()
