"""Places on the board: all see what each worker has, in a table that is bounded."""

import os
from collections.abc import Iterator

import pytest

from penstock.control.workers.ended import forget_running
from penstock.dataplane.board.held_places import HeldPlaces
from penstock.dataplane.board.layout import LEDGER_PLACES
from penstock.dataplane.board.ledger import BoardLedger
from penstock.dataplane.board.memory import Board, create_board


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(3, endpoint_rows=1, pool_rows=1)
    yield made
    os.close(made.fd)


def test_each_sees_what_the_others_have_and_not_its_own(board: Board) -> None:
    one, other, third = (HeldPlaces(board, worker) for worker in range(3))
    one.hold("limit", "a", 2.0)
    other.hold("limit", "a", 3.0)
    other.hold("limit", "b", 7.0)
    assert one.others("limit", "a") == 3.0
    assert other.others("limit", "a") == 2.0
    assert third.others("limit", "a") == 5.0
    other.hold("limit", "a", 0.0)
    assert third.others("limit", "a") == 2.0
    forget_running(board, 0)
    assert third.others("limit", "a") == 0.0


def test_names_that_meet_at_their_ends_are_told_apart(board: Board) -> None:
    one, other = HeldPlaces(board, 0), HeldPlaces(board, 1)
    one.hold("a\0b", "c", 1.0)
    assert other.others("a", "b\0c") == 0.0


def test_however_many_subjects_there_are_what_tenants_were_given_stays(board: Board) -> None:
    ledger, held = BoardLedger(board, 0, "p"), HeldPlaces(board, 0)
    for number in range(64):
        ledger.add(f"{number}", 5.0)
    for number in range(3 * LEDGER_PLACES):
        held.hold("limit", f"{number}", 1.0)
    assert all(ledger.total(f"{number}") == pytest.approx(5.0) for number in range(64))
    for number in range(1000, 1064):
        ledger.add(f"{number}", 1.0)
    assert all(ledger.total(f"{number}") == pytest.approx(1.0) for number in range(1000, 1064))
