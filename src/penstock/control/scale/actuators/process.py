"""Starts and stops local commands: engines, or ``penstock emulate``.

Each gets a port of its own, and is in use once it answers. It is ended by SIGTERM after its streams
have ended, and by SIGKILL where it does not go. What a balancer that died left running is taken
over by the next one, as far as the state directory says which they are: a process is the same only
if it has the same number and began at the same time. Others are never ended.
"""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from penstock.control.scale.actuator import Actuator, ActuatorError, Tools, Unit
from penstock.core.snapshot import Endpoint, Scale

_PROBE_S: Final = 0.5
_POLL_S: Final = 0.1  # between two looks whether a process has ended
_FILE_VERSION: Final = 1
_BEGAN: Final = 21  # of /proc/PID/stat, counted from 0 and in clock ticks (proc(5))


class _Kept(msgspec.Struct):
    """A process as the state directory knows it."""

    name: str
    pid: int
    began: int  # 0: not known
    port: int
    ready: bool = False
    stopping: bool = False  # told to end, and not gone yet


class _Running:
    """A process and its unit. ``process`` is None of one that was taken over."""

    def __init__(self, unit: Unit, port: int) -> None:
        self.unit = unit
        self.port = port
        self.pid = 0
        self.began = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.task: asyncio.Task[None] | None = None
        self.stopping = False


