"""What systemd is told, and whose the sockets are that it gives."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from penstock.control.events import Events
from penstock.control.service_manager import (
    ActivationError,
    ServiceManager,
    assign,
    given_sockets,
)
from penstock.control.workers.sockets import ListeningSockets, listen_key
from tests.unit.control.worlds import listener

UNITS = Path("deploy/systemd")


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Stands for systemd: the next thing that it is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(20.0)
        yield lambda: sock.recv(4096).decode()


def test_it_is_told_of_each_state(tmp_path: Path, told: Callable[[], str]) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    manager.ready()
    assert told() == "READY=1"
    manager.reloading()
    assert told().startswith("RELOADING=1\nMONOTONIC_USEC=")
    manager.succeeded_by(4711)
    assert told() == "MAINPID=4711"
    manager.stopping()
    assert told() == "STOPPING=1"


async def test_the_watchdog_is_fed_in_time(tmp_path: Path, told: Callable[[], str]) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000"}
    watching = asyncio.create_task(ServiceManager(environment).watch())
    for _ in range(3):
        assert await asyncio.to_thread(told) == "WATCHDOG=1"
    watching.cancel()


def test_without_systemd_nothing_is_told_and_nothing_given() -> None:
    ServiceManager({}).ready()
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready()
    assert given_sockets({}) == {}
    assert given_sockets({"LISTEN_FDS": "1", "LISTEN_PID": "1"}) == {}, "another process is meant"


def test_sockets_come_by_name_and_only_once() -> None:
    made = socket.create_server(("127.0.0.1", 0))
    first = os.dup(made.fileno())
    environment = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "main"}
    given = given_sockets(environment, first)
    assert environment == {}, "no child takes them for its own"
    assert given["main"].getsockname() == made.getsockname()
    assert not os.get_inheritable(first)
    given["main"].close()
    made.close()


def test_each_worker_has_a_socket_where_the_port_can_be_shared(events: Events) -> None:
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(("127.0.0.1", 0))
        made.listen()
        port = made.getsockname()[1]
        main = listener("main", port)
        sockets = ListeningSockets(2, handed=assign({"main": made.dup()}, [main], 2, events))
        sockets.open([main])
        assert sockets.address(main)[1] == port
        assert sockets.of_worker(main, 0) is not sockets.of_worker(main, 1)
        sockets.close_all()


def test_without_that_all_share_one(events: Events) -> None:
    made = socket.create_server(("127.0.0.1", 0))
    main = listener("main", made.getsockname()[1])
    handed = assign({"unnamed-0": made}, [main], 2, events)
    inodes = {os.fstat(sock.fileno()).st_ino for sock in handed[listen_key(main)].sockets}
    assert len(handed[listen_key(main)].sockets) == 2
    assert len(inodes) == 1
    for sock in handed[listen_key(main)].sockets:
        sock.close()


def test_datagrams_of_several_workers_need_it(events: Events) -> None:
    arena = replace(listener("arena", 7), protocol="udp")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made,
        pytest.raises(ActivationError, match="ReusePort=yes is needed"),
    ):
        assign({"arena": made}, [arena], 2, events)


def test_a_socket_of_the_wrong_kind_is_refused(events: Events) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made,
        pytest.raises(ActivationError, match="ListenStream= is needed"),
    ):
        assign({"main": made}, [listener("main", 7)], 1, events)


def test_what_is_nobodys_is_closed_and_told(events: Events) -> None:
    made = socket.create_server(("127.0.0.1", 0))
    assert assign({"other": made}, [listener("a", 7), listener("b", 8)], 1, events) == {}
    assert made.fileno() == -1
    assert "is to be one of a, b, or admin" in events.recent(1)[0].message


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_units_are_understood(tmp_path: Path) -> None:
    """By systemd's own check, with a program that is there."""
    for unit in ("penstock.service", "penstock.socket"):
        text = (UNITS / unit).read_text().replace("/opt/penstock/bin/penstock", "/bin/true")
        (tmp_path / unit).write_text(text)
    units = [str(tmp_path / unit) for unit in ("penstock.service", "penstock.socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    said = [line for line in done.stderr.splitlines() if "penstock" in line]
    assert said == []
