"""What a worker counts: bumped here as plain numbers, copied to the board by the sweep."""

from array import array
from typing import Final

from penstock.core.histogram import BUCKETS, bucket_of
from penstock.dataplane.board import (
    P_1XX_TO_5XX,
    P_HISTOGRAMS,
    P_QUEUE_SUM_US,
    P_SERVING,
    P_SERVING_HISTOGRAMS,
    POOL_CELLS,
    W_PID,
    Board,
)

_WORKER_CELLS = 64
_SHIFTS: Final = BUCKETS // 4 - 1


class Counters:
    """A run of cells that this worker owns on the board."""

    def __init__(self, board: Board, at: int, cells: int) -> None:
        self.values: list[int] = list(board.cells[at : at + cells])
        self.changed: bool = False
        self._board: Board = board
        self._at: int = at

    def bump(self, cell: int) -> None:
        """One more."""
        self.values[cell] += 1
        self.changed = True

    def add(self, cell: int, amount: int) -> None:
        self.values[cell] += amount
        self.changed = True

    def publish(self) -> None:
        """Copy to the board what changed since the last time."""
        if self.changed:
            self.changed = False
            at = self._at
            self._board.cells[at : at + len(self.values)] = memoryview(array("q", self.values))


class WorkerCounters(Counters):
    """The worker's own section. The supervisor reads W_PID to know who runs."""

    def __init__(self, board: Board, worker: int, pid: int) -> None:
        super().__init__(board, board.worker(worker), _WORKER_CELLS)
        self.values[W_PID] = pid
        self.changed = True


class PoolCounters(Counters):
    """A pool's counters and its latency histograms."""

    def __init__(self, board: Board, row: int, worker: int) -> None:
        super().__init__(board, board.pool(row, worker), POOL_CELLS)

    def record(self, phase: int, seconds: float) -> None:
        """One duration of a phase (an index into board.PHASES)."""
        microseconds = int(seconds * 1e6)
        values = self.values
        shift = microseconds.bit_length() - 3
        if 0 <= shift < _SHIFTS:  # bucket_of, written out: this runs twice in every request
            bucket = shift * 4 + (microseconds >> shift)
        else:
            bucket = bucket_of(microseconds)
        values[P_HISTOGRAMS + phase * BUCKETS + bucket] += 1
        values[P_QUEUE_SUM_US + phase] += microseconds
        self.changed = True

    def record_serving(self, phase: int, seconds: float) -> None:
        """One duration of a phase of a language model's answer (board.SERVING_PHASES)."""
        microseconds = int(seconds * 1e6)
        self.values[P_SERVING_HISTOGRAMS + phase * BUCKETS + bucket_of(microseconds)] += 1
        self.values[P_SERVING + phase] += microseconds
        self.changed = True

    def answered(self, status: int) -> None:
        """One response of that status went to a client."""
        self.values[P_1XX_TO_5XX + status // 100 - 1] += 1
        self.changed = True