class Process(Actuator):
    name: ClassVar[str] = "process"
    makes: ClassVar[tuple[str, ...]] = ("command", "environment", "directory", "host")

    def __init__(self, pool: str, rules: Scale, options: dict[str, Any], tools: Tools) -> None:
        super().__init__(pool, rules, options, tools)
        self._running: dict[str, _Running] = {}
        self._made = 0
        self._file = f"processes.{pool}"
        self._knows = False  # what the balancer before this one left running

    def units(self) -> list[Unit]:
        return [each.unit for each in self._running.values()]

    async def look(self) -> None:
        if self._knows:
            return
        if not self.alone:  # they are its, as long as it lives
            raise ActuatorError("another balancer that shares the state directory has started them")
        self._knows = True
        self._take_over()

    async def start(self, count: int) -> None:
        for _ in range(count):
            await self._start_one()

    async def stop(self, name: str) -> None:
        running = self._running.get(name)
        if running is None or running.stopping:
            return
        running.stopping = True
        running.unit.state = "stopping"
        self._remember()
        self.tools.background.begin(f"stopping {name}", self._end(running))

    def forget(self, name: str) -> None:
        running = self._running.get(name)
        if running is not None and running.unit.state == "failed" and not running.stopping:
            del self._running[name]

    async def close(self) -> None:
        endings = []
        for running in self._running.values():
            if not running.stopping:
                running.stopping = True
                endings.append(self._end(running))
        await asyncio.gather(*endings)

    # --- starting ---------------------------------------------------------------------------

    async def _start_one(self) -> None:
        name = self._free_name()
        port = self._free_port()
        words = {"port": str(port), "name": name}
        command = [_filled(word, words) for word in self.options["command"]]
        added = {key: _filled(value, words) for key, value in self.options["environment"].items()}
        unit = Unit(name, "starting", self.tools.clock())
        running = _Running(unit, port)
        try:
            process = self._spawn(command, added, name)
        except OSError as error:
            raise ActuatorError(
                f"{command[0]} cannot be started: {error.strerror or error}"
            ) from error
        running.process = process
        running.pid, running.began = process.pid, _began(process.pid)
        self._running[name] = running
        self._remember()
        self.tools.events.info(
            "scale.process",
            f"endpoint {self.pool}/{name} is started: process {process.pid}, port {port}",
            pool=self.pool,
            endpoint=name,
        )
        running.task = self.tools.background.begin(f"watching {name}", self._watch(running))

    def _spawn(
        self, command: list[str], added: Mapping[str, str], name: str
    ) -> subprocess.Popen[bytes]:
        """Not by asyncio, which kills at its end what still runs; a successor goes on with it."""
        log = self.options["log"]
        out: Any = subprocess.DEVNULL
        if log:
            out = Path(_filled(log, {"name": name})).open("ab")  # noqa: SIM115
        try:
            return subprocess.Popen(  # noqa: S603 - the operator's
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT if log else subprocess.DEVNULL,
                cwd=self.options["directory"],
                env={**os.environ, **added},
                # Ctrl-C is for the balancer, which ends it in order.
                process_group=0,
            )
        finally:
            if log:
                out.close()

    async def _watch(self, running: _Running) -> None:
        """Until it serves, and from then on until it ends."""
        unit = running.unit
        tools = self.tools
        endpoint = self._endpoint(unit.name, running.port)
        ended = asyncio.ensure_future(self._ended(running))
        try:
            why = "it was not asked yet"
            while unit.state == "starting" and not ended.done():
                why = await tools.probe(endpoint, self.options["ready"])
                if not why:
                    break
                if tools.clock() - unit.since > self.rules.start_timeout_s:
                    self._fail(running, f"did not serve within its `start_timeout`: {why}")
                    await self._end(running)
                    return
                await asyncio.wait({ended}, timeout=_PROBE_S)
            if not ended.done() and unit.state == "starting":
                unit.endpoint = endpoint
                unit.ready_at = tools.clock()
                unit.state = "ready"
                self._remember()
            code = await ended
            if not running.stopping:
                self._fail(running, f"its process ended with status {code}")
                self._remember()
        finally:
            ended.cancel()

    def _fail(self, running: _Running, reason: str) -> None:
        running.unit.state = "failed"
        running.unit.reason = reason
        text = f"endpoint {self.pool}/{running.unit.name} {reason}"
        self.tools.events.error("scale.process", text, pool=self.pool, endpoint=running.unit.name)

    def _endpoint(self, name: str, port: int) -> Endpoint:
        return Endpoint(
            name=name,
            host=self.options["host"],
            port=port,
            max_in_flight=self.rules.max_in_flight,
        )

    def _free_name(self) -> str:
        while True:
            self._made += 1
            name = f"{self.pool}-{self._made}"
            if name not in self._running:
                return name

    def _free_port(self) -> int:
        first, last = self.options["ports"]
        taken = {each.port for each in self._running.values()}
        for port in range(first, last + 1):
            if port not in taken and _is_free(self.options["host"], port):
                return port
        raise ActuatorError(f"none of the `ports` {first}-{last} is free")

    # --- ending -----------------------------------------------------------------------------

    async def _end(self, running: _Running) -> None:
        running.stopping = True
        self._signal(running, signal.SIGTERM)
        try:
            async with asyncio.timeout(self.options["kill_after"]):
                await self._ended(running)
        except TimeoutError:
            text = f"endpoint {self.pool}/{running.unit.name} does not end: it is killed"
            self.tools.events.warning("scale.process", text, pool=self.pool)
            self._signal(running, signal.SIGKILL)
            await self._ended(running)
        if running.unit.state == "failed":
            running.stopping = False  # it stands there until it is forgotten
        else:
            self._running.pop(running.unit.name, None)
        self._remember()

    def _signal(self, running: _Running, number: signal.Signals) -> None:
        """To that process and whatever it started beside itself, if it is still that one."""
        if running.process is not None and running.process.poll() is not None:
            return
        if running.process is None and not _is_same(running.pid, running.began):
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, number)

    async def _ended(self, running: _Running) -> int:
        if running.process is not None:
            while (code := running.process.poll()) is None:
                await self.tools.sleep(_POLL_S)
            return code
        while _is_same(running.pid, running.began):
            await self.tools.sleep(_POLL_S)
        return 0

    # --- over the end of this balancer ------------------------------------------------------

    def _remember(self) -> None:
        kept = [
            _Kept(
                each.unit.name,
                each.pid,
                each.began,
                each.port,
                ready=each.unit.state == "ready",
                stopping=each.stopping or each.unit.state == "failed",
            )
            for each in self._running.values()
            if each.began
        ]
        self.tools.files.write(self._file, _FILE_VERSION, kept)

    def _take_over(self) -> None:
        """Go on with what the balancer before this one left running."""
        found: list[_Kept] | None = self.tools.files.read(self._file, _FILE_VERSION, list[_Kept])
        for kept in found or []:
            if kept.name in self._running or not _is_same(kept.pid, kept.began):
                continue
            unit = Unit(kept.name, "starting", self.tools.clock())
            if kept.ready:  # in use all the time: it is not to leave the pool for a moment
                unit.state = "ready"
                unit.endpoint = self._endpoint(kept.name, kept.port)
            running = _Running(unit, kept.port)
            running.pid, running.began = kept.pid, kept.began
            self._running[kept.name] = running
            if kept.stopping:
                unit.state = "stopping"
                running.stopping = True
                self.tools.background.begin(f"stopping {kept.name}", self._end(running))
                continue
            text = f"endpoint {self.pool}/{kept.name} runs already: process {kept.pid}"
            self.tools.events.info("scale.process", text, pool=self.pool)
            running.task = self.tools.background.begin(
                f"watching {kept.name}", self._watch(running)
            )


def _filled(text: str, words: Mapping[str, str]) -> str:
    for key, value in words.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
    return True


def _began(pid: int) -> int:
    """When a process began, by the system's clock; 0 where that cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        fields = stat.rpartition(")")[2].split()  # its name may hold anything
        if fields[0] in "ZX":
            return 0
        return int(fields[_BEGAN - 2])
    except (OSError, ValueError, IndexError):
        return 0


def _is_same(pid: int, began: int) -> bool:
    return began > 0 and _began(pid) == began
