"""What workers count of a pool's queue and limit, each in cells of its own, and what they learn.

Of two that count themselves in at the same moment each writes its count before it reads the
other's, with a barrier between the two (``fence``), so a bound is never passed: both may give way.

What a worker learned of the limit stands beside a number that is one more than the greatest it had
seen: the greatest of all is the newest. While it is written the number is 0, so that nobody takes
one half of it for the whole. Two that learn from the same state at the same moment lose one sample
of the two.
"""

from typing import Final

from xxhash import xxh3_64_intdigest

from penstock.core.admission.peers import Peers
from penstock.dataplane.board.fence import fence
from penstock.dataplane.board.layout import (
    LIMIT_STATE_CELLS,
    Q_LEARNED,
    Q_LIMIT_KIND,
    Q_LIMIT_STATE,
    Q_RUNNING,
    Q_WAITING,
)
from penstock.dataplane.board.memory import Board, as_cell

_SCALE: Final = 1e6


class PoolPeers(Peers):
    """One worker's, of the pool in one row."""

    def __init__(self, board: Board, row: int, worker: int, kind: str) -> None:
        """``kind`` is the limit with its options: what was learned of another says nothing."""
        self._board: Board = board
        self._cells: memoryview = board.cells
        self._row: int = row
        self._own_at: int = board.queue(row, worker)
        self._kind: int = as_cell(xxh3_64_intdigest(kind.encode()) or 1)
        self._known: int = 0  # the number of what was learned last, here or elsewhere
        self._others: list[int] = []
        self._first: int = -1
        self._end: int = -1
        self.clear()

    def clear(self) -> None:
        """Nobody waits here, or is under way."""
        self._cells[self._own_at + Q_WAITING] = 0
        self._cells[self._own_at + Q_RUNNING] = 0

    def _at(self) -> list[int]:
        """Where the others' cells begin; which workers there are changes with upgrades."""
        board = self._board
        if board.first_index != self._first or board.end_index != self._end:
            self._first = board.first_index
            self._end = board.end_index
            places = [board.queue(self._row, each) for each in range(self._first, self._end)]
            self._others = [at for at in places if at != self._own_at]
        return self._others

    def wait(self, count: int) -> None:
        self._cells[self._own_at + Q_WAITING] = count

    def waiting(self) -> int:
        return self._sum(Q_WAITING)

    def run(self, count: int) -> None:
        self._cells[self._own_at + Q_RUNNING] = count

    def running(self) -> int:
        return self._sum(Q_RUNNING)

    def _sum(self, cell: int) -> int:
        cells = self._cells
        total = 0
        for at in self._at():
            total += cells[at + cell]
        return total

    def meet(self) -> None:
        fence()

    def count(self) -> int:
        return len(self._at())

    def learned(self) -> list[float] | None:
        cells = self._cells
        newest = self._known
        found = -1
        for at in self._at():
            number = cells[at + Q_LEARNED]
            if number > newest and cells[at + Q_LIMIT_KIND] == self._kind:
                newest = number
                found = at
        if self._known == 0 and cells[self._own_at + Q_LIMIT_KIND] == self._kind:
            number = cells[self._own_at + Q_LEARNED]  # by the worker before this one
            if number > newest:
                newest = number
                found = self._own_at
        if found < 0:
            return None
        first = found + Q_LIMIT_STATE
        state = [cells[first + each] / _SCALE for each in range(LIMIT_STATE_CELLS)]
        if cells[found + Q_LEARNED] != newest:
            return None  # it was written meanwhile
        self._known = newest
        return state

    def teach(self, state: list[float]) -> None:
        cells = self._cells
        own_at = self._own_at
        cells[own_at + Q_LEARNED] = 0
        cells[own_at + Q_LIMIT_KIND] = self._kind
        for each in range(min(len(state), LIMIT_STATE_CELLS)):
            cells[own_at + Q_LIMIT_STATE + each] = round(state[each] * _SCALE)
        self._known += 1
        cells[own_at + Q_LEARNED] = self._known
