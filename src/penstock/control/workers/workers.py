"""The workers: started, restarted when they end, watched, told of every snapshot, stopped."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, cast

from penstock.control.events import Events
from penstock.control.workers.ended import describe_exit, forget_running, pause_before
from penstock.control.workers.lending import Lending
from penstock.control.workers.process import (
    WORKER_COMMAND,
    SnapshotRefused,
    Told,
    WorkerGoneError,
    WorkerProcess,
)
from penstock.control.workers.sockets import ListeningSockets
from penstock.control.workers.worker import Worker
from penstock.core.snapshot import Snapshot
from penstock.core.snapshot.changes import EndpointChanges
from penstock.dataplane.board.layout import (
    W_HEARTBEAT_MS,
)
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.wakers import Wakers
from penstock.dataplane.pool.model_waits import MODELS_CHANGED, MODELS_WANTED

_START_S: Final = 60.0  # to take its first snapshot; an interpreter's start takes under one
_ANSWER_S: Final = 15.0  # to take a further one; resolving names may take seconds
_QUESTION_S: Final = 5.0  # to answer one; a worker is never silent for so long in good order
_STEADY_S: Final = 5.0  # a worker that served for less, or never, ended "at start"
_GRACE_S: Final = 2.0  # after a stop's deadline, before the worker is killed
_LOOK_S: Final = 1.0  # between two looks at the heartbeats, which come four times a second
_SILENT_WARN: Final = 10  # looks
_SILENT_KILL: Final = 30
_EVENTFD: Final = os.EFD_NONBLOCK | os.EFD_CLOEXEC


class StartError(Exception):
    """The balancer cannot start. The text is for people."""


class Workers:
    """All workers. ``newest`` is the snapshot that they run or are told to run."""

    def __init__(
        self,
        board: Board,
        sockets: ListeningSockets,
        events: Events,
        *,
        indexes: range | None = None,
        command: Sequence[str] = WORKER_COMMAND,
    ) -> None:
        """``indexes`` of the board are theirs, all where it is None."""
        own = indexes if indexes is not None else range(board.workers)
        self.all: tuple[Worker, ...] = tuple(Worker(index) for index in own)
        self._counted = (own.start, own.stop)
        self.cleans_up = True  # after a process that ended; else a successor does
        self.newest: Snapshot | None = None
        self._board = board
        self._sockets = sockets
        self._events = events
        self.on_change: Callable[[], None] = lambda: None  # a process started or ended
        self._command = command
        # A worker misses a model in a pool; True: or passed on what may change which there are.
        self.on_models_missed: Callable[[str, bool], None] | None = None
        self.lending = Lending()  # of what limits allow
        # What tenants used; a worker ended.
        self.on_usage: Callable[[Sequence[Sequence[object]]], None] = lambda rows: None
        self.on_refused: Callable[[dict[str, int]], None] = lambda refused: None
        self.on_traces: Callable[[dict[str, object]], None] = lambda message: None
        self.on_worker_ended: Callable[[int], None] = lambda index: None
        self.patience_s = 0.0
        self.datagrams_held = False  # another version's workers read them
        self._wakers = Wakers(own.start, [os.eventfd(0, _EVENTFD) for _ in own])
        board.wakers = self._wakers
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def acknowledged(self) -> int:
        """The generation that every worker runs, or a newer one."""
        return min(worker.generation for worker in self.all)

    @property
    def pids(self) -> list[int]:
        """Of the processes there are."""
        return [worker.pid for worker in self.all if worker.pid]

    async def start(self, snapshot: Snapshot) -> None:
        """Start all and return when they run the snapshot.

        Raises StartError when one cannot, after ending the others. ``patience_s``: how long these
        may finish what they took meanwhile, from sockets that others listen on too.
        """
        self.newest = snapshot
        loop = asyncio.get_running_loop()
        started: list[asyncio.Future[None]] = [loop.create_future() for _ in self.all]
        self._tasks = [
            asyncio.create_task(self._keep_running(worker, first))
            for worker, first in zip(self.all, started, strict=True)
        ]
        try:
            await asyncio.gather(*started)
        except StartError:
            if self.patience_s > 0.0:
                await self.stop(self.patience_s)
            await self.kill()
            raise

    async def publish(
        self, snapshot: Snapshot, changes: EndpointChanges | None = None
    ) -> dict[int, str]:
        """Tell every worker; returns the reasons of those that refuse.

        ``changes`` lead to it from another: workers that run that one are told them alone.
        A worker that is being restarted takes the newest snapshot when it starts.
        """
        self.newest = snapshot
        ready = self._ready_processes()
        reasons = await asyncio.gather(
            *(self._tell(process, snapshot, changes) for process in ready)
        )
        return {
            process.index: reason
            for process, reason in zip(ready, reasons, strict=True)
            if reason is not None
        }

    async def count_indexes(self, first: int, end: int) -> None:
        """Workers of these indexes run on the board, others' included: have ours count them."""
        self._counted = (first, end)
        self._board.count_indexes(first, end, len(self.all))
        await self.send_all(self._indexes_told())

    def _indexes_told(self) -> dict[str, object]:
        first, end = self._counted
        return {"kind": "workers", "first": first, "end": end, "sharers": len(self.all)}

    async def give_up_datagrams(self) -> list[object]:
        """Leave clients' datagrams to another version; the sessions that there are."""
        self.datagrams_held = True
        answers = await self.ask_all({"kind": "give_up_datagrams"})
        return [each for answer in answers for each in cast(list[object], answer["sessions"])]

    async def take_datagrams(self, sessions: Sequence[object]) -> None:
        """Read clients' datagrams from here on, with the sessions that another version had."""
        self.datagrams_held = False
        await self.send_all({"kind": "take_datagrams", "sessions": sessions})

    async def send_all(self, message: dict[str, object]) -> None:
        """Send a message to every worker that runs."""
        for worker in self.all:
            if worker.process is not None:
                with suppress(WorkerGoneError):
                    await worker.process.send(message)

    async def ask_all(self, question: dict[str, object]) -> list[dict[str, object]]:
        """The answers of the workers that answer in time."""

        async def ask(process: WorkerProcess) -> dict[str, object] | None:
            try:
                async with asyncio.timeout(_QUESTION_S):
                    return await process.ask(question)
            except (WorkerGoneError, TimeoutError):
                return None

        answers = await asyncio.gather(*(ask(process) for process in self._ready_processes()))
        return [answer for answer in answers if answer is not None]

    async def watch(self, every_s: float = _LOOK_S) -> None:
        """Runs until cancelled: kill a worker whose loop is stuck, so that it is replaced.

        Polls are counted, not seconds, so that a suspended machine does not look like a stuck
        worker.
        """
        while True:
            await asyncio.sleep(every_s)
            for worker in self.all:
                self._look_at(worker)

    async def stop(self, deadline_s: float, linger_s: float = 0.0) -> None:
        """Let them finish their requests, and return when they have ended.

        ``linger_s``: how long clients between two requests may ask once more.
        """
        self._stopping.set()
        for worker in self.all:
            worker.change_to("stopping")
        await self.send_all({"kind": "stop", "deadline_s": deadline_s, "linger_s": linger_s})
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=deadline_s + _GRACE_S)
        if late:
            self._events.warning(
                "workers.late", f"{len(late)} workers did not stop in time; killing them"
            )
            await self.kill()
        self._wakers.close()

    async def kill(self) -> None:
        """Kill all at once."""
        self._stopping.set()
        for worker in self.all:
            if worker.process is not None:
                worker.process.kill()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._wakers.close()

    async def _keep_running(self, worker: Worker, first: asyncio.Future[None]) -> None:
        early_ends = 0
        while True:
            worker.ready_at = 0.0
            ended = await self._run_once(worker, first)
            worker.process = None
            self.on_worker_ended(worker.index)
            self.on_change()
            if self.cleans_up:
                forget_running(self._board, worker.index)
                self._wake_others(worker)  # its places are free
            if self._stopping.is_set():
                worker.change_to("ended")
                _fail(first, StartError("stopped while starting"))
                return
            if not first.done():
                _fail(first, StartError(f"worker {worker.index} {ended}"))
                return
            worker.change_to("restarting")
            worker.restarts += 1
            steady = worker.ready_at > 0.0 and monotonic() - worker.ready_at >= _STEADY_S
            early_ends = 0 if steady else early_ends + 1
            pause_s = pause_before(early_ends)
            when = f"in {pause_s:g} s" if pause_s else "at once"
            self._events.error(
                "worker.ended",
                f"worker {worker.index} {ended}; restarting it {when}",
                worker=worker.index,
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    def _wake_others(self, gone: Worker) -> None:
        for worker in self.all:
            if worker is not gone:
                self._wakers.wake(worker.index)

    async def _run_once(self, worker: Worker, first: asyncio.Future[None]) -> str:
        """One process from start to end; how it ended, for people."""
        process = WorkerProcess(
            worker.index,
            self._board,
            self._command,
            first=self.all[0].index,
            wakers=self._wakers.descriptors,
            on_notice=self._pass_on,
            on_told=self._on_told,
        )
        worker.process = process
        try:
            await process.start()
        except OSError as error:
            return f"could not be started: {error}"
        if self._stopping.is_set():
            process.kill()  # it started too late to be told to stop
        self.on_change()
        ending = asyncio.create_task(process.wait())
        ended = ""
        try:
            async with asyncio.timeout(_START_S):
                await self._catch_up(process)
        except SnapshotRefused as refusal:
            ended = f"refused its first snapshot: {refusal}"
            process.kill()
        except TimeoutError:
            ended = f"was not ready within {_START_S:g} s"
            process.kill()
        except WorkerGoneError:
            pass  # how it ended is told by its exit code
        else:
            self._ready(worker)
            if not first.done():
                first.set_result(None)
        code = await ending
        return ended or describe_exit(code)

    def _pass_on(self, index: int, notice: dict[str, str]) -> None:
        """Log a worker's own decisions; ask for models that it misses."""
        if notice["event"] == MODELS_WANTED:
            if self.on_models_missed is not None:
                self.on_models_missed(notice["pool"], notice["message"] == MODELS_CHANGED)
            return
        fields: dict[str, str | int | float | bool | None] = {"worker": index, **notice}
        kind, message = str(fields.pop("event")), str(fields.pop("message"))
        pool = f", pool {notice['pool']}" if "pool" in notice else ""
        self._events.warning(kind, f"worker {index}{pool}: {message}", **fields)

    def _on_told(self, index: int, message: dict[str, object]) -> Told:
        if message["kind"] == "usage":
            self.on_usage(cast(list[list[object]], message["rows"]))
            self.on_refused(cast(dict[str, int], message["refused"]))
            return None
        if message["kind"] == "traces":
            self.on_traces(message)
            return None
        return self.lending.answer(index, cast(list[list[object]], message["asked"]))

    async def _catch_up(self, process: WorkerProcess) -> None:
        """Bring a starting process to the newest snapshot, even if that changes meanwhile."""
        await process.send(self._indexes_told())
        if self.datagrams_held:
            await process.send({"kind": "hold_datagrams"})
        while self.newest is not None and process.generation < self.newest.generation:
            await process.apply(self.newest, self._sockets)

    def _ready(self, worker: Worker) -> None:
        worker.silent_looks = 0
        worker.ready_at = monotonic()
        if not self._stopping.is_set():
            worker.change_to("ready")
        self._events.info(
            "worker.ready",
            f"worker {worker.index} is ready (pid {worker.pid})",
            worker=worker.index,
            pid=worker.pid,
        )

    def _ready_processes(self) -> list[WorkerProcess]:
        """The processes themselves: a worker may have lost its process by the time it is used."""
        return [w.process for w in self.all if w.state == "ready" and w.process is not None]

    async def _tell(
        self, process: WorkerProcess, snapshot: Snapshot, changes: EndpointChanges | None
    ) -> str | None:
        """Why the process refuses; None when it does not."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                await process.apply(snapshot, self._sockets, changes)
        except SnapshotRefused as refusal:
            return str(refusal)
        except WorkerGoneError:
            pass  # its successor takes the newest
        except TimeoutError:
            self._events.warning(
                "worker.slow",
                f"worker {process.index} has not taken generation {snapshot.generation} "
                f"within {_ANSWER_S:g} s",
                worker=process.index,
            )
        return None

    def _look_at(self, worker: Worker) -> None:
        heartbeat = self._board.cells[self._board.worker(worker.index) + W_HEARTBEAT_MS]
        if worker.state != "ready" or heartbeat != worker.last_heartbeat:
            worker.last_heartbeat = heartbeat
            worker.silent_looks = 0
            return
        worker.silent_looks += 1
        if worker.silent_looks == _SILENT_WARN:
            self._events.warning(
                "worker.silent",
                f"worker {worker.index} (pid {worker.pid}) does not respond",
                worker=worker.index,
            )
        elif worker.silent_looks == _SILENT_KILL and worker.process is not None:
            self._events.error(
                "worker.killed",
                f"worker {worker.index} (pid {worker.pid}) did not respond for "
                f"{_SILENT_KILL} s; killing it",
                worker=worker.index,
            )
            worker.process.kill()


def _fail(first: asyncio.Future[None], error: StartError) -> None:
    if not first.done():
        first.set_exception(error)
