"""Rows of the board: kept over reloads, used again only when nobody can write there any more."""

import pytest

from penstock.control.world.rows import BoardFullError, Rows
from penstock.core.snapshot import Snapshot
from penstock.core.snapshot.changes import endpoint_changes
from penstock.dataplane.board.layout import L_IN_FLIGHT, L_REQUESTS, P_REQUESTS
from penstock.dataplane.board.memory import Board
from tests.unit.control.conftest import Clock
from tests.unit.control.worlds import world

LONG_S = 60.0


class Reloads:
    """Publishes worlds one after the other, as the publisher does."""

    def __init__(self, board: Board, clock: Clock, told: str) -> None:
        self.told = told
        self.rows = Rows(board, clock)
        self.generation = 0
        self.running = world()

    def publish(self, pools: dict[str, list[str]]) -> Snapshot:
        self.generation += 1
        before = self.running
        self.running = self.rows.place(world(pools, generation=self.generation))
        changes = endpoint_changes(before, self.running) if self.told == "changes" else None
        if changes is not None:
            self.rows.change(changes)
        else:
            self.rows.configure(self.running)
        return self.running


@pytest.fixture(params=["all", "changes"])
def reloads(board: Board, clock: Clock, request: pytest.FixtureRequest) -> Reloads:
    return Reloads(board, clock, request.param)


def endpoint_rows(snapshot: Snapshot) -> dict[tuple[str, str], int]:
    return {(pool.name, each.name): each.row for pool in snapshot.pools for each in pool.endpoints}


def test_every_endpoint_and_pool_has_a_row_of_its_own(reloads: Reloads) -> None:
    placed = reloads.publish({"a": ["x", "y"], "b": ["x"]})
    assert sorted(endpoint_rows(placed).values()) == [0, 1, 2]
    assert [pool.row for pool in placed.pools] == [0, 1]


def test_rows_stay_over_reloads_whatever_comes_and_goes(reloads: Reloads) -> None:
    before = endpoint_rows(reloads.publish({"a": ["x", "y", "z"]}))
    after = endpoint_rows(reloads.publish({"new": ["x"], "a": ["z", "x", "more"]}))
    assert (after["a", "x"], after["a", "z"]) == (before["a", "x"], before["a", "z"])
    assert not {after["new", "x"], after["a", "more"]} & set(before.values())


def test_a_row_is_free_only_after_everybody_acknowledged_a_world_without_it(
    reloads: Reloads, board: Board, clock: Clock
) -> None:
    gone = endpoint_rows(reloads.publish({"a": ["x", "y"]}))["a", "x"]
    reloads.publish({"a": ["y"]})
    board.cells[board.load(gone, 1) + L_REQUESTS] = 5
    clock.now += LONG_S
    reloads.rows.reclaim(acknowledged=1)
    assert endpoint_rows(reloads.publish({"a": ["y", "p"]}))["a", "p"] != gone
    reloads.rows.reclaim(acknowledged=2)
    assert endpoint_rows(reloads.publish({"a": ["y", "p", "q"]}))["a", "q"] == gone
    assert board.load_sum(gone, L_REQUESTS) == 0, "counts of the endpoint before are wiped"


def test_a_row_with_requests_in_flight_is_not_free(
    reloads: Reloads, board: Board, clock: Clock
) -> None:
    gone = endpoint_rows(reloads.publish({"a": ["x", "y"]}))["a", "x"]
    board.cells[board.load(gone, 1) + L_IN_FLIGHT] = 1
    reloads.publish({"a": ["y"]})
    clock.now += LONG_S
    reloads.rows.reclaim(acknowledged=2)
    assert endpoint_rows(reloads.publish({"a": ["y", "p"]}))["a", "p"] != gone
    board.cells[board.load(gone, 1) + L_IN_FLIGHT] = 0
    reloads.rows.reclaim(acknowledged=3)
    assert endpoint_rows(reloads.publish({"a": ["y", "p", "q"]}))["a", "q"] == gone


def test_an_endpoint_that_returns_at_once_gets_another_row(reloads: Reloads) -> None:
    """Requests of its former life still count in the old one."""
    before = endpoint_rows(reloads.publish({"a": ["x", "y"]}))["a", "x"]
    reloads.publish({"a": ["y"]})
    assert endpoint_rows(reloads.publish({"a": ["x", "y"]}))["a", "x"] != before


def test_pool_rows_are_used_again_too(reloads: Reloads, board: Board, clock: Clock) -> None:
    gone = reloads.publish({"a": ["x"], "b": ["x"]}).pools[0].row
    reloads.publish({"b": ["x"]})
    board.cells[board.pool(gone, 0) + P_REQUESTS] = 5
    clock.now += LONG_S
    reloads.rows.reclaim(acknowledged=2)
    assert reloads.publish({"b": ["x"], "c": ["x"]}).pools[1].row == gone
    assert board.pool_sum(gone, P_REQUESTS) == 0


def test_a_full_board_is_said_and_costs_nothing(reloads: Reloads, board: Board) -> None:
    reloads.publish({"a": ["x", "y"]})
    too_many = [f"e{number}" for number in range(board.endpoint_rows)]
    with pytest.raises(BoardFullError, match="no room for 10 endpoints: the board has 8 rows"):
        reloads.rows.place(world({"a": ["x", "y", *too_many]}, generation=2))
    placed = reloads.publish({"a": ["x", "y", *too_many[:6]]})
    assert len(set(endpoint_rows(placed).values())) == board.endpoint_rows


def test_too_many_pools_are_refused_and_their_endpoints_rows_return(
    reloads: Reloads, board: Board, clock: Clock
) -> None:
    running = reloads.publish({"a": ["x"]})
    pools = {f"p{number}": ["x"] for number in range(board.pool_rows + 1)}
    with pytest.raises(BoardFullError, match="pools"):
        reloads.rows.place(world(pools, generation=2))
    reloads.rows.configure(running)
    clock.now += LONG_S
    reloads.rows.reclaim(acknowledged=1)
    endpoints = [f"e{number}" for number in range(board.endpoint_rows - 1)]
    assert reloads.publish({"a": ["x", *endpoints]})
