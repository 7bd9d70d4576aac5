"""A worker's process from start to end: its loop, its mailbox, its signals."""

import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Final, TextIO, cast

from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.wakers import Wakers
from penstock.dataplane.context import Context
from penstock.dataplane.io.loop import READABLE, Pollable
from penstock.dataplane.io.system import System
from penstock.dataplane.record.line_writer import LineStream, LineWriter
from penstock.dataplane.worker.mailbox import DEFAULT_DEADLINE_S, Mailbox
from penstock.dataplane.worker.messages import LINGER_S
from penstock.dataplane.worker.serving import Worker

_LAST_LINES_S: Final = 1.0  # to write what was said to stderr when the worker ends
_STDERR: Final = 2


class SignalPipe(Pollable):
    """Signals, delivered between two events of the loop."""

    def __init__(self, worker: Worker) -> None:
        self._worker: Worker = worker
        self._reader, self._writer = socket.socketpair()
        super().__init__(self._reader.fileno())
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, _wake)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # meant for the supervisor
        # A worker is in the background of its terminal, which may be set to stop who writes there.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def on_ready(self, events: int) -> None:
        try:
            numbers = self._reader.recv(64)
        except BlockingIOError:
            return
        for number in numbers:
            if number == signal.SIGTERM:
                self._worker.stop(DEFAULT_DEADLINE_S)
            elif number == signal.SIGUSR2:  # others have our sockets too
                self._worker.give_up_datagrams()
                self._worker.stop(DEFAULT_DEADLINE_S, LINGER_S)
            elif number == signal.SIGUSR1:
                self._worker.reopen_logs()


def _wake(number: int, frame: object) -> None:
    """The wake-up descriptor says which signal it was."""


class WakeUps(Pollable):
    """Another worker has somebody who waits for a place, or freed one."""

    def __init__(self, worker: Worker, fd: int) -> None:
        super().__init__(fd)
        self._worker: Worker = worker

    def on_ready(self, events: int) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        self._worker.on_woken()


def run(
    index: int,
    board_fd: int,
    mailbox_fd: int,
    wakers: list[int] | None = None,
    system: System | None = None,
) -> int:
    """Serve until told to stop; returns the exit code.

    ``wakers``: the index of the first worker, and for each an eventfd that wakes it.
    """
    try:
        board = Board(board_fd)
    except (OSError, ValueError) as error:
        print(f"penstock worker {index}: {error}", file=sys.stderr)
        return 1
    context = Context(board, index, os.getpid(), system)
    worker = Worker(context)
    loop = context.loop
    mailbox = socket.socket(fileno=mailbox_fd)
    mailbox.setblocking(False)
    loop.add(Mailbox(worker, mailbox), READABLE)
    loop.add(SignalPipe(worker), READABLE)
    if wakers:
        board.wakers = Wakers(wakers[0], wakers[1:])
        if board.wakers.own(index) >= 0:
            loop.add(WakeUps(worker, board.wakers.own(index)), READABLE)
    loop.chores += [worker, context.log]
    loop.batch_chores.append(worker)
    # Everything made so far lives as long as the process: the collector need not look at it.
    # What requests make is freed by counting references; cycles are rare, so it looks seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    errors = LineWriter(_STDERR, owned=False)  # whoever reads it may stall
    stderr = sys.stderr
    sys.stderr = cast(TextIO, LineStream(errors))
    try:
        loop.run()
        worker.finish()
    finally:
        sys.stderr = stderr
        errors.join(_LAST_LINES_S)
    return 0
