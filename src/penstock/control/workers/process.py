"""One worker's process: start it, talk to it over its mailbox, wait for its end."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from penstock.config.compile.own_modules import directories
from penstock.control.workers.sockets import ListeningSockets, ListenKey, listen_key
from penstock.core.snapshot import Snapshot
from penstock.core.snapshot.changes import EndpointChanges
from penstock.dataplane.board.memory import Board
from penstock.dataplane.worker.messages import Inbox, frame, framed

WORKER_COMMAND: Final = (sys.executable, "-m", "penstock.dataplane.worker")
_READ_BYTES: Final = 65536
_TOLD: Final = ("lend", "usage", "traces")


Told = dict[str, object] | Awaitable[dict[str, object]] | None  # to a worker


def _nothing(index: int, message: dict[str, object]) -> Told:
    """Is answered."""
    return None


class SnapshotRefused(Exception):
    """A worker cannot run a snapshot. The text is the worker's reason."""


class WorkerGoneError(Exception):
    """The process ended before it answered."""


class WorkerProcess:
    """One process, from start to end. ``generation`` is of the last snapshot it acknowledged."""

    def __init__(
        self,
        index: int,
        board: Board,
        command: Sequence[str] = WORKER_COMMAND,
        *,
        first: int = 0,
        wakers: Sequence[int] = (),
        on_notice: Callable[[int, dict[str, str]], None] = lambda index, notice: None,
        on_told: Callable[[int, dict[str, object]], Told] = _nothing,
    ) -> None:
        """``on_notice`` is called with the worker's index and what it wants logged, ``on_told``
        with what it tells of traces and limits, or asks of these, which it returns the answer to;
        ``first`` is the index of the first worker, which has the first of a listener's sockets.
        ``wakers`` are the eventfds of all workers from that one on, by which they wake one
        another."""
        self.index = index
        self._place = index - first
        self._first = first
        self._wakers = tuple(wakers)
        self._on_notice = on_notice
        self._on_told = on_told
        self._answering: set[asyncio.Task[None]] = set()
        self.generation: int = 0
        self._board = board
        self._command = command
        self._mailbox, self._theirs = socket.socketpair()
        self._mailbox.setblocking(False)
        self._held: dict[str, ListenKey] = {}  # listeners whose socket the worker has
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._questions: dict[int, asyncio.Future[dict[str, object]]] = {}
        self._asked: int = 0
        self._sending = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """0 before the start."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        """Start the process. Raises OSError when the system refuses."""
        with self._theirs as theirs:
            passed = (self._board.fd, theirs.fileno())
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    *("--index", str(self.index)),
                    *("--board", str(passed[0])),
                    *("--mailbox", str(passed[1])),
                    *("--wakers", ",".join(map(str, (self._first, *self._wakers)))),
                    *[word for each in directories() for word in ("--modules", each)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(*passed, *self._wakers),
                    # Ctrl-C in a terminal is for the supervisor only. A session of its own would be
                    # a scheduler group too (sched(7), autogroup), which a busy host starves.
                    process_group=0,
                )
            except OSError:
                await self._close()
                raise
        self._reader = asyncio.create_task(self._read_answers())

    async def wait(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        assert self._process is not None
        code = await self._process.wait()
        await self._close()
        return code

    async def _close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        self._mailbox.close()
        self._fail_answers()

    async def apply(
        self,
        snapshot: Snapshot,
        sockets: ListeningSockets,
        changes: EndpointChanges | None = None,
    ) -> None:
        """Send a snapshot and return when the worker runs it.

        ``changes`` lead to it, and are sent in its place to a worker that runs what they are of.
        Raises SnapshotRefused when it cannot, WorkerGoneError when it ended first.
        """
        async with self._sending:
            answer = self._answers.get(snapshot.generation)
            if answer is None:
                answer = asyncio.get_running_loop().create_future()
                self._answers[snapshot.generation] = answer
                if changes is not None and self._runs(changes.base):
                    await self._send_changes(changes)
                else:
                    await self._send_snapshot(snapshot, sockets)
        await asyncio.shield(answer)
        self._held = {listener.name: listen_key(listener) for listener in snapshot.listeners}

    async def send(self, message: dict[str, object]) -> None:
        """Send any other message. Raises WorkerGoneError."""
        async with self._sending:
            await self._send(frame(message), [])

    async def ask(self, question: dict[str, object]) -> dict[str, object]:
        """Send a question and return its answer. Raises WorkerGoneError."""
        self._asked += 1
        token = self._asked
        answer: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self._questions[token] = answer
        try:
            await self.send({**question, "token": token})
            return await answer
        finally:
            self._questions.pop(token, None)

    def kill(self) -> None:
        """Kill it at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _runs(self, generation: int) -> bool:
        """Whether the worker runs that and is about to run nothing else."""
        return self.generation == generation and len(self._answers) == 1

    async def _send_changes(self, changes: EndpointChanges) -> None:
        encoded = msgspec.json.encode({"kind": "endpoints", "changes": changes})
        await self._send(framed(encoded), [])

    async def _send_snapshot(self, snapshot: Snapshot, sockets: ListeningSockets) -> None:
        lacking = [
            each for each in snapshot.listeners if self._held.get(each.name) != listen_key(each)
        ]
        descriptors = [sockets.of_worker(each, self._place).fileno() for each in lacking]
        message = {
            "kind": "snapshot",
            "snapshot": snapshot,
            "listeners": [listener.name for listener in lacking],
        }
        await self._send(framed(msgspec.json.encode(message)), descriptors)

    async def _send(self, data: bytes, descriptors: list[int]) -> None:
        loop = asyncio.get_running_loop()
        try:
            if descriptors:
                # The first bytes carry them; the buffer is empty, or the worker reads on.
                await _writable(self._mailbox)
                sent = socket.send_fds(self._mailbox, [data], descriptors)
                data = data[sent:]
            await loop.sock_sendall(self._mailbox, data)
        except OSError as error:
            self._fail_answers()
            raise WorkerGoneError(str(error)) from error

    async def _read_answers(self) -> None:
        loop = asyncio.get_running_loop()
        inbox = Inbox()
        try:
            while data := await loop.sock_recv(self._mailbox, _READ_BYTES):
                for message in inbox.feed(data):
                    self._take(message)
        except OSError:
            pass  # the end of the process is noticed by ``wait``

    def _take(self, message: dict[str, object]) -> None:
        if message["kind"] == "notices":
            for notice in msgspec.convert(message["notices"], list[dict[str, str]]):
                self._on_notice(self.index, notice)
            return
        if message["kind"] in _TOLD:
            told = self._on_told(self.index, message)
            if told is not None:
                answering = asyncio.create_task(self._tell(told))
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)
            return
        if message["kind"] == "answer":
            token = message["token"]
            assert isinstance(token, int)
            asked = self._questions.pop(token, None)  # None: nobody waits for it any more
            if asked is not None and not asked.done():
                asked.set_result(message)
            return
        generation = message.get("generation")
        assert isinstance(generation, int)
        answer = self._answers.pop(generation, None)
        if message["kind"] == "applied":
            self.generation = generation
            _resolve(answer, lambda future: future.set_result(None))
        else:
            refusal = SnapshotRefused(str(message.get("reason", "no reason given")))
            _resolve(answer, lambda future: future.set_exception(refusal))

    async def _tell(self, told: dict[str, object] | Awaitable[dict[str, object]]) -> None:
        message = told if isinstance(told, dict) else await told
        with suppress(WorkerGoneError):
            await self.send(message)

    def _fail_answers(self) -> None:
        gone = WorkerGoneError(f"worker {self.index} ended")
        while self._answers:
            _resolve(self._answers.popitem()[1], lambda future: future.set_exception(gone))
        while self._questions:
            asked = self._questions.popitem()[1]
            if not asked.done():
                asked.set_exception(gone)


def _resolve(
    answer: asyncio.Future[None] | None, settle: Callable[[asyncio.Future[None]], None]
) -> None:
    if answer is not None and not answer.done():
        settle(answer)
        if answer.exception() is not None:
            pass  # marks it as seen: nobody may be waiting any more


async def _writable(sock: socket.socket) -> None:
    """Wait until the socket takes bytes."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def take() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(sock, take)
    try:
        await ready
    finally:
        loop.remove_writer(sock)
