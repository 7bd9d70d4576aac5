"""What a worker counts: bumped here as plain numbers, copied to the board by the sweep."""

from array import array
from typing import Final

from penstock.core.measure.histogram import BUCKETS, bucket_of
from penstock.dataplane.board.layout import (
    P_1XX_TO_5XX,
    P_HISTOGRAMS,
    P_QUEUE_SUM_US,
    P_REQUESTS,
    P_SERVING,
    P_SERVING_HISTOGRAMS,
    POOL_CELLS,
    W_BYTES_FROM_CLIENTS,
    W_BYTES_TO_CLIENTS,
    W_PID,
    W_REQUESTS,
    WORKER_CELLS,
)
from penstock.dataplane.board.memory import Board

_FIRST_BYTE: Final = 2  # phases, as in board.PHASES
_TOTAL: Final = 3
# The buckets of short durations, listed: looking one up costs a third of working it out.
_LISTED_US: Final = 16384
_BUCKETS: Final[list[int]] = [bucket_of(microseconds) for microseconds in range(_LISTED_US)]


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
    """The worker's own section. The supervisor reads W_PID to know who runs.

    What changes with every request is a field beside the list, where each number would be another
    object: what came since it was published.
    """

    def __init__(self, board: Board, worker: int, pid: int) -> None:
        super().__init__(board, board.worker(worker), WORKER_CELLS)
        self.values[W_PID] = pid
        self.changed = True
        self.requests: int = 0
        self.bytes_from_clients: int = 0
        self.bytes_to_clients: int = 0

    def publish(self) -> None:
        values = self.values
        values[W_REQUESTS] += self.requests
        values[W_BYTES_FROM_CLIENTS] += self.bytes_from_clients
        values[W_BYTES_TO_CLIENTS] += self.bytes_to_clients
        self.requests = 0
        self.bytes_from_clients = 0
        self.bytes_to_clients = 0
        super().publish()


class PoolCounters(Counters):
    """A pool's counters and its latency histograms."""

    def __init__(self, board: Board, row: int, worker: int) -> None:
        super().__init__(board, board.pool(row, worker), POOL_CELLS)
        self.requests: int = self.values[P_REQUESTS]  # all; a field, as it changes with each
        # What ``answered_at_once`` was told since it was published: five numbers of the list would
        # be five objects for each request.
        self._at_once: list[int] = [0] * BUCKETS
        self._at_once_2xx: int = 0
        self._at_once_us: int = 0

    def came(self) -> None:
        """One more request is the pool's."""
        self.requests += 1
        self.changed = True

    def record(self, phase: int, seconds: float) -> None:
        """One duration of a phase (an index into board.PHASES)."""
        microseconds = int(seconds * 1e6)
        bucket = _BUCKETS[microseconds] if microseconds < _LISTED_US else bucket_of(microseconds)
        values = self.values
        values[P_HISTOGRAMS + phase * BUCKETS + bucket] += 1
        values[P_QUEUE_SUM_US + phase] += microseconds
        self.changed = True

    def answered_at_once(self, status: int, seconds: float) -> None:
        """A response of that status went to a client whole with its first byte, after that time.

        What ``ended`` and ``record`` of the first byte do, in one: most requests end so.
        """
        microseconds = int(seconds * 1e6)
        bucket = _BUCKETS[microseconds] if microseconds < _LISTED_US else bucket_of(microseconds)
        if 200 <= status < 300:
            self._at_once_2xx += 1
        else:
            self.values[P_1XX_TO_5XX - 1 + min(status // 100, 5)] += 1
        self._at_once_us += microseconds
        self._at_once[bucket] += 1
        self.changed = True

    def publish(self) -> None:
        if not self.changed:
            return
        values = self.values
        values[P_REQUESTS] = self.requests
        values[P_1XX_TO_5XX + 1] += self._at_once_2xx
        for phase in (_FIRST_BYTE, _TOTAL):
            values[P_QUEUE_SUM_US + phase] += self._at_once_us
            at = P_HISTOGRAMS + phase * BUCKETS
            for bucket, count in enumerate(self._at_once):
                if count:
                    values[at + bucket] += count
        self._at_once = [0] * BUCKETS
        self._at_once_2xx = 0
        self._at_once_us = 0
        super().publish()

    def record_serving(self, phase: int, seconds: float) -> None:
        """One duration of a phase of a language model's answer (board.SERVING_PHASES)."""
        microseconds = int(seconds * 1e6)
        self.values[P_SERVING_HISTOGRAMS + phase * BUCKETS + bucket_of(microseconds)] += 1
        self.values[P_SERVING + phase] += microseconds
        self.changed = True

    def ended(self, status: int, total_s: float) -> None:
        """An exchange ended otherwise; ``status`` is what the client was answered, 0: nothing."""
        if status:
            self.values[P_1XX_TO_5XX - 1 + min(status // 100, 5)] += 1
        self.record(_TOTAL, total_s)
