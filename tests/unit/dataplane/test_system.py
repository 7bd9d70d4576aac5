"""Clients are accepted the same way in both forms, without an exception where nobody waits."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.dataplane.io.system import System


@pytest.fixture
def system() -> System:
    return System()


def listen(family: int, address: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind(address)
    made.listen()
    made.setblocking(False)
    return made


@pytest.fixture(params=["127.0.0.1", "::1", "unix"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    where = {
        "127.0.0.1": (socket.AF_INET, ("127.0.0.1", 0)),
        "::1": (socket.AF_INET6, ("::1", 0)),
        "unix": (socket.AF_UNIX, str(tmp_path / "socket")),
    }[request.param]
    try:
        made = listen(*where)
    except OSError:
        pytest.skip(f"no {request.param} here")
    yield made
    made.close()


def connect(listening: socket.socket) -> socket.socket:
    made = socket.socket(listening.family, socket.SOCK_STREAM)
    made.connect(listening.getsockname())
    return made


def test_nobody_waits(system: System, listening: socket.socket) -> None:
    assert system.accept(listening) is None


def test_who_waits_is_accepted_with_host_and_port(system: System, listening: socket.socket) -> None:
    with connect(listening) as client:
        accepted = system.accept(listening)
        assert accepted is not None
        sock, address = accepted
        if listening.family == socket.AF_UNIX:
            assert address == ("127.0.0.1", 0)
        else:
            assert address == client.getsockname()[:2]
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        client.sendall(b"x")
        assert sock.recv(1) == b"x"
        assert sock.fileno() >= 0
        sock.close()


def test_what_is_accepted_sends_at_once(system: System, listening: socket.socket) -> None:
    """The option is the listening socket's, and inherited."""
    system.prepare_listening(listening)
    with connect(listening):
        accepted = system.accept(listening)
        assert accepted is not None
        if listening.family != socket.AF_UNIX:
            assert accepted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        accepted[0].close()


def test_a_socket_that_is_no_listener_is_an_error(system: System) -> None:
    with socket.socket() as unbound:
        unbound.setblocking(False)
        with pytest.raises(OSError, match="Invalid argument"):
            system.accept(unbound)
