"""What a worker process leaves when it has ended."""

import signal
from typing import Final

from penstock.dataplane.board.held_places import forget_places
from penstock.dataplane.board.layout import (
    ADDRESS_SLOTS,
    P_KEPT_BYTES,
    P_LIMIT_MILLI,
    P_WAITING,
    W_CONNECTIONS,
    W_IDLE_ENDPOINT_CONNECTIONS,
    W_SESSIONS,
)
from penstock.dataplane.board.memory import Board

_FIRST_PAUSE_S: Final = 0.1  # before the second restart in a row; then doubled
_LONGEST_PAUSE_S: Final = 5.0


def forget_running(board: Board, worker: int) -> None:
    """Zero a dead worker's current counts; its totals stay."""
    cells = board.cells
    for row in range(board.endpoint_rows_used):
        board.clear_present_load(row, worker)
    for row in range(board.pool_rows_used):
        at = board.pool(row, worker)
        cells[at + P_WAITING] = 0
        cells[at + P_LIMIT_MILLI] = 0
        board.clear_queue(row, worker)
        cells[at + P_KEPT_BYTES] = 0
    at = board.worker(worker)
    cells[at + W_CONNECTIONS] = 0
    cells[at + W_SESSIONS] = 0
    cells[at + W_IDLE_ENDPOINT_CONNECTIONS] = 0
    for sketch_row in range(2):
        for slot in range(ADDRESS_SLOTS):
            cells[board.address_slot(sketch_row, slot, worker)] = 0
    forget_places(board, worker)


def describe_exit(code: int) -> str:
    """An exit code as ``subprocess`` gives it, for people."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def pause_before(early_ends: int) -> float:
    """The pause before a restart: none after a steady run or a single early end."""
    if early_ends < 2:
        return 0.0
    pause: float = _FIRST_PAUSE_S * 2.0 ** (early_ends - 2)
    return min(_LONGEST_PAUSE_S, pause)
