"""Runtime files: who was whose worker, and whom a successor may send home."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from penstock.control.events import Events
from penstock.control.workers.holders import holders_of
from penstock.control.workers.takeover import (
    DIRECTORY_VARIABLE,
    Process,
    RuntimeFile,
    identify,
    is_running,
    runtime_directory,
)

PORT = 8080


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits to be ended."""
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def left_behind(directory: Path, supervisor: Process, worker: int, port: int = PORT) -> Path:
    """The file that a supervisor wrote."""
    file = directory / f"supervisor-{supervisor.pid}-{supervisor.started}.json"
    record = {
        "supervisor": msgspec.to_builtins(supervisor),
        "workers": [msgspec.to_builtins(identify(worker))],
        "places": [port],
    }
    file.write_bytes(msgspec.json.encode(record))
    return file


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    me = identify(os.getpid())
    assert is_running(me)
    assert not is_running(Process(me.pid, me.started + "0"))
    assert not is_running(Process(me.pid, ""))


async def test_orphans_on_our_ports_are_asked_to_finish(
    tmp_path: Path, events: Events, worker: subprocess.Popen[bytes], dead_pid: int
) -> None:
    file = left_behind(tmp_path, Process(dead_pid, "1"), worker.pid)
    runtime = RuntimeFile(tmp_path, events)
    assert runtime.may_share(PORT)
    assert not runtime.may_share(PORT + 1)
    assert worker.poll() is None, "they serve until ours are ready"
    await runtime.relieve_orphans([PORT, 9])
    assert worker.wait(5) == -15
    assert not file.exists()


async def test_orphans_elsewhere_are_left_alone_and_told_of(
    tmp_path: Path, events: Events, worker: subprocess.Popen[bytes], dead_pid: int
) -> None:
    left_behind(tmp_path, Process(dead_pid, "1"), worker.pid, port=9)
    await RuntimeFile(tmp_path, events).relieve_orphans([PORT])
    assert worker.poll() is None
    (event,) = events.recent(9)
    assert event.kind == "orphans.left"
    assert f"kill {worker.pid}" in event.message


async def test_workers_of_a_living_supervisor_are_nobodys_orphans(
    tmp_path: Path, events: Events, worker: subprocess.Popen[bytes]
) -> None:
    left_behind(tmp_path, identify(os.getppid()), worker.pid)
    runtime = RuntimeFile(tmp_path, events)
    assert not runtime.may_share(PORT)
    assert runtime.owner(PORT) == os.getppid()
    await runtime.relieve_orphans([PORT])
    assert worker.poll() is None


def test_files_of_supervisors_whose_workers_ended_are_cleared_away(
    tmp_path: Path, events: Events, dead_pid: int
) -> None:
    file = left_behind(tmp_path, Process(dead_pid, "1"), dead_pid)
    assert not RuntimeFile(tmp_path, events).may_share(PORT)
    assert not file.exists()


def test_what_we_write_a_successor_reads(tmp_path: Path, events: Events) -> None:
    ours = RuntimeFile(tmp_path, events)
    ours.write([os.getpid()], [PORT])
    assert RuntimeFile(tmp_path, events).owner(PORT) == os.getpid()
    ours.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_told_of_and_ignored(tmp_path: Path, events: Events) -> None:
    (tmp_path / "supervisor-1-1.json").write_text("{")
    assert RuntimeFile(tmp_path, events).owner(PORT) == 0
    assert [event.kind for event in events.recent(9)] == ["runtime_file"]


def test_the_directory_is_made_for_us_alone(
    tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "run"))
    directory = runtime_directory(events)
    assert directory == tmp_path / "run"
    assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_can_write_to_is_not_trusted(
    tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes there could have us end any process."""
    tmp_path.chmod(0o777)
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    assert runtime_directory(events) is None
    (event,) = events.recent(9)
    assert "others can write to it" in event.message


async def test_workers_of_another_configuration_are_not_taken_over(
    tmp_path: Path, events: Events, worker: subprocess.Popen[bytes], dead_pid: int
) -> None:
    left_behind(tmp_path, Process(dead_pid, "1"), worker.pid)  # of a start without a file
    runtime = RuntimeFile(tmp_path, events, "/etc/penstock/other.yaml")
    assert not runtime.may_share(PORT)
    await runtime.relieve_orphans([PORT])
    assert worker.poll() is None
    assert f"kill {worker.pid}" in events.recent(1)[0].message


_LISTENS = """
import socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_who_holds_a_port_is_told_and_how_to_end_it() -> None:
    for title, told in (
        (
            "penstock.dataplane.worker",
            "workers of a Penstock whose supervisor is dead listen there",
        ),
        ("server", "listens there"),
    ):
        command = [sys.executable, "-c", _LISTENS, title]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            said = holders_of(port)
            assert told in said
            assert str(process.pid) in said
            process.kill()
    assert holders_of(1) == ""
