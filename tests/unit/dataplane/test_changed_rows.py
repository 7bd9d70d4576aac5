"""Workers read the states and reports that changed, and all of them where they fell behind."""

import os
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import Endpoint, Engine, Pool, Snapshot
from penstock.core.snapshot.changes import endpoint_changes
from penstock.dataplane.board.layout import (
    CHANGED_ROWS,
    H_EPOCH,
    H_REPORTS,
    R_AT_US,
    R_LOADED,
    R_RUNNING,
    S_HEALTH,
    S_WEIGHT_PPM,
)
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.context import Context
from penstock.dataplane.worker.live_snapshot import LiveSnapshot

ENDPOINTS = 4
STRANGER = 60  # a row of which the worker knows nothing


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(1, endpoint_rows=64, pool_rows=4)
    yield made
    os.close(made.fd)


def test_a_reader_hears_of_the_rows_that_changed_since_it_read_last(board: Board) -> None:
    epoch = board.cells[H_EPOCH]
    for row in (5, 9, 5):
        board.state_changed(row)
    board.report_changed(7)
    assert board.states_since(epoch) == [5, 9, 5]
    assert board.states_since(board.cells[H_EPOCH]) == []
    assert board.reports_since(board.cells[H_REPORTS] - 1) == [7]


def test_one_that_never_read_or_fell_behind_is_told_to_read_all(board: Board) -> None:
    board.state_changed(1)
    assert board.states_since(-1) is None
    for _ in range(CHANGED_ROWS - 2):
        board.state_changed(2)
    assert board.states_since(0) == [1] + [2] * (CHANGED_ROWS - 2)
    board.state_changed(3)
    assert board.states_since(0) is None


@given(st.lists(st.tuples(st.integers(0, 2 * CHANGED_ROWS), st.booleans()), max_size=12))
@settings(max_examples=60, deadline=None)
def test_no_reader_misses_a_row_however_often_it_looks(turns: list[tuple[int, bool]]) -> None:
    board = create_board(1, endpoint_rows=8, pool_rows=1)
    unread: set[int] = set()
    epoch = written = 0
    for changes, looks in turns:
        for _ in range(changes % 97 if changes % 5 else changes):
            board.state_changed(written % 8)
            unread.add(written % 8)
            written += 1
        if looks:
            rows = board.states_since(epoch)
            assert rows is None or set(rows) == unread
            epoch = board.cells[H_EPOCH]
            unread.clear()
    os.close(board.fd)


class Running:
    """A worker's snapshot of two pools."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.cells = board.cells
        for row in range(ENDPOINTS):
            self.cells[board.state(row) + S_HEALTH] = UP
            self.cells[board.state(row) + S_WEIGHT_PPM] = 1_000_000
        pools = tuple(
            Pool(
                name=name,
                row=number,
                endpoints=tuple(
                    Endpoint(name=f"e{row}", host="192.0.2.1", port=8000 + row, row=row)
                    for row in (2 * number, 2 * number + 1)
                ),
                engine=Engine(),
            )
            for number, name in enumerate(["one", "two"])
        )
        self.spec = Snapshot(generation=1, listeners=(), routes=(), pools=pools)
        self.context = Context(board, 0, os.getpid())
        self.live = LiveSnapshot(self.spec, None, self.context)
        self.live.configure()

    def down(self) -> list[int]:
        """Rows that the worker believes to be down, after it looked."""
        self.live.refresh()
        members = [each for pool in self.live.pools.values() for each in pool.members]
        return [each.row for each in members if each.health == DOWN]

    def eligible(self) -> list[str]:
        return [each.name for pool in self.live.pools.values() for each in pool.eligible]

    def write_down(self, row: int) -> None:
        self.cells[self.board.state(row) + S_HEALTH] = DOWN

    def reported(self) -> list[int]:
        """Rows whose report the worker has read, after it looked."""
        self.live.refresh()
        members = [each for pool in self.live.pools.values() for each in pool.members]
        return [each.row for each in members if each.reported.loaded]

    def write_report(self, row: int) -> None:
        at = self.board.report(row)
        self.cells[at + R_RUNNING] = 1
        self.cells[at + R_LOADED] = 1
        self.cells[at + R_AT_US] += 1


@pytest.fixture
def running(board: Board) -> Running:
    return Running(board)


def test_only_states_that_are_told_are_read(running: Running) -> None:
    for row in (0, 3):
        running.write_down(row)
    running.board.state_changed(3)
    assert running.down() == [3]
    assert running.eligible() == ["e0", "e1", "e2"]
    running.board.state_changed(0)
    assert running.down() == [0, 3]


def test_a_worker_that_fell_behind_reads_the_states_of_all(running: Running) -> None:
    running.write_down(1)
    for _ in range(CHANGED_ROWS):
        running.board.state_changed(STRANGER)
    assert running.down() == [1]
    assert running.eligible() == ["e0", "e2", "e3"]


def test_rows_that_a_worker_does_not_know_change_nothing(running: Running) -> None:
    running.board.state_changed(STRANGER)
    running.board.report_changed(STRANGER)
    assert running.down() == []


def test_only_reports_that_are_told_are_read_and_all_by_a_worker_that_fell_behind(
    running: Running,
) -> None:
    running.live.refresh()
    for row in range(ENDPOINTS):
        running.write_report(row)
    running.board.report_changed(2)
    assert running.reported() == [2]
    for _ in range(CHANGED_ROWS):
        running.board.report_changed(STRANGER)
    assert running.reported() == list(range(ENDPOINTS))


def test_an_endpoint_that_comes_is_read_at_once_and_heard_of_from_then_on(
    running: Running,
) -> None:
    cells, board = running.cells, running.board
    cells[board.state(9) + S_HEALTH] = UP
    cells[board.state(9) + S_WEIGHT_PPM] = 1_000_000
    running.write_report(9)
    first, *others = running.spec.pools
    new = Endpoint(name="new", host="192.0.2.1", port=9000, row=9)
    grown = msgspec.structs.replace(first, endpoints=(*first.endpoints, new))
    after = msgspec.structs.replace(running.spec, generation=2, pools=(grown, *others))
    changes = endpoint_changes(running.spec, after)
    assert changes is not None
    running.live.configure_endpoints(changes)
    assert running.reported() == [9]
    running.write_down(9)
    board.state_changed(9)
    assert running.down() == [9]
    gone = endpoint_changes(after, msgspec.structs.replace(running.spec, generation=3))
    assert gone is not None
    running.live.configure_endpoints(gone)
    board.state_changed(9)
    assert running.down() == []
