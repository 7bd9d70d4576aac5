"""Publishing: a snapshot comes to run in all workers, or nothing changes."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from penstock.control.endpoints.addresses import Addresses
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.workers.sockets import ListenError, ListeningSockets
from penstock.control.workers.workers import StartError, Workers
from penstock.control.world.certificates import CertificateFiles
from penstock.control.world.rows import BoardFullError, Rows
from penstock.core.snapshot import MAX_LISTENERS, Endpoint, Snapshot
from penstock.core.snapshot.changes import endpoint_changes
from penstock.dataplane.board.layout import H_GENERATION
from penstock.dataplane.board.memory import Board

_INSTANCE_BYTES: Final = 8  # that no two balancers share one by chance
_EMPTY: Final = Snapshot(generation=0, listeners=(), routes=(), pools=())


class PublishError(Exception):
    """A snapshot cannot run. The text is for people."""


class Publisher:
    """Holds the snapshot that runs; ``running`` has its generation and its rows on the board."""

    def __init__(
        self,
        board: Board,
        rows: Rows,
        sockets: ListeningSockets,
        workers: Workers,
        states: EndpointStates,
        files: CertificateFiles,
        addresses: Addresses,
        events: Events,
    ) -> None:
        self.running: Snapshot = _EMPTY
        self.followers: list[Callable[[Snapshot], None]] = [
            addresses.configure
        ]  # told of every snapshot that runs
        # Find out what workers are to know from the start; awaited before each snapshot, bounded.
        self.preparations: list[Callable[[Snapshot], Awaitable[None]]] = []
        self.marks: list[Callable[[Snapshot], Snapshot]] = [files.mark]  # add what is found out
        self._board = board
        self._rows = rows
        self._sockets = sockets
        self._workers = workers
        self._states = states
        self._files = files
        self._addresses = addresses
        self._events = events
        self._generation = 0
        self._instance = secrets.token_hex(_INSTANCE_BYTES)
        self._one_at_a_time = asyncio.Lock()

    async def start(self, spec: Snapshot) -> None:
        """Run the first one. Raises StartError."""
        async with self._one_at_a_time:
            try:
                snapshot = await self._prepare(spec)
            except PublishError as error:
                raise StartError(str(error)) from error
            await self._workers.start(snapshot)
            self._configure(snapshot)

    async def publish(self, spec: Snapshot) -> None:
        """Run this one instead. Raises PublishError, and then the one before runs on."""
        async with self._one_at_a_time:
            await self._publish(spec)

    async def refresh(self) -> None:
        """Publish what runs once more, because what it names or is marked with has changed.

        Raises PublishError.
        """
        async with self._one_at_a_time:
            await self._publish(self.running)

    def endpoints(self, pool: str, name: str) -> list[Endpoint]:
        """Of that name in the snapshot that runs."""
        return [
            endpoint
            for each in self.running.pools
            if each.name == pool
            for endpoint in each.endpoints
            if endpoint.name == name
        ]

    def reclaim_rows(self) -> None:
        """Free board rows that nobody uses any more; to be called now and then."""
        if not self._one_at_a_time.locked():
            self._rows.reclaim(self._workers.acknowledged)

    async def _publish(self, spec: Snapshot) -> None:
        self._rows.reclaim(self._workers.acknowledged)
        try:
            snapshot = await self._prepare(spec)
            await self._tell_workers(snapshot)
        except PublishError:
            self._configure(self.running)
            raise
        self._configure(snapshot)

    async def _prepare(self, spec: Snapshot) -> Snapshot:
        """Give it all that workers need: addresses, a generation, rows, states, sockets."""
        if len(spec.listeners) > MAX_LISTENERS:
            raise PublishError(
                f"{len(spec.listeners)} listeners are configured; at most {MAX_LISTENERS} can be"
            )
        spec = await self._addresses.resolve(spec)
        for prepare in self.preparations:
            await prepare(spec)
        for mark in self.marks:
            spec = mark(spec)
        numbered = msgspec.structs.replace(spec, generation=self._next(), instance=self._instance)
        try:
            snapshot = self._rows.place(numbered)
            self._sockets.open(snapshot.listeners)
        except (BoardFullError, ListenError) as error:
            raise PublishError(str(error)) from error
        self._states.add_new(snapshot.pools)
        return snapshot

    async def _tell_workers(self, snapshot: Snapshot) -> None:
        changes = endpoint_changes(self.running, snapshot)
        refused = await self._workers.publish(snapshot, changes)
        if not refused:
            return
        # Some workers may run it already: all go back to the one before, under a higher number.
        again = msgspec.structs.replace(self.running, generation=self._next())
        still_refused = await self._workers.publish(again)
        self.running = again
        for worker, reason in still_refused.items():
            self._events.error(
                "worker.diverged",
                f"worker {worker} does not go back to the snapshot before: {reason}",
            )
        raise PublishError("; ".join(sorted(set(refused.values()))))

    def _configure(self, snapshot: Snapshot) -> None:
        """This runs: let go of what is not in it, tell those who follow it."""
        if snapshot is not self.running:
            self._files.configure(snapshot)
        self.running = snapshot
        self._board.cells[H_GENERATION] = snapshot.generation
        self._rows.configure(snapshot)
        self._states.configure(snapshot.pools)
        self._sockets.close_except(snapshot.listeners)
        for follow in self.followers:
            follow(snapshot)

    def _next(self) -> int:
        self._generation += 1
        return self._generation
