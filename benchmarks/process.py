"""Processes of a benchmark: started on given cores, waited for, ended with all their children."""

import ctypes
import http.client
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from benchmarks import accounts
from benchmarks.cores import on
from benchmarks.failure import StartError

START_S: Final = 30.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.02
_LAST_LINES: Final = 15
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class Process:
    """A running process and its descendants. Ends with the ``with`` block.

    However that is left: who is told to end a second time kills at once what has not ended, and a
    benchmark that dies takes the process along, which is told so by the kernel.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cores: frozenset[int],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = Path(command[0]).name
        self._log = log
        parent = os.getpid()
        with log.open("wb") as output, on(cores):
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                # A process group of its own, ended as one. Not a session of its own: each would be
                # a scheduler group (sched(7), autogroup), and they would share the processors by
                # group, not by process.
                process_group=0,
                preexec_fn=lambda: _end_with(parent),
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def tree(self) -> list[int]:
        """It and its living descendants."""
        return accounts.tree(self.pid)

    def wait_until_listening(
        self, *ports: int, host: str = "127.0.0.1", within_s: float = START_S
    ) -> None:
        """Raises StartError."""
        deadline = time.monotonic() + within_s
        for port in ports:
            while not _accepts(host, port):
                if self._popen.poll() is not None:
                    raise StartError(f"{self.name} ended at once:\n{self.last_words()}")
                if time.monotonic() > deadline:
                    raise StartError(
                        f"{self.name} does not listen on port {port}:\n{self.last_words()}"
                    )
                time.sleep(_POLL_S)

    def wait_until_answering(self, url: str, *, within_s: float = START_S) -> None:
        """Until GET ``url`` is answered with 200; certificates are not verified. StartError."""
        deadline = time.monotonic() + within_s
        while not _answers(url):
            if self._popen.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"{self.name} does not answer:\n{self.last_words()}")
            time.sleep(_POLL_S)

    def wait_until_echoing(self, port: int) -> None:
        """Until a datagram comes back. Raises StartError."""
        deadline = time.monotonic() + START_S
        while not _echoes(port):
            if self._popen.poll() is not None or time.monotonic() > deadline:
                raise StartError(f"{self.name} sends no datagram back:\n{self.last_words()}")
            time.sleep(_POLL_S)

    def last_words(self) -> str:
        """The end of what it printed."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LAST_LINES:])

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for what is left of its process group, at once if interrupted."""
        try:
            if self._popen.poll() is None:
                self._popen.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._popen.wait(_STOP_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL for the whole group at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _end_with(parent: int) -> None:
    """In a child, before it becomes another program: SIGTERM when its parent is gone, to be exact
    the thread that started it."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before
        os._exit(1)


def end_in_order_when_terminated() -> None:
    """SIGTERM ends the benchmark as Ctrl-C does: with everything that it started.

    As it does at that moment: in asyncio it cancels the task that runs, where an exception at any
    point may fall into a finalizer, and is lost.
    """
    signal.signal(signal.SIGTERM, _do_as_ctrl_c)


def _do_as_ctrl_c(number: int, frame: FrameType | None) -> None:
    minded = signal.getsignal(signal.SIGINT)
    # What a script starts in the background ignores Ctrl-C, which is for who is in the foreground.
    handler = minded if callable(minded) else signal.default_int_handler
    handler(signal.SIGINT, frame)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on at this moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _answers(url: str) -> bool:
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=5.0, context=unverified) as response:
            return int(response.status) == 200
    except (OSError, http.client.HTTPException):
        return False


def _echoes(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        try:
            sock.sendto(b"ready?", ("127.0.0.1", port))
            sock.recv(100)
        except OSError:
            return False
    return True


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
