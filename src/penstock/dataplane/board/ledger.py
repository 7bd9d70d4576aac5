"""Sums and highest values that workers make together: each writes its own table, and reads all.

A key's place is found by its hash, in each table by itself; one that is not found has nothing
there. Where no place is left near it, the key that stands first there is forgotten: tenants'
counters are lifted again when they are needed (``core.admission.tenant_shares``).
"""

from typing import Final

from xxhash import xxh3_64_intdigest

from penstock.core.admission.ledger import Ledger
from penstock.core.env import Env
from penstock.dataplane.board.layout import (
    LEDGER_CELLS,
    LEDGER_PLACES,
    LG_HIGHEST,
    LG_KEY,
    LG_PLACES,
    LG_SUM,
)
from penstock.dataplane.board.memory import Board, as_cell

_FRESH_S: Final = 0.01  # reading four workers' parts of a counter takes 2 us, of each tenant
_NEAR: Final = 8  # places that a key may have
_MOST_HASHES: Final = 4_096  # remembered
_SCALE: Final = 1000.0


class BoardLedger(Ledger):
    """One pool's part, for one worker; what a worker wrote outlives it."""

    def __init__(self, board: Board, worker: int, pool: str, env: Env | None = None) -> None:
        """With a clock, what was read is good for ``_FRESH_S``, or until ``read_anew``."""
        super().__init__()
        self._env: Env | None = env
        self._read_at: float = -1.0
        self._board: Board = board
        self._cells: memoryview = board.cells
        self._worker: int = worker
        self._pool: str = pool
        self._hashes: dict[str, int] = {}

    def read_anew(self) -> None:
        """What other workers wrote meanwhile counts at once."""
        self._read_at = -_FRESH_S - 1.0

    def total(self, key: str) -> float:
        known = self._known().get(key)
        if known is None:
            known = self._total(key)
            if self._env is not None:
                self._sums[key] = known
        return known

    def highest(self, key: str) -> float:
        self._known()
        known = self._highest.get(key)
        if known is None:
            known = self._highest_of(key)
            if self._env is not None:
                self._highest[key] = known
        return known

    def _known(self) -> dict[str, float]:
        """Sums that were read lately; the highest values are as old."""
        env = self._env
        if env is not None and (
            env.now - self._read_at > _FRESH_S or len(self._sums) > _MOST_HASHES
        ):
            self._read_at = env.now
            self._sums.clear()
            self._highest.clear()
        return self._sums

    def _total(self, key: str) -> float:
        hashed = self._hash(key)
        total = 0
        for worker in range(self._board.first_index, self._board.end_index):
            at = self._find(worker, hashed)
            if at >= 0:
                total += self._cells[at + LG_SUM]
        return total / _SCALE

    def add(self, key: str, amount: float) -> None:
        at = self._own(self._hash(key))
        self._cells[at + LG_SUM] += round(amount * _SCALE)
        self._sums.pop(key, None)

    def _highest_of(self, key: str) -> float:
        hashed = self._hash(key)
        highest = 0
        for worker in range(self._board.first_index, self._board.end_index):
            at = self._find(worker, hashed)
            if at >= 0:
                highest = max(highest, self._cells[at + LG_HIGHEST])
        return highest / _SCALE

    def tell(self, key: str, value: float) -> None:
        at = self._own(self._hash(key))
        told = round(value * _SCALE)
        if told > self._cells[at + LG_HIGHEST]:
            self._cells[at + LG_HIGHEST] = told
            self._highest.pop(key, None)

    def _hash(self, key: str) -> int:
        hashed = self._hashes.get(key, 0)
        if hashed == 0:
            if len(self._hashes) >= _MOST_HASHES:
                self._hashes.clear()
            hashed = as_cell(xxh3_64_intdigest(f"{self._pool}\0{key}".encode()) or 1)
            self._hashes[key] = hashed
        return hashed

    def _find(self, worker: int, hashed: int) -> int:
        return find(self._board, worker, hashed)

    def _own(self, hashed: int) -> int:
        return own(self._board, self._worker, hashed)


def find(board: Board, worker: int, hashed: int) -> int:
    """A key's first cell in that worker's table; -1 where it has none."""
    cells = board.cells
    first = board.ledger(worker)
    place = hashed % LEDGER_PLACES
    for step in range(_NEAR):
        at = first + (place + step) % LEDGER_PLACES * LEDGER_CELLS
        known = cells[at + LG_KEY]
        if known == hashed:
            return at
        if known == 0:
            return -1
    return -1


def own(board: Board, worker: int, hashed: int, *, sums: bool = True) -> int:
    """A key's first cell in that worker's own table, made where there is none. What holds nothing
    is forgotten first, then places; sums only for other ``sums``: -1 where that leaves no room."""
    at = find(board, worker, hashed)
    if at >= 0:
        return at
    cells = board.cells
    first = board.ledger(worker)
    place = hashed % LEDGER_PLACES
    chosen = -1
    worth = 3 if sums else 2
    for step in range(_NEAR):
        near = first + (place + step) % LEDGER_PLACES * LEDGER_CELLS
        if cells[near + LG_KEY] == 0:
            chosen = near
            break
        holds = 1 if cells[near + LG_PLACES] else 0
        if cells[near + LG_SUM] or cells[near + LG_HIGHEST]:
            holds = 2
        if holds < worth:
            worth = holds
            chosen = near
    if chosen < 0:
        return -1
    cells[chosen + LG_KEY] = 0
    cells[chosen + LG_SUM] = 0
    cells[chosen + LG_HIGHEST] = 0
    cells[chosen + LG_PLACES] = 0
    cells[chosen + LG_KEY] = hashed  # after them: readers go by it
    return chosen
