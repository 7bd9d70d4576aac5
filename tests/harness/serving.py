"""Emulated engines with Penstock in front, for the clients that people use."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.fleet import balancer as fleet_balancer
from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from tests.harness.forked import forked_serve

MODEL = "emulated-model"
PATIENCE_S = 20.0


async def start_balancer(directory: Path, configuration: Mapping[str, Any]) -> BalancerProcess:
    """Serve ``configuration`` as the demo's balancer is served, from a forked process."""
    return await fleet_balancer.start_balancer(directory, configuration, serve=_forked)


async def _forked(file: Path, log: Path) -> "_Forked":
    return _Forked(file, log)


class _Forked:
    """A forked process that is waited for without holding the loop, where the engines run."""

    def __init__(self, file: Path, log: Path) -> None:
        self._process = forked_serve(file, log)
        self._ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._process.sentinel, self._on_end)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode if self._ended.is_set() else None

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self._ended.set()


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
