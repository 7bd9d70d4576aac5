"""Reports on the board: the one writer of their cells."""

from penstock.core.pool.models import loaded_hash
from penstock.dataplane.board.layout import (
    L_IN_FLIGHT,
    MAX_LOADED,
    O_IN_FLIGHT,
    R_AT_US,
    R_CACHED,
    R_COLD,
    R_FAILED,
    R_FOREIGN,
    R_IDS_WAY,
    R_KV_CAPACITY,
    R_KV_PPM,
    R_KV_TOKENS,
    R_LOADED,
    R_LOADED_HASHES,
    R_MOST_RUNNING,
    R_PREFIX_HITS,
    R_PREFIX_QUERIES,
    R_READ,
    R_RUNNING,
    R_SLOTS,
    R_WAITING,
)
from penstock.dataplane.board.memory import Board
from penstock.wire.engines.reading import UNKNOWN, Reading


class ReportCells:
    """The cells of all endpoints."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def in_flight(self, row: int) -> int:
        """What this balancer's workers and other balancers have in flight there."""
        board = self._board
        others: int = board.cells[board.others(row) + O_IN_FLIGHT] if board.shared else 0
        return board.load_sum(row, L_IN_FLIGHT) + others

    def write(self, row: int, reading: Reading, now: float, in_flight_before: int) -> None:
        """What the engine said; ``in_flight_before`` is of the moment when it was asked.

        Requests that are there beyond all that are known of are others'. Those may have
        come or gone while the answer travelled, so the higher of both counts is taken.
        """
        cells = self._board.cells
        at = self._board.report(row)
        running, waiting = round(reading.running), round(reading.waiting)
        there = max(running, 0) + max(waiting, 0)
        own = max(in_flight_before, self.in_flight(row))
        cells[at + R_RUNNING] = running
        cells[at + R_WAITING] = waiting
        cells[at + R_KV_PPM] = round(reading.kv_usage * 1e6) if reading.kv_usage >= 0 else UNKNOWN
        cells[at + R_KV_TOKENS] = reading.kv_tokens
        cells[at + R_KV_CAPACITY] = reading.kv_capacity
        if 0 <= reading.prefix_queries < cells[at + R_PREFIX_QUERIES]:
            cells[at + R_COLD] += 1  # a running total that went down: the engine was restarted
        cells[at + R_PREFIX_QUERIES] = reading.prefix_queries
        cells[at + R_PREFIX_HITS] = reading.prefix_hits
        cells[at + R_FOREIGN] = max(there - own, 0)
        cells[at + R_SLOTS] = max(reading.slots, 0)
        cells[at + R_MOST_RUNNING] = max(reading.most_running, 0)
        cells[at + R_IDS_WAY] = reading.ids_way
        loaded = reading.loaded[:MAX_LOADED]
        for index, name in enumerate(loaded):
            cells[at + R_LOADED_HASHES + index] = loaded_hash(name)
        cells[at + R_LOADED] = len(loaded)
        cells[at + R_READ] += 1
        cells[at + R_AT_US] = round(now * 1e6)
        self._board.report_changed(row)

    def cached(self, row: int, tokens: int) -> None:
        """Write how many tokens its prefix cache holds; -1 while that is unknown."""
        self._board.cells[self._board.report(row) + R_CACHED] = tokens + 1

    def cold(self, row: int) -> None:
        """Count that its prefix cache was emptied."""
        self._board.cells[self._board.report(row) + R_COLD] += 1

    def failed(self, row: int) -> None:
        """Count a report that could not be read."""
        self._board.cells[self._board.report(row) + R_FAILED] += 1
