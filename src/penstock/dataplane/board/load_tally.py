"""What a worker counts of an endpoint: numbers here, copied to its load cells of the board."""

from penstock.dataplane.board.counters import Counters
from penstock.dataplane.board.layout import (
    L_BYTES_RECEIVED,
    L_BYTES_SENT,
    L_FIRST_BYTE_SUM_US,
    L_REQUESTS,
    L_TIMED,
    L_TOTAL_SUM_US,
    LOAD_CELLS,
)
from penstock.dataplane.board.memory import Board


class LoadTally(Counters):
    """A number for each cell, raised by its name: ``tally.bump(L_CONNECTIONS)``.

    Totals survive the worker; who comes after it goes on from them. What the one before it had
    under way is gone. What changes with every request is a field in place of a number in the list,
    where each would be another object.
    """

    def __init__(self, board: Board, row: int, worker: int) -> None:
        board.clear_present_load(row, worker)
        super().__init__(board, board.load(row, worker), LOAD_CELLS)
        values = self.values
        self.requests: int = values[L_REQUESTS]
        self.bytes_sent: int = values[L_BYTES_SENT]
        self.bytes_received: int = values[L_BYTES_RECEIVED]
        self.timed: int = values[L_TIMED]  # whole responses, and the sums of their times
        self.first_byte_s: float = values[L_FIRST_BYTE_SUM_US] / 1e6
        self.total_s: float = values[L_TOTAL_SUM_US] / 1e6

    def publish(self) -> None:
        if not self.changed:
            return
        values = self.values
        values[L_REQUESTS] = self.requests
        values[L_BYTES_SENT] = self.bytes_sent
        values[L_BYTES_RECEIVED] = self.bytes_received
        values[L_TIMED] = self.timed
        values[L_FIRST_BYTE_SUM_US] = int(self.first_byte_s * 1e6)
        values[L_TOTAL_SUM_US] = int(self.total_s * 1e6)
        super().publish()
