"""Sockets of the file system, in front and behind, through the whole balancer."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness.balancer import Balancer
from tests.harness.waiting import PATIENCE_S, wait_until

Serve = Callable[[dict[str, Any]], Balancer]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class FileServer:
    """Answers every request, and keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.heads: list[bytes] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client, suppress(ConnectionError):  # whose worker was killed meanwhile
                head = b""
                while b"\r\n\r\n" not in head and (piece := client.recv(65536)):
                    head += piece
                if head:
                    self.heads.append(head)
                    client.sendall(HEAD)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short one: paths of sockets are."""
    with tempfile.TemporaryDirectory(prefix="ps-") as made:
        yield Path(made)


@pytest.fixture
def server(directory: Path) -> Iterator[FileServer]:
    running = FileServer(directory / "app")
    yield running
    running.close()


def ask(path: Path) -> bytes:
    """A request; the whole answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE_S)
        client.connect(str(path))
        client.sendall(b"GET /x HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer


def document(directory: Path) -> dict[str, Any]:
    """HTTP and TCP, from one socket file each, to the same server behind another."""
    return {
        "listeners": {
            "web": {"address": f"unix:{directory}/web", "pool": "web"},
            "raw": {"address": f"unix:{directory}/raw", "protocol": "tcp", "pool": "raw"},
        },
        "pools": {
            "web": {
                "endpoints": f"unix:{directory}/app",
                "health_check": {"path": "/health", "interval": "200ms"},
            },
            "raw": {"endpoints": f"tcp+unix:{directory}/app", "proxy_protocol": "v1"},
        },
    }


def test_requests_connections_and_checks_go_over_socket_files(
    serve: Serve, directory: Path, server: FileServer
) -> None:
    balancer = serve(document(directory)).wait_until_ready()
    name = f"unix:{directory}/app"
    wait_until(lambda: balancer.endpoint(name)["state"] == "up", "a check passed")
    check = next(head for head in server.heads if head.startswith(b"GET /health"))
    assert b"\r\nHost: localhost\r\n" in check

    server.heads.clear()
    assert ask(directory / "web").endswith(b"\r\n\r\nok")
    (asked,) = [head for head in server.heads if b" /x " in head]
    assert b"\r\nHost: site.example\r\n" in asked
    assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in asked

    server.heads.clear()
    assert ask(directory / "raw") == HEAD
    (relayed,) = [head for head in server.heads if b" /x " in head]
    assert relayed.startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 0 0\r\nGET /x HTTP/1.1\r\n")
    shown = [f"{each['scheme']} {each['address']}" for each in balancer.status()["listeners"]]
    assert shown == [f"http unix:{directory}/web", f"tcp unix:{directory}/raw"]


def test_killed_worker_and_dead_supervisor_leave_nobody_unserved(
    serve: Serve, directory: Path, server: FileServer
) -> None:
    balancer = serve(document(directory)).wait_until_ready()
    os.kill(balancer.worker_pids()[0], signal.SIGKILL)
    assert all(ask(directory / "web").endswith(b"ok") for _ in range(8))
    balancer.wait_for_event("worker.ready", 3)
    balancer.signal(signal.SIGKILL)
    balancer.wait_for_exit(-signal.SIGKILL)
    assert ask(directory / "web").endswith(b"ok")
    balancer.restart()
    assert ask(directory / "web").endswith(b"ok")
    balancer.stop()
    assert not (directory / "web").exists()
