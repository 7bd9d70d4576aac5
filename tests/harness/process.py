"""A worker's process with the board and the mailbox that it was started with."""

import os
import resource
import socket
import subprocess
import sys
import tempfile

from penstock.dataplane.board import Board, create_board

INDEX = 0  # of the one worker that runs
ENDPOINT_ROWS = 256
POOL_ROWS = 64


class WorkerProcess:
    """Runs from its making on and waits for its first snapshot.

    ``workers`` above 1 makes room on the board for others, whose cells a test may write;
    ``descriptors`` bounds what the process may open (0: as the test itself).
    """

    def __init__(self, *, workers: int = 1, descriptors: int = 0) -> None:
        self.board: Board = create_board(workers, ENDPOINT_ROWS, POOL_ROWS)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.mailbox, theirs = socket.socketpair()
        passed = (self.board.fd, theirs.fileno())
        command: list[str] = [sys.executable, "-m", "penstock.dataplane.worker"]
        command += ["--index", str(INDEX), "--board", str(passed[0]), "--mailbox", str(passed[1])]
        with theirs:
            self.process = subprocess.Popen(command, pass_fds=passed, stderr=self._errors)
        if descriptors:
            bounds = (descriptors, descriptors)
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, bounds)

    def errors(self) -> str:
        """What it wrote to its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def abandon(self) -> None:
        """Let go of everything, killing the process if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.mailbox.close()
        self._errors.close()
        os.close(self.board.fd)


class Spares:
    """Keeps one process started ahead, so that a test need not wait for an interpreter."""

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
