"""How attempts ended at all endpoints at one moment, read from the board cell by cell.

A strided copy of one cell of all rows takes microseconds for a thousand endpoints; making objects
of each row takes a hundred times as long, and most rows have nothing to tell.
"""

from typing import Final

from penstock.core.attempt_counts import (
    A_EXCUSED,
    A_FAILURES,
    ATTEMPT_CELLS,
    AttemptCounts,
)
from penstock.core.health.outlier_records import EndpointCounts
from penstock.dataplane.board.layout import ATTEMPTS_AT, L_HEARD_US, L_QUIET_SINCE_US
from penstock.dataplane.board.memory import Board

_TROUBLE: Final = (A_FAILURES, A_EXCUSED)


class AttemptColumns:
    """Of every row that endpoints ever had, by worker and cell."""

    def __init__(self, board: Board) -> None:
        self.rows = board.endpoint_rows_used
        self._cells = [
            [_column(board, self.rows, worker, ATTEMPTS_AT + cell) for cell in range(ATTEMPT_CELLS)]
            for worker in range(board.workers)
        ]
        self._quiet_since = [
            _column(board, self.rows, worker, L_QUIET_SINCE_US) for worker in range(board.workers)
        ]
        self._heard = [
            _column(board, self.rows, worker, L_HEARD_US) for worker in range(board.workers)
        ]

    def counts(self, row: int, name: str, *, split: bool, up: bool, now: float) -> EndpointCounts:
        """What outlier detection judges an endpoint by; see ``AttemptCounts.for_outliers``."""
        counts = AttemptCounts()
        for columns in self._cells:
            counts.add([column[row] for column in columns])
        # The latest of workers: whom any of them hears is not silent.
        quiet_since = max(column[row] for column in self._quiet_since)
        return counts.for_outliers(
            name,
            split=split,
            up=up,
            silent_s=max(now - quiet_since / 1e6, 0.0) if quiet_since else 0.0,
            heard_at=max(column[row] for column in self._heard) / 1e6,
        )

    def troubled(self, before: "AttemptColumns") -> set[int]:
        """Rows of which a failure, or what is excused as none, was counted since."""
        found: set[int] = set()
        for columns, old_columns in zip(self._cells, before._cells, strict=True):
            for cell in _TROUBLE:
                column, old = columns[cell], old_columns[cell]
                if column != old:
                    pairs = enumerate(zip(column, old, strict=True))
                    found.update(row for row, (count, known) in pairs if count != known)
        return found

    def silent(self, since_us: float) -> set[int]:
        """Rows that owe a byte since then or longer, as their latest worker has it."""
        found: set[int] = set()
        columns = [column.tolist() for column in self._quiet_since]
        for row, times in enumerate(zip(*columns, strict=True)):
            if 0 < max(times) <= since_us:
                found.add(row)
        return found


def _column(board: Board, rows: int, worker: int, cell: int) -> memoryview:
    """One load cell that a worker has of each row."""
    first = board.load(0, worker) + cell
    stride = board.load(1, 0) - board.load(0, 0)
    read = board.cells[first : board.load(rows, 0) : stride].tobytes()
    return memoryview(read).cast("q")
