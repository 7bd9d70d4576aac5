"""Child processes of the demo, the tests and the benchmarks: hosts of emulated servers."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
import msgspec

from penstock.fleet.faults import FaultCommand
from penstock.fleet.host import HostReady, ServerSpec
from penstock.fleet.ports import hold

_START_S = 20.0  # a Python process with its imports on a busy machine
_STOP_S = 5.0


class HostProcess:
    """Emulated servers in a process of their own, which ends when this one does."""

    def __init__(self, specs: Sequence[ServerSpec]) -> None:
        self._specs = tuple(specs)
        self._process: asyncio.subprocess.Process | None = None
        self._ready = HostReady("", ())
        self._held_ports: list[socket.socket] = []

    @property
    def urls(self) -> dict[str, str]:
        """The servers' base URLs by name; they stay the same when the process is revived."""
        return {server.name: server.url for server in self._ready.servers}

    @property
    def pid(self) -> int:
        """Of the running process, else 0."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else 0

    async def start(self) -> None:
        """Start, and return when every server listens. Raises RuntimeError when it does not."""
        self._hold_ports()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "penstock.fleet.host",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for the parent, which then ends it in order; a session of its own would be
            # a scheduler group too (sched(7), autogroup).
            process_group=0,
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(self._specs) + b"\n")
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _START_S)
        except TimeoutError:
            line = b""
        if not line:
            await self.kill()
            names = ", ".join(spec.name for spec in self._specs)
            raise RuntimeError(f"the process of the emulated servers {names} did not start")
        self._ready = msgspec.json.decode(line, type=HostReady)

    async def kill(self) -> None:
        """End it with SIGKILL, as a crash would; ``start`` revives it on the same ports."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await self._reap(process)

    async def stop(self) -> None:
        """End it in order, by force when it takes too long."""
        while self._held_ports:
            self._held_ports.pop().close()
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
        await self._reap(process)

    async def fault(self, name: str, command: FaultCommand) -> None:
        """Begin a fault of the server ``name``. Raises aiohttp.ClientError if it is refused."""
        url = f"{self._ready.control_url}/servers/{name}/fault"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=msgspec.json.encode(command)) as response,
        ):
            response.raise_for_status()

    def _hold_ports(self) -> None:
        """Free ones for all servers, which are theirs though the process is killed."""
        specs: list[ServerSpec] = []
        for spec in self._specs:
            if spec.port == 0:
                port, held = hold(spec.host, 0)
                if held is not None:
                    self._held_ports.append(held)
                spec = msgspec.structs.replace(spec, port=port)
            specs.append(spec)
        self._specs = tuple(specs)

    async def _reap(self, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        self._process = None
