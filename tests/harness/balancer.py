"""The whole balancer as people run it: ``penstock serve`` with a file, its signals, its admin."""

import contextlib
import json
import multiprocessing.context
import os
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.harness.client import Client
from tests.harness.forked import forked_serve
from tests.harness.log import whole_lines
from tests.harness.waiting import PATIENCE_S, wait_until

START_S = 30.0  # three interpreters on a busy machine

Document = Mapping[str, Any]


class Balancer:
    """Writes ``document`` to a file and serves it. Leaving the context ends all its processes.

    Unless the document says otherwise there are one listener and the admin server on ports that
    the system chooses, and two workers.
    """

    def __init__(self, directory: Path, document: Document) -> None:
        self.file = directory / "penstock.yaml"
        self.log = directory / "penstock.log"
        self._runtime = directory / "run"
        self._worker_pids: set[int] = set()
        self._clients: list[Client] = []
        admin = document.get("admin")
        self._token: str = admin.get("token", "") if isinstance(admin, Mapping) else ""
        self.write(document)
        self.process = self._spawn()
        self._successor = 0  # the pid of the newest, after an upgrade
        self._upgrades = 0

    def write(self, document: Document) -> None:
        """Change the file; ``reload`` makes it count."""
        defaults = {"admin": "127.0.0.1:0", "workers": 2}
        if "listeners" not in document:
            defaults["listen"] = "127.0.0.1:0"
        fresh = self.file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump({**defaults, **document}, sort_keys=False))
        fresh.replace(self.file)  # whole at any time: a reload asked for before may read it now

    def restart(self) -> None:
        """Start another supervisor on the same file, after the one before ended."""
        self.log.rename(self.log.with_suffix(".before"))
        self.process = self._spawn()
        self.wait_until_ready()

    def wait_until_ready(self) -> Self:
        def ready() -> bool:
            if not self.process.is_alive():
                raise AssertionError(f"it ended with {self.process.exitcode}:\n{self.said()}")
            return self.has_said("started")

        wait_until(ready, "the balancer serves", timeout_s=START_S)
        self.worker_pids()
        return self

    def begin_upgrade(self) -> None:
        """SIGUSR2: the same installation takes over from itself."""
        self.signal(signal.SIGUSR2)

    def wait_for_upgrade(self) -> int:
        """Return when the next successor serves: its pid, which signals go to from here on."""
        self._upgrades += 1
        self.wait_for_event("taken_over", self._upgrades)
        self.worker_pids()
        self._successor = self.status()["pid"]
        return self._successor

    def kill_supervisor(self) -> None:
        """SIGKILL to the one that signals go to."""
        self.signal(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Of the supervisor that serves."""
        assert self.process.pid is not None
        return self._successor or self.process.pid

    # --- what it says -----------------------------------------------------------------------

    def said(self) -> str:
        """Its standard output and error."""
        return self.log.read_text()

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Its log, or the events of one kind."""
        lines = [json.loads(line) for line in whole_lines(self.log) if line.startswith("{")]
        return [line for line in lines if not kind or line["event"] == kind]

    def has_said(self, kind: str) -> bool:
        return bool(self.events(kind))

    def wait_for_event(self, kind: str, count: int = 1) -> dict[str, Any]:
        """That event, once it was logged so often."""
        wait_until(lambda: len(self.events(kind)) >= count, f"{kind} was logged", timeout_s=START_S)
        return self.events(kind)[count - 1]

    @property
    def admin_url(self) -> str:
        url: str = self.wait_for_event("admin")["url"]
        return url

    def status(self) -> dict[str, Any]:
        """The status document."""
        return self.ask("/api/v1/status")[1]

    def endpoint(self, name: str) -> dict[str, Any]:
        """What the status document says of an endpoint."""
        for pool in self.status()["pools"]:
            for endpoint in pool["endpoints"]:
                if endpoint["name"] == name:
                    found: dict[str, Any] = endpoint
                    return found
        raise AssertionError(f"no endpoint {name} in status")

    def worker_pids(self) -> list[int]:
        """Of its workers, by index; 0 for one that is being restarted."""
        pids = [worker["pid"] for worker in self.status()["workers"]]
        self._worker_pids |= set(pids) - {0}
        return pids

    # --- what it is told --------------------------------------------------------------------

    def ask(self, path: str, body: Document | None = None) -> tuple[int, dict[str, Any]]:
        """GET, or POST with a body, at the admin address."""
        request = urllib.request.Request(self.admin_url + path)
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=START_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, json.load(answer)

    def reload(self) -> dict[str, Any]:
        """Reload over the admin address; the outcome."""
        return self.ask("/api/v1/reload", {})[1]

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGTERM, and the end with code 0."""
        self.signal(signal.SIGTERM)
        if self._successor:
            wait_until(lambda: not is_there(self._successor), "it ended", timeout_s=START_S)
            self.process.join(START_S)
            assert "Traceback" not in self.said(), self.said()
        else:
            self.wait_for_exit()

    def wait_for_exit(self, code: int = 0) -> None:
        self.process.join(START_S)
        ended = self.process.exitcode
        assert ended == code, f"it ended with {ended}:\n{self.said()}"
        assert "Traceback" not in self.said(), self.said()

    # --- its clients ------------------------------------------------------------------------

    def address(self, listener: str = "main") -> tuple[str, int]:
        """Where that listener listens."""
        for each in self.status()["listeners"]:
            if each["name"] == listener:
                host, _, port = each["address"].rpartition(":")
                return host.strip("[]"), int(port)
        raise AssertionError(f"no listener {listener}")

    def connect(
        self,
        listener: str = "main",
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
    ) -> Client:
        """A client of that listener, closed with the balancer if not before."""
        client = Client(
            self.address(listener), tls=tls, server_name=server_name, timeout_s=2 * PATIENCE_S
        )
        self._clients.append(client)
        return client

    def __enter__(self) -> Self:
        return self.wait_until_ready()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self._clients:
            client.close()
        try:
            serves = is_there(self._successor) if self._successor else self.process.is_alive()
            if serves and error is None:
                self.stop()
        finally:
            self._end_everything()

    def _spawn(self) -> "multiprocessing.context.ForkServerProcess":
        # A successor finds modules of the tests by the path.
        environment = {
            "PENSTOCK_RUNTIME_DIR": str(self._runtime),
            "PYTHONPATH": os.getcwd(),
            "NOTIFY_SOCKET": str(self.file.with_name("notify")),  # for a test that makes it
        }
        return forked_serve(self.file, self.log, **environment)

    def _end_everything(self) -> None:
        """Also the workers of a supervisor that the test killed."""
        self.process.kill()
        self.process.join()
        for event in self.events("taken_over") + self.events("upgraded"):
            self._end(event["by"], b"penstock")
        for event in self.events("worker.ready"):
            self._worker_pids.add(event["pid"])
        for pid in self._worker_pids:
            self._end(pid, b"penstock.dataplane.worker")

    def _end(self, pid: int, module: bytes) -> None:
        with contextlib.suppress(OSError):  # it has ended, as it should
            if module in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)


def is_there(pid: int) -> bool:
    """Whether a process of that number runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
