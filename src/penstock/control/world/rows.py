"""Which endpoint and which pool has which row of the board.

A row stays with its endpoint over reloads. The row of a removed one is used again only when every
worker has acknowledged a snapshot without it and nothing is in flight there.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

import msgspec

from penstock.control.endpoint_key import EndpointKey
from penstock.core.snapshot import Snapshot
from penstock.core.snapshot.changes import EndpointChanges
from penstock.dataplane.board.layout import H_ENDPOINT_ROWS_USED, H_POOL_ROWS_USED, L_IN_FLIGHT
from penstock.dataplane.board.memory import Board

_Key = TypeVar("_Key", bound=Hashable)
# A worker writes a removed endpoint's counts for the last time in the same turn of its loop in
# which the last request ends; a sweep of the loop (250 ms) later it is certainly done.
_QUARANTINE_S: Final = 1.0


class GivenRows(msgspec.Struct):
    """Rows by pool and endpoint, and how many were ever given out."""

    endpoints: list[tuple[str, str, int]]
    pools: list[tuple[str, int]]
    endpoints_used: int
    pools_used: int


class BoardFullError(Exception):
    """The board has no row for an endpoint or pool. The text is for people."""


class Rows:
    """The rows of the endpoints and pools of the snapshot that runs, and of those that leave it."""

    def __init__(self, board: Board, clock: Callable[[], float]) -> None:
        self._board = board
        self._clock = clock
        self._endpoints: _Table[EndpointKey] = _Table("endpoints", board.endpoint_rows)
        self._pools: _Table[str] = _Table("pools", board.pool_rows)

    def place(self, spec: Snapshot) -> Snapshot:
        """``spec`` with its rows; new members get free ones. Raises BoardFullError.

        However that ends, ``configure`` says afterwards what really runs.
        """
        # Those that run keep their rows, with their objects: thousands are not looked at.
        endpoints = self._endpoints.assign(
            (p.name, e.name) for p in spec.pools for e in p.endpoints if e.row < 0
        )
        pools = self._pools.assign(pool.name for pool in spec.pools)
        self._board.cells[H_ENDPOINT_ROWS_USED] = self._endpoints.used
        self._board.cells[H_POOL_ROWS_USED] = self._pools.used
        placed = [
            msgspec.structs.replace(
                pool,
                row=pools[pool.name],
                endpoints=tuple(
                    [
                        e
                        if e.row >= 0
                        else msgspec.structs.replace(e, row=endpoints[pool.name, e.name])
                        for e in pool.endpoints
                    ]
                ),
            )
            for pool in spec.pools
        ]
        return msgspec.structs.replace(spec, pools=tuple(placed))

    def given(self) -> "GivenRows":
        """All rows that are in use, for a successor on the same board."""
        return GivenRows(
            [(pool, name, row) for (pool, name), row in self._endpoints.given()],
            list(self._pools.given()),
            self._endpoints.used,
            self._pools.used,
        )

    def go_on_from(self, before: "GivenRows", generation: int) -> None:
        """Those of a predecessor: what is not in use there is on its way out."""
        endpoints = {(pool, name): row for pool, name, row in before.endpoints}
        now = self._clock()
        self._endpoints.go_on_from(endpoints, before.endpoints_used, generation, now)
        self._pools.go_on_from(dict(before.pools), before.pools_used, generation, now)

    def clean(self, indexes: range) -> None:
        """A successor came to nothing: what it made of rows that are not in use is no more."""
        cells = self._board.cells
        for row in self._endpoints.unused(cells[H_ENDPOINT_ROWS_USED]):
            for worker in indexes:
                self._board.clear_load(row, worker)
        for row in self._pools.unused(cells[H_POOL_ROWS_USED]):
            for worker in indexes:
                self._board.clear_pool(row, worker)
        cells[H_ENDPOINT_ROWS_USED] = self._endpoints.used
        cells[H_POOL_ROWS_USED] = self._pools.used

    def configure(self, running: Snapshot) -> None:
        """This is what workers run: rows that it does not use are on their way out."""
        now = self._clock()
        endpoints = {(p.name, e.name) for p in running.pools for e in p.endpoints}
        self._endpoints.keep_only(endpoints, running.generation, now)
        self._pools.keep_only({pool.name for pool in running.pools}, running.generation, now)

    def change(self, changes: EndpointChanges) -> None:
        """What runs is another by these changes: as ``configure``, and cheaper."""
        now = self._clock()
        for change in changes.pools:
            for name in change.removed:
                self._endpoints.leave((change.pool, name), changes.generation, now)

    def reclaim(self, acknowledged: int) -> None:
        """Free rows that nobody uses; ``acknowledged`` is a generation that all workers run."""
        until = self._clock() - _QUARANTINE_S
        board = self._board
        for row in self._endpoints.leaving(acknowledged, until):
            if board.load_sum(row, L_IN_FLIGHT) == 0:
                for worker in range(board.workers):
                    board.clear_load(row, worker)
                board.clear_report(row)
                board.clear_others(row)
                self._endpoints.free(row)
        for row in self._pools.leaving(acknowledged, until):
            for worker in range(board.workers):
                board.clear_pool(row, worker)
            self._pools.free(row)


class _Table(Generic[_Key]):
    """Rows of one kind."""

    def __init__(self, what: str, rows: int) -> None:
        self._what = what
        self._rows = rows
        self._given: dict[_Key, int] = {}
        self._free: list[int] = []  # given out once, and free again
        self._leaving: dict[int, tuple[int, float]] = {}  # row → generation without it, since when
        self.used: int = 0  # the first so many were ever given out

    def given(self) -> Iterable[tuple[_Key, int]]:
        return self._given.items()

    def go_on_from(self, given: dict[_Key, int], used: int, generation: int, now: float) -> None:
        self._given = given
        self.used = used
        taken = set(given.values())
        self._leaving = {row: (generation, now) for row in range(used) if row not in taken}

    def unused(self, used: int) -> list[int]:
        """Of the first so many rows those that nothing stands in."""
        free = set(self._free)
        return [row for row in range(used) if row >= self.used or row in free]

    def assign(self, keys: Iterable[_Key]) -> dict[_Key, int]:
        wanted = list(keys)
        missing = [key for key in wanted if key not in self._given]
        room = len(self._free) + self._rows - self.used
        if len(missing) > room:
            many = len(self._given.keys() | wanted)
            raise BoardFullError(
                f"there is no room for {many} {self._what}: the board has {self._rows} "
                f"rows, and {len(self._leaving)} belong to removed ones that still finish; "
                "try again later, or restart: the board is made with room for four times the "
                f"{self._what} of the configuration it starts with"
            )
        for key in missing:
            if self._free:
                self._given[key] = self._free.pop()
            else:
                self._given[key] = self.used
                self.used += 1
        return {key: self._given[key] for key in wanted}

    def keep_only(self, keys: set[_Key], generation: int, now: float) -> None:
        for key in self._given.keys() - keys:
            self.leave(key, generation, now)

    def leave(self, key: _Key, generation: int, now: float) -> None:
        self._leaving[self._given.pop(key)] = (generation, now)

    def leaving(self, acknowledged: int, until: float) -> list[int]:
        """Rows that left by a generation that is acknowledged, at ``until`` or before."""
        return [
            row
            for row, (generation, since) in self._leaving.items()
            if generation <= acknowledged and since <= until
        ]

    def free(self, row: int) -> None:
        del self._leaving[row]
        self._free.append(row)
