"""A real worker process, and its supervisor played by the test."""

import contextlib
import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec

from penstock.control.workers.sockets import bound_for_datagrams
from penstock.core.health.health import UP
from penstock.core.snapshot import Listener, Pool, Snapshot
from penstock.core.snapshot.changes import endpoint_changes
from penstock.dataplane.board.layout import (
    H_GENERATION,
    L_IN_FLIGHT,
    S_DRAINING,
    S_HEALTH,
    S_WEIGHT_PPM,
    W_HEARTBEAT_MS,
)
from penstock.dataplane.board.memory import Board
from penstock.dataplane.io.loop import SWEEP_S
from penstock.dataplane.worker.messages import Inbox, frame
from tests.harness.client import Client
from tests.harness.datagrams import UdpClient
from tests.harness.process import GARBAGE, INDEX, TELL_GARBAGE, WorkerProcess
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.world import HasAddress

_START_S = 20.0  # an interpreter's start on a busy machine


class Worker:
    """One worker. Leaving the context stops it and checks that it ended well and owes nothing.

    ``process`` is the one to use; without it one is started.
    """

    def __init__(self, snapshot: Snapshot, process: WorkerProcess | None = None) -> None:
        self._run = process or WorkerProcess()
        self.board: Board = self._run.board
        self.snapshot = snapshot
        self._applied: Snapshot | None = None
        self.may_report_bugs = False  # set by tests that bring bugs with them
        self._rows: dict[tuple[str, ...], int] = {}
        self._listening: dict[str, socket.socket] = {}
        self._clients: list[Client | UdpClient] = []
        self._inbox = Inbox()
        self._messages: list[dict[str, object]] = []
        self._mailbox = self._run.mailbox
        self._mailbox.settimeout(_START_S)
        try:
            self.apply(snapshot)
        except BaseException:
            self._abandon()
            raise

    @property
    def pid(self) -> int:
        return self._run.pid

    def address(self, listener: str = "main") -> tuple[str, int]:
        """Where that listener listens."""
        host, port = self._listening[listener].getsockname()
        return host, port

    def connect(
        self,
        listener: str = "main",
        *,
        source: str = "",
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
        session: ssl.SSLSession | None = None,
        receive_buffer: int = 0,
        timeout_s: float = PATIENCE_S,
    ) -> Client:
        """A client connected to that listener, closed with the worker if not before."""
        client = Client(
            self.address(listener),
            source=source,
            tls=tls,
            server_name=server_name,
            session=session,
            receive_buffer=receive_buffer,
            timeout_s=timeout_s,
        )
        self._clients.append(client)
        return client

    def udp(self, listener: str = "main", source: str = "127.0.0.1") -> UdpClient:
        """A client of a UDP listener, closed with the worker if not before."""
        client = UdpClient(self.address(listener), source)
        self._clients.append(client)
        return client

    def apply(self, snapshot: Snapshot) -> None:
        """Publish a snapshot and wait until the worker runs it."""
        answer = self.publish(snapshot)
        assert answer["kind"] == "applied", f"the worker refused the snapshot: {answer}"

    def publish(self, snapshot: Snapshot) -> dict[str, object]:
        """Publish a snapshot, as a supervisor does: where only endpoints changed, those alone; the
        worker's answer."""
        cells = self.board.cells
        generation = cells[H_GENERATION] + 1
        placed = msgspec.structs.replace(
            snapshot, generation=generation, pools=tuple(self._place(p) for p in snapshot.pools)
        )
        cells[H_GENERATION] = generation
        opened = [item.name for item in snapshot.listeners if item.name not in self._listening]
        for item in snapshot.listeners:
            if item.name in opened:
                self._listening[item.name] = _listening(item)
        told: dict[str, object] = {"kind": "snapshot", "snapshot": placed, "listeners": opened}
        if self._applied is not None:
            changes = endpoint_changes(self._applied, placed)
            if changes is not None:
                told = {"kind": "endpoints", "changes": changes}
        message = frame(msgspec.to_builtins(told))
        descriptors = [self._listening[name].fileno() for name in opened]
        sent = socket.send_fds(self._mailbox, [message], descriptors)
        self._mailbox.sendall(message[sent:])
        answer = self._answer(generation)
        if answer["kind"] == "applied":
            self.snapshot = self._applied = placed
        else:
            for name in opened:
                self._listening.pop(name).close()
        return answer

    def send(self, message: dict[str, object]) -> None:
        """Send any message to the worker."""
        self._mailbox.sendall(frame(message))

    def notices(self, count: int) -> list[dict[str, object]]:
        """What it tells for the supervisor's log, once it has told so much since it was asked."""
        found: list[dict[str, object]] = []
        while len(found) < count:
            for message in [each for each in self._messages if each["kind"] == "notices"]:
                self._messages.remove(message)
                notices = message["notices"]
                assert isinstance(notices, list)
                found += notices
            if len(found) < count:
                self._messages += self._inbox.feed(self._mailbox.recv(65536))
        return found

    def abandon_mailbox(self) -> None:
        """What a dying supervisor does."""
        self._mailbox.close()

    def set_state(self, pool: str, endpoint: HasAddress, cell: int, value: int) -> None:
        """Write a state cell of an endpoint (S_HEALTH, S_DRAINING, …), as the supervisor does."""
        row = self.row(pool, endpoint)
        self.board.cells[self.board.state(row) + cell] = value
        self.board.state_changed(row)

    def drain(self, pool: str, endpoint: HasAddress) -> None:
        self.set_state(pool, endpoint, S_DRAINING, 1)

    def row(self, pool: str, endpoint: HasAddress | None = None) -> int:
        """The board row of a pool, or of an endpoint of it."""
        return self._rows[(pool, endpoint.name) if endpoint is not None else (pool,)]

    def load(self, endpoint: HasAddress, cell: int = L_IN_FLIGHT, *, pool: str = "main") -> int:
        """A load cell of an endpoint, summed over workers."""
        return self.board.load_sum(self.row(pool, endpoint), cell)

    def pool_count(self, cell: int, pool: str = "main") -> int:
        """A pool cell, summed over workers."""
        return self.board.pool_sum(self.row(pool), cell)

    def count(self, cell: int) -> int:
        """A cell of the worker's own."""
        return self.board.cells[self.board.worker(INDEX) + cell]

    def in_flight(self) -> int:
        """Tickets open anywhere."""
        return sum(self.board.load_sum(row, L_IN_FLIGHT) for row in self._endpoint_rows())

    def wait_until_published(self) -> None:
        """Wait until the worker's next sweep copied its counts to the board."""
        if self._run.clock is not None:
            self.pass_time(SWEEP_S)
            return
        cell = self.board.worker(INDEX) + W_HEARTBEAT_MS
        before = self.board.cells[cell]
        wait_until(lambda: self.board.cells[cell] > before, "the worker published its counts")

    def pass_time(self, seconds: float) -> None:
        """Move the clock of a worker that was started with one that is held.

        Returns when the worker has seen to what is due. What it received before counts as before,
        which only the test can know: it waits for a sign of it first.
        """
        clock = self._run.clock
        assert clock is not None, "its time passes by itself"
        assert seconds >= SWEEP_S, "deadlines are not looked at more often"
        clock.move(seconds)
        cell = self.board.worker(INDEX) + W_HEARTBEAT_MS
        now_ms = int(clock() * 1000)
        wait_until(lambda: self.board.cells[cell] == now_ms, "the worker saw the time pass")

    def wait_until_idle(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait until every ticket is settled."""
        wait_until(lambda: self.in_flight() == 0, "nothing was in flight", timeout_s=timeout_s)

    def memory_bytes(self, kind: str = "VmRSS") -> int:
        """Resident memory; the highest it ever was with ``VmHWM``."""
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(kind + ":"):
                    return int(line.split()[1]) * 1024
        raise AssertionError(f"no {kind} in /proc/{self.pid}/status")

    def cpu_s(self) -> float:
        """User and system time used so far."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_asleep(self) -> bool:
        """Whether it waits for something to happen, rather than works or waits for its turn."""
        with open(f"/proc/{self.pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "S"

    def take_garbage(self) -> dict[str, int]:
        """How many objects of each type only the collector frees, since this was asked last.

        Of a worker that was started ``uncollected``.
        """
        told = self.errors().count(GARBAGE)
        os.kill(self.pid, TELL_GARBAGE)
        wait_until(lambda: self.errors().count(GARBAGE) > told, "it tells of its garbage")
        last = self.errors().rpartition(GARBAGE)[2]
        found: dict[str, int] = json.loads(last.partition("\n")[0])
        return found

    def open_descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stopped by the system: what happens meanwhile reaches it all at once."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(self._is_stopped, "the worker stood still")
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def _is_stopped(self) -> bool:
        with open(f"/proc/{self.pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "T"

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self._run.terminate()

    def errors(self) -> str:
        """What the worker wrote to its standard error."""
        return self._run.errors()

    def stop(self, deadline_s: float = PATIENCE_S) -> None:
        """Tell it to stop and check its end: code 0, nothing in flight, no traceback."""
        self.send({"kind": "stop", "deadline_s": deadline_s})
        self.wait_for_exit()
        assert self.in_flight() == 0, "tickets left open"

    def wait_for_exit(self) -> None:
        if self._run.clock is not None:
            self._run.clock.let_go()
        code = self._run.wait(_START_S)
        assert code == 0, f"the worker ended with {code}\n{self.errors()}"
        assert self.may_report_bugs or "Traceback" not in self.errors(), self.errors()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for client in self._clients:
                client.close()
            if self._run.runs and error is None:
                self.stop()
            elif error is None:
                self.wait_for_exit()
        finally:
            self._abandon()

    def _place(self, pool: Pool) -> Pool:
        """The pool with its rows; an endpoint that is new starts as UP with its weight."""
        members = []
        for member in pool.endpoints:
            row, is_new = self._row_for((pool.name, member.name), len(self._endpoint_rows()))
            if is_new:
                state = self.board.state(row)
                self.board.cells[state + S_HEALTH] = UP
                self.board.cells[state + S_WEIGHT_PPM] = round(member.weight * 1_000_000)
            members.append(msgspec.structs.replace(member, row=row))
        pools = len(self._rows) - len(self._endpoint_rows())
        row, _ = self._row_for((pool.name,), pools)
        return msgspec.structs.replace(pool, endpoints=tuple(members), row=row)

    def _row_for(self, key: tuple[str, ...], free: int) -> tuple[int, bool]:
        is_new = key not in self._rows
        return self._rows.setdefault(key, free), is_new

    def _endpoint_rows(self) -> list[int]:
        return [row for key, row in self._rows.items() if len(key) == 2]

    def _answer(self, generation: int) -> dict[str, object]:
        while True:
            for message in self._messages:
                if message.get("generation") == generation:
                    self._messages.remove(message)
                    return message
            try:
                data = self._mailbox.recv(65536)
            except TimeoutError:
                raise AssertionError(f"no answer to snapshot\n{self.errors()}") from None
            assert data, f"the worker closed its mailbox\n{self.errors()}"
            self._messages += self._inbox.feed(data)

    def _abandon(self) -> None:
        """Let go of everything, killing the worker if it still runs."""
        self._run.abandon()
        for client in self._clients:
            client.close()
        for listening in self._listening.values():
            listening.close()


def _listening(spec: Listener) -> socket.socket:
    if spec.protocol == "udp":
        return bound_for_datagrams(socket.AF_INET, (spec.host, 0), shared=True)
    return socket.create_server(("127.0.0.1", 0), backlog=512)
