"""Actuators with real processes: few, and short."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from penstock.control.background import BackgroundTasks
from penstock.control.events import Events
from penstock.control.scale.actuator import ActuatorError, Tools
from penstock.control.scale.actuators import actuators
from penstock.control.scale.actuators.command import Command
from penstock.control.scale.actuators.process import Process
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Endpoint, Scale
from tests.unit.control.waiting import until

RULES = Scale(max=4, start_timeout_s=20.0)
LISTENS = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
    "time.sleep(60)"
)


async def connects(endpoint: Endpoint, path: str) -> str:
    try:
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except OSError as error:
        return str(error)
    writer.close()
    return ""


def tools(events: Events, directory: Path | None = None) -> Tools:
    files = StateFiles(directory, events)
    return Tools(events, BackgroundTasks(events), files, monotonic, asyncio.sleep, connects)


def processes(made: Tools, *command: str, ports: tuple[int, int] | None = None) -> Process:
    first, last = ports or (free_port(), 0)
    options: dict[str, Any] = {
        "command": list(command or (sys.executable, "-c", LISTENS, "{port}")),
        "ports": [first, last or first],
        "host": "127.0.0.1",
        "ready": "tcp",
        "environment": {},
        "directory": None,
        "log": None,
        "kill_after": 5.0,
    }
    return Process("main", RULES, options, made)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_they_are_found_by_name() -> None:
    assert {"command", "process", "publish"} <= set(actuators())


class TestProcess:
    async def test_one_is_ready_once_it_listens_and_ends_when_told(self, events: Events) -> None:
        actuator = processes(tools(events))
        await actuator.start(1)
        (unit,) = actuator.units()
        assert unit.state == "starting"
        await until(lambda: unit.state == "ready", "it listens")
        assert unit.endpoint is not None
        await actuator.stop(unit.name)
        await until(lambda: actuator.units() == [], "it ends")

    async def test_one_that_ends_by_itself_has_failed_with_its_status(self, events: Events) -> None:
        actuator = processes(tools(events), sys.executable, "-c", "raise SystemExit(7)")
        await actuator.start(1)
        (unit,) = actuator.units()
        await until(lambda: unit.state == "failed", "it is noticed")
        assert "status 7" in unit.reason
        actuator.forget(unit.name)
        assert actuator.units() == []

    async def test_what_cannot_be_started_says_why(self, events: Events) -> None:
        with pytest.raises(ActuatorError, match="/no/such/engine cannot be started: No such file"):
            await processes(tools(events), "/no/such/engine").start(1)

    async def test_a_port_in_use_is_passed_over(self, events: Events) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = int(other.getsockname()[1])
            actuator = processes(tools(events), ports=(port, port))
            with pytest.raises(ActuatorError, match="none of the `ports`"):
                await actuator.start(1)

    async def test_the_next_balancer_takes_over_what_runs(
        self, events: Events, tmp_path: Path
    ) -> None:
        first = processes(tools(events, tmp_path))
        await first.start(1)
        (began,) = first.units()
        await until(lambda: began.state == "ready", "it listens")
        pid = first._running["main-1"].pid
        second = processes(tools(events, tmp_path))
        await second.look()
        (unit,) = second.units()
        assert (unit.state, unit.ready_at) == ("ready", 0.0)  # without a moment's absence
        assert (unit.name, runs(pid)) == ("main-1", True)
        await second.close()
        assert second.units() == []
        await until(lambda: not runs(pid), "it ended")

    async def test_the_next_balancer_ends_what_was_told_to_end(
        self, events: Events, tmp_path: Path
    ) -> None:
        made = tools(events, tmp_path)
        deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + LISTENS
        first = processes(made, sys.executable, "-c", deaf, "{port}")
        await first.start(1)
        (began,) = first.units()
        await until(lambda: began.state == "ready", "it listens")
        await first.stop(began.name)
        await made.background.stop()  # a successor has taken over
        process = first._running["main-1"].process
        assert process is not None
        second = processes(tools(events, tmp_path))
        second.options["kill_after"] = 0.1
        await second.look()
        (unit,) = second.units()
        assert (unit.name, unit.state) == ("main-1", "stopping")
        await until(lambda: second.units() == [], "it ended")
        assert process.wait() == -signal.SIGKILL

    async def test_a_process_with_the_number_of_another_is_left_alone(
        self, events: Events, tmp_path: Path
    ) -> None:
        made = tools(events, tmp_path)
        kept = [{"name": "main-1", "pid": os.getpid(), "began": 1, "port": 9}]
        made.files.write("processes.main", 1, kept)
        next_one = processes(made)
        await next_one.look()
        assert next_one.units() == []


def script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "fleet.sh"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return [str(path)]


def commands(events: Events, command: list[str], timeout: float = 10.0) -> Command:
    options = {"command": command, "timeout": timeout, "environment": {"X": "1"}, "directory": None}
    return Command("main", RULES, options, tools(events))


class TestCommand:
    async def test_it_is_told_what_to_do_by_arguments_and_environment(
        self, events: Events, tmp_path: Path
    ) -> None:
        said = tmp_path / "said"
        command = script(tmp_path, f'echo "$PENSTOCK_POOL $PENSTOCK_DESIRED $X $*" >> {said}\n')
        actuator = commands(events, command)
        actuator.tell(3)
        await actuator.start(2)
        await actuator.stop("gpu 7; rm -rf /")
        assert said.read_text() == "main 3 1 start 2\nmain 3 1 stop gpu 7; rm -rf /\n"

    async def test_what_it_lists_is_there(self, events: Events, tmp_path: Path) -> None:
        lines = [
            '{"name": "a", "url": "http://127.0.0.1:9001", "ready": true, "turn": -1}',
            '{"name": "b", "removable": false}',
        ]
        body = "".join(f"echo '{line}'\n" for line in lines)
        actuator = commands(events, script(tmp_path, body))
        await actuator.look()
        a, b = actuator.units()
        assert (a.state, a.turn, a.endpoint and a.endpoint.port) == ("ready", -1, 9001)
        assert (b.state, b.removable) == ("starting", False)

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ("echo no quota >&2; exit 3\n", "`list` ended with status 3: no quota"),
            ("echo nonsense\n", "line 1 of its list is not understood"),
            ("sleep 30\n", "longer than its `timeout`"),
            ("yes | head -c 3000000\n", "more than 1048576 bytes"),
        ],
    )
    async def test_what_goes_wrong_is_said(
        self, events: Events, tmp_path: Path, body: str, why: str
    ) -> None:
        actuator = commands(events, script(tmp_path, body), timeout=0.5)
        with pytest.raises(ActuatorError, match=why):
            await actuator.look()
