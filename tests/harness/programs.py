"""Real programs of a test: Penstock as people run it, uvicorn, nginx, HAProxy."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.harness.waiting import wait_until

_START_S = 30.0  # two interpreters on a busy machine
_STOP_S = 15.0
# Where system packages put servers, which is not on every user's path.
_SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class Program:
    """A running process whose output is kept. The ``with`` block ends it in order."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                pass_fds=descriptors,
                process_group=0,
            )

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what it prints. Raises AssertionError when it ends before."""

        def is_there() -> bool:
            assert self.process.poll() is None, f"it ended:\n{self.output}"
            return re.search(pattern, self.output) is not None

        wait_until(is_there, f"it printed {pattern!r}", timeout_s=_START_S)
        found = re.search(pattern, self.output)
        assert found is not None
        return found

    def stop(self) -> int:
        """SIGTERM and its exit status; SIGKILL for whatever does not end."""
        self.process.terminate()
        try:
            return self.process.wait(_STOP_S)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class Balancer(Program):
    """``penstock serve`` with a configuration file. ``urls`` are those of its listeners."""

    def __init__(self, directory: Path, document: Mapping[str, Any]) -> None:
        file = directory / "penstock.yaml"
        file.write_text(json.dumps(document))  # JSON is YAML
        command = [sys.executable, "-m", "penstock", "serve", "--config", str(file)]
        super().__init__(command, directory / "penstock.log")
        try:
            started = self.wait_for(r'.*"event": ?"started".*')
        except BaseException:
            self.stop()
            raise
        self.urls: list[str] = re.findall(
            r"https?://[^\s,\"]+", json.loads(started[0])["addresses"]
        )


class Uvicorn(Program):
    """uvicorn with ``tests.harness.inference_app``, which tells ``name`` in every answer."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        command = [sys.executable, "-m", "uvicorn", "tests.harness.inference_app:app"]
        command += ["--port", "0", "--no-access-log"]
        super().__init__(command, directory / f"{name}.log", environment={"SERVER_NAME": name})
        try:
            self.url = self.wait_for(r"running on (http://\S+)")[1]
        except BaseException:
            self.stop()
            raise


class Nginx(Program):
    """nginx that serves the files of ``directory / "files"``, unless ``server`` says what it does.

    ``options`` are those of its ``listen``.
    """

    def __init__(self, directory: Path, options: str = "", server: str = "") -> None:
        binary = program("nginx")
        (directory / "files").mkdir(exist_ok=True)
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
            port = listening.getsockname()[1]
            self.port: int = port
            self.url = f"http://127.0.0.1:{port}"
            file = directory / "nginx.conf"
            server = server or f"root {directory};"
            file.write_text(_nginx_configuration(directory, f"{port} {options}", server))
            super().__init__(
                [binary, "-p", str(directory), "-e", "stderr", "-c", str(file)],
                directory / "nginx.log",
                # A listening socket is handed over as to the next version of the binary, so that
                # its port is free and known.
                environment={"NGINX": f"{listening.fileno()};"},
                descriptors=[listening.fileno()],
            )


class HaProxy(Program):
    """HAProxy with one proxy, which listens on ``port``; ``lines`` say what it does with it."""

    def __init__(self, directory: Path, mode: str, bind: str, *lines: str) -> None:
        binary = program("haproxy")
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
            self.port: int = listening.getsockname()[1]
            said = [
                "defaults",
                f"mode {mode}",
                "timeout connect 10s",
                "timeout client 30s",
                "timeout server 30s",
                "listen one",
                f"bind fd@{listening.fileno()} {bind}",
                *lines,
            ]
            file = directory / "haproxy.cfg"
            file.write_text("\n".join(said) + "\n")
            super().__init__(
                [binary, "-db", "-f", str(file)],
                directory / "haproxy.log",
                descriptors=[listening.fileno()],
            )


def program(name: str) -> str:
    """The path of an installed program; the test is skipped where there is none."""
    found = shutil.which(name, path=_SYSTEM_PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _nginx_configuration(directory: Path, listen: str, server: str) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "\n".join([f"{kind}_temp_path {directory}/{kind};" for kind in kinds])
    user = "user root root;" if os.geteuid() == 0 else ""
    return f"""\
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    {paths}
    access_log off;
    server {{
        listen 127.0.0.1:{listen};
        {server}
    }}
}}
"""
