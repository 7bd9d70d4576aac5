"""A worker's process with the board and the mailbox that it was started with.

Tests of the supervisor start workers by their command line.
"""

import gc
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from collections import Counter
from typing import Any

from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.io.system import System
from penstock.dataplane.worker.run import run
from tests.harness.clock import HeldClock
from tests.harness.forked import Passed, forking

GARBAGE = "garbage: "  # begins the line in which one that is uncollected tells of it
INDEX = 0  # of the one worker that runs
ENDPOINT_ROWS = 256
POOL_ROWS = 64
TELL_GARBAGE = signal.SIGRTMIN  # which no worker handles itself


def _serve(
    board: Any,
    mailbox: Any,
    errors: Any,
    descriptors: int,
    clock: HeldClock | None,
    uncollected: bool,
) -> None:
    os.dup2(errors, sys.stderr.fileno())
    if uncollected:
        gc.disable()
        signal.signal(TELL_GARBAGE, _tell_garbage)
    if descriptors:  # the worker looks at its limit when it starts
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    system = System(clock) if clock is not None else None
    sys.exit(run(INDEX, board, mailbox, system=system))


def _tell_garbage(number: int, frame: object) -> None:
    """What only the collector can free, by type; the loop waits while signals are handled."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(type(each).__name__ for each in gc.garbage)
    gc.garbage.clear()
    gc.collect()
    print(f"{GARBAGE}{json.dumps(found)}", file=sys.stderr, flush=True)


class WorkerProcess:
    """Runs from its making on and waits for its first snapshot.

    ``workers`` above 1 makes room on the board for others, whose cells a test may write;
    ``descriptors`` bounds what the process may open (0: as the test itself). With ``held`` its
    time passes only when told, by ``clock``; with ``uncollected`` its collector does not run.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        descriptors: int = 0,
        held: bool = False,
        uncollected: bool = False,
    ) -> None:
        self.board: Board = create_board(workers, ENDPOINT_ROWS, POOL_ROWS)
        self.clock = HeldClock() if held else None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.mailbox, theirs = socket.socketpair()
        passed = [Passed(fd) for fd in (self.board.fd, theirs.fileno(), self._errors.fileno())]
        self._process = forking.Process(
            target=_serve, args=(*passed, descriptors, self.clock, uncollected)
        )
        with theirs:
            self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.is_alive()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code; None when it still runs."""
        self._process.join(timeout_s)
        return self._process.exitcode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def errors(self) -> str:
        """What it wrote to its standard error."""
        # Not by seeking: the process writes where the descriptor that it shares stands.
        descriptor = self._errors.fileno()
        written = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        return written.decode(errors="replace")

    def abandon(self) -> None:
        """Let go of everything, killing the process if it still runs."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.mailbox.close()
        self._errors.close()
        os.close(self.board.fd)


class Spares:
    """Keeps one process started ahead, so that a test need not wait for its start."""

    def __init__(self) -> None:
        self._next: WorkerProcess | None = None

    def take(self) -> WorkerProcess:
        """A process that nobody used."""
        taken = self._next or WorkerProcess()
        self._next = WorkerProcess()
        return taken

    def abandon(self) -> None:
        if self._next is not None:
            self._next.abandon()
            self._next = None
