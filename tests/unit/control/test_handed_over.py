"""What one supervisor hands to the next over an upgrade, in a form that travels as JSON."""

import msgspec
import pytest

from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.maintenance import MaintenanceSwitches
from penstock.control.upgrade.messages import Memo
from penstock.control.world.rows import Rows
from penstock.core.health.health import DOWN
from penstock.core.snapshot import HealthCheck, Outlier, Snapshot
from penstock.dataplane.board.layout import (
    H_ENDPOINT_ROWS_USED,
    H_EPOCH,
    L_CONNECT_FAILURES,
    L_CONSECUTIVE_FAILURES,
    L_FAILURES,
    L_IN_FLIGHT,
    L_REQUESTS,
    L_RUN_LOCAL,
    S_DRAINING,
    S_WEIGHT_PPM,
)
from penstock.dataplane.board.memory import Board, create_board
from tests.unit.control.conftest import Clock
from tests.unit.control.worlds import pool, world

CHECKED = pool("a", "e0", "e1", "e2", "e3", health_check=HealthCheck(), outlier=Outlier())


class Supervisor:
    """What of one is handed over, on a board."""

    def __init__(self, board: Board, events: Events, clock: Clock) -> None:
        self.board = board
        self.rows = Rows(board, clock)
        self.states = EndpointStates(board, events, clock, clock)
        self.outliers = OutlierDetection(board, self.states, clock)
        self.maintenance = MaintenanceSwitches(events, self._refresh, clock)

    def run(self, generation: int) -> Snapshot:
        placed = self.rows.place(world([CHECKED], generation=generation))
        self.rows.configure(placed)
        self.states.add_new(placed.pools)
        self.states.configure(placed.pools)
        self.outliers.configure(placed)
        self.maintenance.configure(placed)
        return placed

    def memo(self) -> Memo:
        """As it arrives."""
        memo = Memo(self.states.known(), self.outliers.known(), self.maintenance.known())
        return msgspec.json.decode(msgspec.json.encode(memo), type=Memo)

    async def _refresh(self) -> None:
        """Nothing is published."""


@pytest.fixture
async def old(board: Board, events: Events, clock: Clock) -> Supervisor:
    """e0 is drained, e1 ejected, e2 down and of another weight; the pool is set aside."""
    made = Supervisor(board, events, clock)
    made.run(generation=1)
    made.states.drain("a", "e0", "by hand")
    made.states.set_health("a", "e2", DOWN, "no answer")
    made.states.set_weight("a", "e2", 0.5, "by hand")
    await made.maintenance.switch_on("a", "back soon", 0, "by hand")
    made.outliers.refresh()
    load = board.load(1, 0)
    for cell in (L_CONNECT_FAILURES, L_FAILURES, L_CONSECUTIVE_FAILURES, L_RUN_LOCAL):
        board.cells[load + cell] = 10
    clock.now += 0.1
    made.outliers.refresh()
    assert made.states.of("a", "e1").shown == "ejected"
    return made


async def test_the_next_one_knows_it_all_on_a_board_of_its_own(
    old: Supervisor, events: Events, clock: Clock
) -> None:
    new = Supervisor(create_board(2, endpoint_rows=8, pool_rows=4), events, clock)
    memo = old.memo()
    new.states.restore(memo.endpoints)
    new.outliers.restore(memo.ejections)
    new.maintenance.restore(memo.maintenance)
    new.run(generation=2)
    shown = {name: new.states.of("a", name).shown for name in ("e0", "e1", "e2")}
    assert shown == {"e0": "draining", "e1": "ejected", "e2": "down"}
    assert new.states.of("a", "e2").weight == 0.5
    assert new.states.of("a", "e2").cause.reason == "no answer"
    assert new.maintenance.since("a") == old.maintenance.since("a")
    cells = new.board.cells
    assert cells[new.board.state(0) + S_DRAINING] == 1
    assert cells[new.board.state(2) + S_WEIGHT_PPM] == 500_000
    clock.now += 0.1
    new.outliers.refresh()
    assert new.states.of("a", "e1").shown == "ejected", "its time is not over"
    clock.now += 31.0
    new.outliers.refresh()
    assert new.states.of("a", "e1").shown != "ejected"


async def test_a_board_that_is_shared_stays_the_old_ones_until_it_gives_up(
    old: Supervisor, events: Events, clock: Clock
) -> None:
    board = old.board
    new = Supervisor(board, events, clock)
    given = old.rows.given()
    new.rows.go_on_from(given, 1)
    new.states.leave_alone(row for _, _, row in given.endpoints)
    new.states.restore(old.memo().endpoints)
    before = board.cells[H_EPOCH]
    placed = new.run(generation=2)
    assert [each.row for each in placed.pools[0].endpoints] == [0, 1, 2, 3]
    old.states.undrain("a", "e0", "by hand")
    assert board.cells[H_EPOCH] == before + 1, "the old one alone tells workers"
    assert board.cells[board.state(0) + S_DRAINING] == 0
    new.states.restore(old.memo().endpoints)
    new.states.write_all()
    assert board.cells[board.state(0) + S_DRAINING] == 0
    assert board.cells[H_EPOCH] > before + 1


def test_what_a_successor_that_died_wrote_is_cleaned(
    board: Board, events: Events, clock: Clock
) -> None:
    old = Supervisor(board, events, clock)
    old.run(generation=1)
    board.cells[board.load(0, 1) + L_REQUESTS] = 7
    board.cells[H_ENDPOINT_ROWS_USED] = 6  # the successor gave out two more
    board.cells[board.load(4, 1) + L_IN_FLIGHT] = 3
    old.rows.clean(range(1, 2))
    assert board.cells[H_ENDPOINT_ROWS_USED] == 4
    assert board.cells[board.load(4, 1) + L_IN_FLIGHT] == 0
    assert board.cells[board.load(0, 1) + L_REQUESTS] == 7, "totals of rows in use stay"
