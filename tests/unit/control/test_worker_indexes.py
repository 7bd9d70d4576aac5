"""Worker indexes of a board that supervisors share, one after the other."""

import os

import pytest

from penstock.control.workers.indexes import Leaving, WorkerIndexes
from penstock.control.workers.takeover import Process, identify
from penstock.dataplane.board.layout import H_ENDPOINT_ROWS_USED, L_IN_FLIGHT
from penstock.dataplane.board.memory import Board, create_board

DEAD = Process(2**22 + 1, "1")


@pytest.fixture
def board() -> Board:
    """Room for two workers, and for two others beside them."""
    return create_board(4, endpoint_rows=2, pool_rows=1)


def test_a_successor_gets_the_half_that_is_free(board: Board) -> None:
    old = WorkerIndexes(board, 0, 2)
    assert old.lend(2) == (2, 4)
    assert old.counted() == (0, 4), "both count, from before the new ones run"
    new = WorkerIndexes(board, 2, 2)
    new.inherit([Leaving(0, 2, (identify(os.getpid()),))])
    assert new.counted() == (0, 4)
    assert new.lend(2) is None, "the old ones are still there"


def test_who_has_finished_counts_no_more_and_makes_room(board: Board) -> None:
    new = WorkerIndexes(board, 2, 2)
    new.inherit([Leaving(0, 2, (DEAD,))])
    board.cells[board.load(0, 1) + L_IN_FLIGHT] = 3
    board.cells[H_ENDPOINT_ROWS_USED] = 1
    assert new.look()
    assert not new.look()
    assert board.load_sum(0, L_IN_FLIGHT) == 0
    assert new.counted() == (2, 4)
    assert new.lend(2) == (0, 2)


def test_one_that_came_to_nothing_gives_its_indexes_back(board: Board) -> None:
    old = WorkerIndexes(board, 0, 2)
    old.lend(2)
    assert old.came_to_nothing([DEAD]) == (2, 4)
    assert old.lend(2) is None
    old.look()
    assert old.counted() == (0, 2)
    assert old.lend(2) == (2, 4)


def test_more_workers_than_there_is_room_for_are_lent_none(board: Board) -> None:
    assert WorkerIndexes(board, 0, 2).lend(3) is None
    assert WorkerIndexes(board, 0, 2).lend(1) == (2, 3)
