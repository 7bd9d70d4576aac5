"""The board's memory: room costs nothing until rows are used."""

import os
from collections.abc import Iterator

import pytest

from penstock.control.workers.ended import forget_running
from penstock.dataplane.board.layout import (
    H_ENDPOINT_ROWS_USED,
    L_REQUESTS,
    LOAD_CELLS,
    POOL_CELLS,
    REPORT_CELLS,
    STATE_CELLS,
)
from penstock.dataplane.board.memory import ENDPOINT_ROWS, POOL_ROWS, Board, create_board

WORKERS = 8
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(WORKERS)
    yield made
    os.close(made.fd)


def taken_bytes(board: Board) -> int:
    return os.fstat(board.fd).st_blocks * 512


def test_a_new_board_takes_next_to_no_memory_whatever_it_has_room_for(board: Board) -> None:
    assert os.fstat(board.fd).st_size > 8 * ENDPOINT_ROWS * WORKERS * LOAD_CELLS
    assert taken_bytes(board) <= 4 * PAGE_BYTES


def test_rows_take_their_own_cells_and_no_more(board: Board) -> None:
    rows = 100
    before = taken_bytes(board)
    for row in range(rows):
        board.cells[board.state(row)] = 1
        board.cells[board.report(row)] = 1
        for worker in range(WORKERS):
            board.cells[board.load(row, worker)] = 1
    own = 8 * rows * (STATE_CELLS + REPORT_CELLS + WORKERS * LOAD_CELLS)
    rounded_up = 2 * PAGE_BYTES  # in each of the three sections
    assert taken_bytes(board) - before <= own + 3 * rounded_up


def test_the_last_row_is_as_good_as_the_first(board: Board) -> None:
    last = ENDPOINT_ROWS - 1
    board.cells[board.load(last, WORKERS - 1) + L_REQUESTS] = 7
    assert board.load_sum(last, L_REQUESTS) == 7
    assert board.load(last, WORKERS - 1) + LOAD_CELLS <= board.pool(0, 0)
    assert board.pool(POOL_ROWS - 1, WORKERS - 1) + POOL_CELLS <= board.model(0, 0)


def test_a_worker_that_dies_costs_no_memory_for_rows_never_given_out(board: Board) -> None:
    """Reading would take it, too."""
    board.cells[H_ENDPOINT_ROWS_USED] = 1
    forget_running(board, 0)
    before = taken_bytes(board)
    forget_running(board, 1)
    assert taken_bytes(board) - before <= 2 * PAGE_BYTES, "but for the sketch of addresses"
