"""Runs a command of the operator's, which starts and stops endpoints wherever they are.

It is run without a shell, with what is to be done behind its own words:

    COMMAND list           what there is, one JSON object a line
    COMMAND start COUNT    start so many more; need not wait until they serve
    COMMAND stop NAME      stop that one, to which nothing is sent any more

A line of ``list`` has ``name``, ``url`` once it is known, ``ready`` (true: it serves), and, where
the command has an order of its own, ``turn``: whom it will stop first has the least.
``"removable": false`` is of whom it cannot stop. PENSTOCK_POOL and PENSTOCK_DESIRED are in its
environment. Status 0 is success; what it wrote to its standard error is the reason else.
"""

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any, ClassVar, Final

import msgspec

from penstock.config.document.endpoint_url import parse_endpoint_url
from penstock.control.scale.actuator import Actuator, ActuatorError, Tools, Unit
from penstock.core.snapshot import Endpoint, Scale

_MOST_BYTES: Final = 1 << 20  # of what it says
_MOST_SHOWN: Final = 300
_MOST_UNITS: Final = 10_000
_END_S: Final = 5.0  # for one that was killed
_LIST_EVERY_S: Final = 10.0  # when nothing is under way


class _Line(msgspec.Struct):
    name: str
    url: str = ""
    ready: bool = False
    removable: bool = True
    turn: int = 0


class Command(Actuator):
    name: ClassVar[str] = "command"

    def __init__(self, pool: str, rules: Scale, options: dict[str, Any], tools: Tools) -> None:
        super().__init__(pool, rules, options, tools)
        self._units: dict[str, Unit] = {}
        self._stopping: set[str] = set()
        self._desired = 0
        self._listed_at = -_LIST_EVERY_S

    def units(self) -> list[Unit]:
        return list(self._units.values())

    def tell(self, desired: int) -> None:
        self._desired = desired

    async def look(self) -> None:
        now = self.tools.clock()
        moving = any(each.state in ("starting", "stopping") for each in self._units.values())
        if not moving and now - self._listed_at < _LIST_EVERY_S:
            return
        said = await self._run("list")
        self._listed_at = now
        found: dict[str, Unit] = {}
        for number, text in enumerate(said.splitlines(), start=1):
            if text.strip():
                unit = self._unit(text, number, now)
                found[unit.name] = unit
        if len(found) > _MOST_UNITS:
            raise ActuatorError(f"it lists {len(found)} endpoints; at most {_MOST_UNITS} can be")
        self._stopping &= found.keys()
        self._units = found

    async def start(self, count: int) -> None:
        await self._run("start", str(count))
        self._listed_at = -_LIST_EVERY_S

    async def stop(self, name: str) -> None:
        self._stopping.add(name)
        if name in self._units:
            self._units[name].state = "stopping"
        await self._run("stop", name)
        self._listed_at = -_LIST_EVERY_S

    def _unit(self, text: bytes, number: int, now: float) -> Unit:
        try:
            line = msgspec.json.decode(text, type=_Line)
            endpoint = self._endpoint(line) if line.url else None
        except (msgspec.DecodeError, ValueError) as error:
            raise ActuatorError(f"line {number} of its list is not understood: {error}") from error
        before = self._units.get(line.name)
        unit = Unit(line.name, "starting", now if before is None else before.since)
        unit.turn, unit.removable = line.turn, line.removable
        if line.ready and endpoint is not None:
            unit.state = "ready"
            unit.endpoint = endpoint
            unit.ready_at = now
            if before is not None and before.state == "ready":
                unit.ready_at = before.ready_at
        if line.name in self._stopping:
            unit.state = "stopping"
        return unit

    def _endpoint(self, line: _Line) -> Endpoint:
        url = parse_endpoint_url(line.url)
        return Endpoint(
            name=line.name,
            host=url.host,
            port=url.port,
            tls=url.tls,
            http2=url.http2,
            base_path=url.base_path,
            max_in_flight=self.rules.max_in_flight,
        )

    async def _run(self, *words: str) -> bytes:
        """What it says. Raises ActuatorError."""
        command = [*self.options["command"], *words]
        added = {
            **self.options["environment"],
            "PENSTOCK_POOL": self.pool,
            "PENSTOCK_DESIRED": str(self._desired),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.options["directory"],
                env={**os.environ, **added},
                process_group=0,
            )
        except OSError as error:
            raise ActuatorError(f"{command[0]} cannot be run: {error.strerror or error}") from error
        reading = [asyncio.create_task(_bounded(each)) for each in _outputs(process)]
        try:
            async with asyncio.timeout(self.options["timeout"]):
                said, complained = await asyncio.gather(*reading)
                await process.wait()
        except TimeoutError as error:
            raise ActuatorError(
                f"`{words[0]}` took longer than its `timeout`, {self.options['timeout']:g} s"
            ) from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                for each in reading:
                    each.cancel()
                await asyncio.wait(reading)
                # Its end is not told before its pipes are empty (asyncio, Python 3.11.7).
                with suppress(TimeoutError):
                    async with asyncio.timeout(_END_S):
                        for stream in _outputs(process):
                            await _pass_over(stream)
                        await process.wait()
        if process.returncode:
            reason = complained.decode("utf-8", "replace").strip()[-_MOST_SHOWN:]
            status = process.returncode
            raise ActuatorError(
                f"`{words[0]}` ended with status {status}: {reason or 'no reason given'}"
            )
        return said


def _outputs(process: asyncio.subprocess.Process) -> list[asyncio.StreamReader]:
    assert process.stdout is not None
    assert process.stderr is not None
    return [process.stdout, process.stderr]


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    """All of it. Raises ActuatorError when it is too much."""
    said = b""
    while piece := await stream.read(65536):
        said += piece
        if len(said) > _MOST_BYTES:
            raise ActuatorError(f"it says more than {_MOST_BYTES} bytes")
    return said


async def _pass_over(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass
