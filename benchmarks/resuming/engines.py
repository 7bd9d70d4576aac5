"""Engines that are killed and come back: emulated ones, and real llama.cpp servers."""

import asyncio
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand

_SPEEDUP: Final = 16.0
_NEVER: Final = 10**9  # tokens: no answer ends by itself
_LLAMACPP: Final = Path("tests") / "engines" / "llamacpp"
_START_S: Final = 30.0
_POLL_S: Final = 0.02


class Engine(ABC):
    """One. ``port`` stays the same over its deaths."""

    port: int = 0

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def kill(self) -> None: ...

    @abstractmethod
    async def revive(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class EmulatedEngine(Engine):
    """``dialect``: the engine that it is to be like."""

    def __init__(self, name: str, dialect: str) -> None:
        spec = EngineSpec(name, dialect=dialect, speedup=_SPEEDUP, mean_answer_tokens=_NEVER)
        self._server = EngineServer(spec)

    async def start(self) -> None:
        await self._server.start()
        self.port = urlsplit(self._server.url).port or 0

    async def kill(self) -> None:
        await self._server.apply(FaultCommand("die"))

    async def revive(self) -> None:
        await self._server.apply(FaultCommand("none"))

    async def stop(self) -> None:
        await self._server.stop()


class LlamaCppEngine(Engine):
    """A real server of a tiny random model, as ``tests/engines/llamacpp`` has it."""

    def __init__(self, directory: Path, number: int) -> None:
        self._model = directory / "tiny.gguf"
        self._log = directory / f"engine{number}.log"
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        if not self._model.exists():
            maker = str(_LLAMACPP / "tiny_model.py")
            await asyncio.to_thread(
                subprocess.run, [sys.executable, maker, str(self._model)], check=True
            )
        await asyncio.to_thread(self._start)
        await self._until_ready()

    def _start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    str(_LLAMACPP / "server.py"),
                    str(self._model),
                    str(self.port),
                    "shared",
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("listening "):
                self.port = urlsplit(line.split()[1]).port or 0
                return

    async def _until_ready(self) -> None:
        async with asyncio.timeout(_START_S), aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{self.url}/health") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(_POLL_S)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    async def revive(self) -> None:
        await self.start()

    async def stop(self) -> None:
        await self.kill()
