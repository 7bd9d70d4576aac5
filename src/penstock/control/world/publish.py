"""Publishing: a snapshot comes to run in all workers, or nothing changes."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
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
from penstock.core.snapshot.changes import EndpointChanges, endpoint_changes
from penstock.dataplane.board.layout import H_GENERATION
from penstock.dataplane.board.memory import Board

Fixed = dict[str, tuple[Endpoint, ...]]  # by pool
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
        # Look for endpoints; awaited before each snapshot, bounded.
        self.searches: list[Callable[[Snapshot], Awaitable[None]]] = []
        self.hushed = False  # followers are not told: another supervisor does what they do
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
        self._refused_because = ""
        # Workers that are not told of snapshots run too: rows stay theirs.
        self.rows_stay: Callable[[], bool] = lambda: False
        self._instance = secrets.token_hex(_INSTANCE_BYTES)
        self._one_at_a_time = asyncio.Lock()
        # The endpoints of a pool, from those that are configured.
        self.members: Callable[[str, tuple[Endpoint, ...]], tuple[Endpoint, ...]] = _configured
        self.fixed: Fixed = {}  # what is configured of the snapshot that runs, by pool
        # What runs, by the members that it was made from: most are the same the next time.
        self._joined: dict[str, dict[int, Endpoint]] = {}
        self._members = _EMPTY

    async def start(self, spec: Snapshot) -> None:
        """Run the first one. Raises StartError."""
        async with self._one_at_a_time:
            fixed = _fixed(spec)
            try:
                joined, snapshot = await self._prepare(spec, fixed)
            except PublishError as error:
                raise StartError(str(error)) from error
            self._states.add_new(snapshot.pools)
            await self._workers.start(snapshot)
            self._configure(snapshot, fixed, joined, None)

    @property
    def generation(self) -> int:
        """Of the newest snapshot."""
        return self._generation

    @property
    def instance(self) -> str:
        """Which balancer this is, in every snapshot."""
        return self._instance

    def go_on_from(self, instance: str, generation: int) -> None:
        """Number snapshots on from those of a predecessor; before the first."""
        self._instance = instance
        self._generation = generation

    def held(self) -> AbstractAsyncContextManager[None]:
        """As long as this lasts, nothing is published, and rows stay as they are."""
        return self._one_at_a_time

    def refuse_all(self, reason: str) -> None:
        """Publish nothing from here on, for that reason."""
        self._refused_because = reason

    def tell_followers(self) -> None:
        """Once more, or for the first time where ``hushed`` was set."""
        self.hushed = False
        for follow in self.followers:
            follow(self.running)

    async def publish(self, spec: Snapshot) -> None:
        """Run this one instead. Raises PublishError, and then the one before runs on."""
        async with self._one_at_a_time:
            await self._publish(spec, _fixed(spec))

    async def refresh(self) -> None:
        """Publish what runs once more, because its members, what it names or what it is marked
        with have changed.

        Raises PublishError.
        """
        async with self._one_at_a_time:
            await self._publish(self.running, self.fixed)

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
            self._reclaim()

    async def _publish(self, spec: Snapshot, fixed: Fixed) -> None:
        if self._refused_because:
            raise PublishError(self._refused_because)
        self._reclaim()
        try:
            joined, snapshot = await self._prepare(spec, fixed)
            changes = endpoint_changes(self.running, snapshot)
            self._add_new(snapshot, changes)
            await self._tell_workers(snapshot, changes)
        except PublishError:
            self._configure(self.running, self.fixed, None, None)
            raise
        self._configure(snapshot, fixed, joined, changes)

    def _add_new(self, snapshot: Snapshot, changes: EndpointChanges | None) -> None:
        """Endpoints have a state before any worker hears of them."""
        if changes is None:
            self._states.add_new(snapshot.pools)
            return
        pools = {pool.name: pool for pool in snapshot.pools}
        self._states.add_new(
            msgspec.structs.replace(
                pools[change.pool], endpoints=tuple([each for _, each in change.placed])
            )
            for change in changes.pools
        )

    def _reclaim(self) -> None:
        if not self.rows_stay():
            self._rows.reclaim(self._workers.acknowledged)

    async def _prepare(self, spec: Snapshot, fixed: Fixed) -> tuple[Snapshot, Snapshot]:
        """Give it all that workers need: members, addresses, a generation, rows, states, sockets.

        Returns it with its members alone, and with all of it.
        """
        if len(spec.listeners) > MAX_LISTENERS:
            raise PublishError(
                f"{len(spec.listeners)} listeners are configured; at most {MAX_LISTENERS} can be"
            )
        for look in self.searches:
            await look(spec)
        joined, spec = self._join(spec, fixed)
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
        return joined, snapshot

    def _join(self, spec: Snapshot, fixed: Fixed) -> tuple[Snapshot, Snapshot]:
        """``spec`` with its members, and the same where those that run already are as they run."""
        joined, known = [], []
        again = spec is self.running
        for pool in spec.pools:
            members = self.members(pool.name, fixed[pool.name])
            joined.append(msgspec.structs.replace(pool, endpoints=members))
            if again:
                runs = self._joined.get(pool.name, {})
                members = tuple(map(runs.get, map(id, members), members))
            known.append(msgspec.structs.replace(pool, endpoints=members))
        return (
            msgspec.structs.replace(spec, pools=tuple(joined)),
            msgspec.structs.replace(spec, pools=tuple(known)),
        )

    async def _tell_workers(self, snapshot: Snapshot, changes: EndpointChanges | None) -> None:
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

    def _configure(
        self,
        snapshot: Snapshot,
        fixed: Fixed,
        joined: Snapshot | None,
        changes: EndpointChanges | None,
    ) -> None:
        """This runs: let go of what is not in it, tell those who follow it. ``changes`` lead to it
        from what ran, where nothing but endpoints changed."""
        if snapshot is not self.running:
            self._files.configure(snapshot)
        self.running = snapshot
        self.fixed = fixed
        if joined is not None:
            self._members = joined  # whose objects live as long as their numbers are known
            self._joined = {
                before.name: dict(zip(map(id, before.endpoints), after.endpoints, strict=True))
                for before, after in zip(joined.pools, snapshot.pools, strict=True)
            }
        self._board.cells[H_GENERATION] = snapshot.generation
        if changes is None:
            self._rows.configure(snapshot)
            self._states.configure(snapshot.pools)
        else:  # of thousands few are others
            self._rows.change(changes)
            self._states.change(snapshot.pools, changes)
        self._sockets.close_except(snapshot.listeners)
        if not self.hushed:
            for follow in self.followers:
                follow(snapshot)

    def _next(self) -> int:
        self._generation += 1
        return self._generation


def _configured(pool: str, fixed: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Where nobody else names any."""
    return fixed


def _fixed(spec: Snapshot) -> Fixed:
    return {pool.name: pool.endpoints for pool in spec.pools}
