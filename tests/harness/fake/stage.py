"""A real worker on a fake system: its clients, its endpoints, and its time, all driven by hand."""

import os
from random import Random
from types import TracebackType
from typing import Self

import msgspec

from penstock.core.health.health import UP
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.dataplane.board.layout import S_HEALTH, S_WEIGHT_PPM
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.client.http1 import ClientConnection
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.connection import EndpointConnection
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.io.loop import SWEEP_S
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.worker.live_snapshot import LiveSnapshot
from penstock.dataplane.worker.serving import Worker
from tests.harness.fake.stream import ROOM_BYTES, End
from tests.harness.fake.system import FakeServer, FakeSystem
from tests.harness.world import pool, world

ROWS = 8
_HOST = "192.0.2.9"
_FIRST_PORT = 9000
_MOST_TURNS = 200  # more in a row without an event from outside: the loop spins


def member(row: int, **settings: object) -> Endpoint:
    """The endpoint of that row, and of the fake server of the same number."""
    given = {"name": f"e{row}", "host": _HOST, "port": _FIRST_PORT + row, "row": row, **settings}
    return msgspec.convert(given, Endpoint)


def address_of(row: int, host: str = _HOST) -> tuple[str, int]:
    """Where the endpoint of that row stands, or stands too."""
    return (host, _FIRST_PORT + row)


def pool_of(*members: int | Endpoint, **settings: object) -> Pool:
    """A pool of those endpoints, or of those of these rows, taken in turn."""
    endpoints = [member(each) if isinstance(each, int) else each for each in members]
    return msgspec.structs.replace(pool(*endpoints, row=0), **settings)


class Stage:
    """``with Stage(world(pool_of(0, 1))) as stage:`` and at its end nothing may be left open."""

    def __init__(
        self,
        snapshot: Snapshot | None = None,
        rng: Random | None = None,
        shuffles: bool = False,
        beside: "Stage | None" = None,
        workers: int = 1,
    ) -> None:
        """``beside``: another worker's, of the ``workers`` that share its board."""
        self.system = FakeSystem(rng, shuffles)
        self.beside = beside
        self.board: Board = (
            Board(beside.board.fd)
            if beside is not None
            else create_board(workers, endpoint_rows=ROWS, pool_rows=2)
        )
        self.servers = [FakeServer() for _ in range(ROWS)]
        for row, server in enumerate(self.servers):
            self.system.servers[address_of(row)] = server
            self.board.cells[self.board.state(row) + S_HEALTH] = UP
            self.board.cells[self.board.state(row) + S_WEIGHT_PPM] = 1_000_000
        index = 0 if beside is None else 1
        self.context = Context(self.board, index, os.getpid(), self.system)
        self.loop = self.context.loop
        self.system.made_poller.stop = self.loop.stop
        self.worker = Worker(self.context)
        self.loop.chores += [self.worker, self.context.log]
        self.loop.batch_chores.append(self.worker)
        self.listening = self.system.listen()
        self._generation = 0
        self.turns = 0
        self.apply(snapshot or world(pool_of(0)), self.listening.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close(check=kind is None)
        finally:
            if self.beside is None:
                os.close(self.board.fd)

    # --- the worker -------------------------------------------------------------------------

    def apply(self, snapshot: Snapshot, *listening: int) -> None:
        """Run this world from here on."""
        self._generation += 1
        snapshot = msgspec.structs.replace(snapshot, generation=self._generation)
        names = ["main"] if listening else []
        self.worker.configure(msgspec.to_builtins(snapshot), names, list(listening))

    def set_health(self, row: int, health: int) -> None:
        """As the supervisor does."""
        self.board.cells[self.board.state(row) + S_HEALTH] = health
        self.board.state_changed(row)

    def turn(self) -> None:
        """One batch of events, and the sweep if it is due."""
        self.turns += 1
        self.loop.run()
        self.system.forget_closed()

    def settle(self) -> int:
        """All events that there are, and those that they cause; returns how many batches."""
        turns = 0
        while self.system.made_poller.ready() or self.loop._next:
            self.turn()
            turns += 1
            assert turns < _MOST_TURNS, f"the loop spins on {self.system.made_poller.ready()}"
        return turns

    def pass_time(self, seconds: float, step_s: float = SWEEP_S) -> None:
        """Time passes, with a sweep at each step."""
        end = self.system.now + seconds
        while self.system.now < end:
            self.system.now = min(self.system.now + step_s, end)
            self.turn()
            self.settle()

    # --- what is on it ----------------------------------------------------------------------

    def client(self, room: int = ROOM_BYTES) -> End:
        """One that was accepted."""
        far = self.system.client(self.listening, room)
        self.settle()
        return far

    def send(self, end: End, data: bytes) -> None:
        """All of it, from a client or an endpoint, as the worker takes it."""
        while data:
            before = len(data)
            data = end.offer(data)
            self.settle()
            assert len(data) < before, "the worker does not read on"

    def received(self, end: End) -> bytes:
        """All that the worker sends to that end, as long as it is read."""
        data = b""
        while end.inbox:
            data += end.read()
            self.settle()
        return data

    def asked(self, row: int = 0) -> tuple[End, bytes]:
        """The newest connection to that endpoint, and what was sent on it since the last look."""
        end = self.servers[row].accepted[-1]
        return end, self.received(end)

    def clients(self) -> list[ClientConnection]:
        return [each for each in self.loop.by_fd.values() if isinstance(each, ClientConnection)]

    def endpoint_connections(self) -> list[Http1Connection]:
        return [each for each in self.loop.by_fd.values() if isinstance(each, Http1Connection)]

    def running(self) -> LiveSnapshot:
        running = self.worker.running
        assert running is not None
        return running

    def pool(self) -> LivePool:
        return self.running().pools["main"]

    def endpoints(self) -> list[LiveEndpoint]:
        """Configured, or finishing what they have."""
        current = self.running()
        return [
            *current.finishing,
            *[each for pool in current.pools.values() for each in pool.members],
        ]

    def in_flight(self) -> int:
        return sum(endpoint.in_flight for endpoint in self.endpoints())

    # --- its end ----------------------------------------------------------------------------

    def close(self, check: bool = True) -> None:
        """Stop the worker at once; with ``check``, nothing may be left."""
        self.worker.stop(0.0)
        self.worker.finish()
        for connection in list(self.loop.by_fd.values()):
            if isinstance(connection, EndpointConnection):
                connection.close()
        self.system.forget_closed()
        if check:
            assert self.in_flight() == 0
            assert self.loop.by_fd == {}
            assert self.system.open == {}
            assert self.context.clients == 0
