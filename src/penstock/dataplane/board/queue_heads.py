"""Who goes on next of those that wait for a pool, as each worker shows it on the board.

A head that is read while it is written is misjudged once: a place goes to one whose turn comes a
moment later, never to two.
"""

from typing import Final

from xxhash import xxh3_64_intdigest

from penstock.core.admission.lines import Rank
from penstock.dataplane.board.layout import (
    MOST_QUEUE_HEADS,
    Q_FIRST,
    Q_HEADS,
    QH_IMPORTANCE,
    QH_LATE,
    QH_NEEDS,
    QH_TENANT,
    QH_TURN,
    QUEUE_HEAD_CELLS,
)
from penstock.dataplane.board.memory import Board, as_cell

_MOST_HASHES: Final = 1024  # remembered


class Head:
    """Where one that waits in a worker stands. Of two, the lesser one goes first."""

    def __init__(
        self, worker: int, needs: int, importance: int, tenant: int, turn: int, late: int
    ) -> None:
        self.worker: int = worker
        self.needs: int = needs
        self.importance: int = importance
        self.tenant: int = tenant
        self.turn: int = turn
        self.late: int = late

    def goes_before(self, other: "Head") -> bool:
        """Workers' numbers decide between those that are equal otherwise. Of one tenant both have
        the same turn, though it is shown as it was at different times."""
        if self.importance != other.importance:
            return self.importance < other.importance
        if self.turn != other.turn and self.tenant != other.tenant:
            return self.turn < other.turn
        if self.late != other.late:
            return self.late < other.late
        return self.worker < other.worker

    def is_same(self, other: "Head") -> bool:
        """Whether it is as it was."""
        return self.late == other.late and self.importance == other.importance


class QueueHeads:
    """Of one pool, as seen by one worker."""

    def __init__(self, board: Board, row: int, worker: int) -> None:
        self._board: Board = board
        self._cells: memoryview = board.cells
        self._row: int = row
        self._worker: int = worker
        self._own_at: int = board.queue(row, worker)
        self._hashes: dict[str, int] = {}
        self.clear()

    def head_of(self, rank: Rank) -> Head:
        """As it is shown."""
        entry = rank.entry
        return Head(
            self._worker,
            self.hash_of(entry.needs),
            rank.importance,
            self.hash_of(entry.tenant),
            round(rank.turn * 1000.0),
            round(rank.late * 1e6),
        )

    def hash_of(self, name: str) -> int:
        """By which needs, and tenants, are compared."""
        hashed = self._hashes.get(name, 0)
        if hashed == 0:
            if len(self._hashes) >= _MOST_HASHES:
                self._hashes.clear()
            hashed = self._hashes[name] = as_cell(xxh3_64_intdigest(name.encode()) or 1)
        return hashed

    def show(self, ranks: list[Rank]) -> int:
        """Show the first of each need; returns how many are shown."""
        cells = self._cells
        shown = 0
        seen: set[int] = set()
        for rank in ranks:
            head = self.head_of(rank)
            if head.needs in seen:
                continue
            seen.add(head.needs)
            at = self._own_at + Q_FIRST + shown * QUEUE_HEAD_CELLS
            cells[at + QH_NEEDS] = head.needs
            cells[at + QH_IMPORTANCE] = head.importance
            cells[at + QH_TENANT] = head.tenant
            cells[at + QH_TURN] = head.turn
            cells[at + QH_LATE] = head.late
            shown += 1
            if shown == MOST_QUEUE_HEADS:
                break
        cells[self._own_at + Q_HEADS] = shown  # after them: readers go by it
        return shown

    def clear(self) -> None:
        """Nobody waits here."""
        self._cells[self._own_at + Q_HEADS] = 0

    def others_wait(self) -> bool:
        """Whether anybody waits in another worker."""
        board = self._board
        for worker in range(board.first_index, board.end_index):
            if worker != self._worker and self._cells[board.queue(self._row, worker) + Q_HEADS] > 0:
                return True
        return False

    def others(self) -> list[Head]:
        """What other workers show."""
        board = self._board
        cells = self._cells
        found: list[Head] = []
        for worker in range(board.first_index, board.end_index):
            if worker == self._worker:
                continue
            first = board.queue(self._row, worker)
            for place in range(min(cells[first + Q_HEADS], MOST_QUEUE_HEADS)):
                at = first + Q_FIRST + place * QUEUE_HEAD_CELLS
                found.append(
                    Head(
                        worker,
                        cells[at + QH_NEEDS],
                        cells[at + QH_IMPORTANCE],
                        cells[at + QH_TENANT],
                        cells[at + QH_TURN],
                        cells[at + QH_LATE],
                    )
                )
        return found
