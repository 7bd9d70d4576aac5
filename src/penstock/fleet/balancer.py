"""`penstock serve` as a child process, with a temporary configuration."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import yaml

_START_S = 30.0
_STOP_S = 15.0
_POLL_S = 0.05


class BalancerError(Exception):
    """The balancer did not start, or went away. The message carries what it last said."""


class ChildProcess(Protocol):
    """What is asked of a process; asyncio's has it all."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    async def wait(self) -> int: ...


class BalancerProcess:
    """A running balancer: ``url`` takes requests, ``admin_url`` tells how it is.

    The system chooses the ports; what they are is read from the balancer's own log.
    """

    def __init__(self, process: ChildProcess, log: Path):
        self._process = process
        self._log = log
        self.url = ""
        self.admin_url = ""

    @property
    def pid(self) -> int:
        """Of the running supervisor, else 0."""
        return self._process.pid if self._process.returncode is None else 0

    async def status(self, session: aiohttp.ClientSession) -> dict[str, Any]:
        """What ``/api/v1/status`` says. Raises aiohttp.ClientError when it does not answer."""
        async with session.get(f"{self.admin_url}/api/v1/status") as response:
            response.raise_for_status()
            status: dict[str, Any] = await response.json()
            return status

    async def stop(self) -> int:
        """End it in order, by force when it takes too long; its exit status."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            return await self._process.wait()

    async def wait_until_ready(self) -> None:
        """Return when the admin address says ready. Raises BalancerError when it will not."""
        deadline = asyncio.get_running_loop().time() + _START_S
        async with aiohttp.ClientSession() as session:
            while not await self._is_ready(session):
                if self._process.returncode is not None:
                    raise BalancerError(f"the balancer did not start:\n{self._last_words()}")
                if asyncio.get_running_loop().time() > deadline:
                    await self.stop()
                    raise BalancerError(
                        f"the balancer was not ready after {_START_S:.0f} s:\n{self._last_words()}"
                    )
                await asyncio.sleep(_POLL_S)

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        if not self.url:
            self._find_addresses()
        if not self.url or not self.admin_url:
            return False
        try:
            async with session.get(f"{self.admin_url}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def _find_addresses(self) -> None:
        for line in self._log.read_text(errors="replace").splitlines():
            if not (line.startswith('{"time"') and line.endswith("}")):
                continue  # being written, or no event
            event = json.loads(line)
            if event["event"] == "admin":
                self.admin_url = event["url"]
            elif event["event"] == "started":
                self.url = event["addresses"].split(", ")[0]

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])


async def _tethered(file: Path, log: Path) -> ChildProcess:
    """``penstock serve`` as an interpreter of its own, which ends with this process."""
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "penstock.fleet.tethered",
            "serve",
            "--config",
            str(file),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PENSTOCK_LOG_FORMAT": "json"},  # its events tell the ports
            # Ctrl-C is for the parent, which then ends it in order; a session of its own would be
            # a scheduler group too (sched(7), autogroup).
            process_group=0,
        )


async def start_balancer(
    directory: Path,
    configuration: Mapping[str, Any],
    *,
    serve: Callable[[Path, Path], Awaitable[ChildProcess]] = _tethered,
) -> BalancerProcess:
    """Serve ``configuration`` (``listen`` and ``admin`` are added: loopback, any free ports).

    ``directory`` takes the configuration file and the log, with which ``serve`` starts a process
    that logs as JSON. Raises BalancerError.
    """
    document = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", **configuration}
    file, log = directory / "penstock.yaml", directory / "penstock.log"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    balancer = BalancerProcess(await serve(file, log), log)
    try:
        await balancer.wait_until_ready()
    except BaseException:
        await balancer.stop()
        raise
    return balancer


def temporary_directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="penstock-")
