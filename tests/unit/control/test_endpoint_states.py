"""Endpoint states: what is decided reaches the board, the log and the history, with its reason."""

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from penstock.admin.view import UnknownNameError
from penstock.control.endpoints.cause import Cause
from penstock.control.endpoints.states import NOT_CHECKED, EndpointStates
from penstock.control.events import Events
from penstock.core.health.health import DOWN, STARTING, UP
from penstock.core.snapshot import AgentCheck, Drain, HealthCheck, Pool, SlowStart
from penstock.core.snapshot.changes import endpoint_changes
from penstock.dataplane.board.layout import (
    H_EPOCH,
    S_DRAINING,
    S_EJECTED,
    S_HEALTH,
    S_KEEPS_CLIENTS,
    S_MAX_IN_FLIGHT,
    S_WEIGHT_PPM,
)
from penstock.dataplane.board.memory import Board
from penstock.wire.agent_check import AgentAnswer, parse_agent_line
from tests.unit.control.conftest import Clock
from tests.unit.control.worlds import endpoint, pool, world

CHECKED = HealthCheck()
AGENT = AgentCheck(port=9777)


class States:
    """Endpoint states on a board, and what the board says."""

    def __init__(self, board: Board, events: Events, clock: Clock, told: str) -> None:
        self.told = told
        self.before = world()
        self.board = board
        self.events = events
        self.states = EndpointStates(board, events, clock, clock)

    def run(self, *pools: Pool) -> None:
        """These pools are the world, each endpoint in the row of its name: ``e3`` in row 3."""
        placed = [_in_rows(each) for each in pools]
        running = world(placed)
        changes = endpoint_changes(self.before, running) if self.told == "changes" else None
        self.before = running
        self.states.add_new(placed)
        if changes is not None:
            self.states.change(placed, changes)
        else:
            self.states.configure(placed)

    def cells(self, row: int) -> tuple[int, int, int, float]:
        """Health, draining, ejected, weight."""
        at = self.board.state(row)
        cells = self.board.cells
        return (
            cells[at + S_HEALTH],
            cells[at + S_DRAINING],
            cells[at + S_EJECTED],
            cells[at + S_WEIGHT_PPM] / 1e6,
        )

    @property
    def epoch(self) -> int:
        return self.board.cells[H_EPOCH]

    def log(self) -> Sequence[str]:
        return [event.message for event in self.events.recent(100)]


def _in_rows(of: Pool) -> Pool:
    return replace(of, endpoints=tuple(replace(e, row=int(e.name[1:])) for e in of.endpoints))


@pytest.fixture(params=["all", "changes"])
def states(board: Board, events: Events, clock: Clock, request: pytest.FixtureRequest) -> States:
    return States(board, events, clock, request.param)


def test_an_endpoint_without_checks_is_up_with_its_weight(states: States) -> None:
    states.run(Pool(name="a", endpoints=(endpoint("e1", weight=2.5),)))
    assert states.cells(1) == (UP, 0, 0, 2.5)


@pytest.mark.parametrize(("initial", "health"), [("up", STARTING), ("down", DOWN)])
def test_a_checked_endpoint_begins_as_its_check_says(
    states: States, initial: str, health: int
) -> None:
    check = HealthCheck(initial=initial)  # type: ignore[arg-type]
    states.run(pool("a", "e1", health_check=check))
    assert states.cells(1) == (health, 0, 0, 1.0)


def test_the_state_stands_on_the_board_before_workers_hear_of_the_endpoint(
    states: States,
) -> None:
    states.states.add_new([_in_rows(pool("a", "e1"))])
    assert states.cells(1) == (UP, 0, 0, 1.0)


def test_a_verdict_reaches_board_epoch_and_log(states: States) -> None:
    states.run(pool("a", "e1", health_check=CHECKED))
    before = states.epoch
    states.states.set_health("a", "e1", DOWN, "3 checks in a row failed")
    assert states.cells(1)[0] == DOWN
    assert states.epoch > before
    assert states.log() == ["endpoint a/e1 is down: 3 checks in a row failed"]
    shown = states.states.of("a", "e1")
    assert (shown.shown, shown.cause.reason) == ("down", "3 checks in a row failed")
    assert not shown.available


def test_what_changes_nothing_is_neither_logged_nor_told_to_workers(states: States) -> None:
    states.run(pool("a", "e1", health_check=CHECKED))
    states.states.set_health("a", "e1", UP, "answered 200")
    before = states.epoch, len(states.log())
    states.states.set_health("a", "e1", UP, "answered 200 again")
    states.states.undrain("a", "e1", "why not")
    states.states.readmit("a", "e1", "why not")
    states.states.ramp()
    assert (states.epoch, len(states.log())) == before


def test_ejection_and_return(states: States, clock: Clock) -> None:
    states.run(pool("a", "e1"))
    clock.now += 5.0
    states.states.eject("a", "e1", "5 failures in a row")
    assert states.cells(1) == (UP, 0, 1, 1.0)
    state = states.states.of("a", "e1")
    assert (state.shown, state.cause.since, state.ejections) == ("ejected", clock.now, 1)
    states.states.readmit("a", "e1", "the ejection is over")
    assert states.cells(1) == (UP, 0, 0, 1.0)


def test_drain_and_undrain(states: States) -> None:
    states.run(pool("a", "e1", "e2"))
    states.states.drain("a", "e1", "maintenance")
    assert states.cells(1) == (UP, 1, 0, 1.0)
    assert states.cells(2) == (UP, 0, 0, 1.0)
    assert states.states.of("a", "e1").shown == "draining"
    states.states.undrain("a", "e1", "done")
    assert states.cells(1) == (UP, 0, 0, 1.0)


def test_drain_and_run_time_weight_outlive_a_reload(states: States) -> None:
    states.run(pool("a", "e1"))
    states.states.drain("a", "e1", "maintenance")
    states.states.set_weight("a", "e1", 0.25, "less")
    states.run(pool("a", "e1", "e2"))
    assert states.cells(1) == (UP, 1, 0, 0.25)


def test_another_configured_weight_replaces_one_set_at_run_time(states: States) -> None:
    states.run(pool("a", "e1"))
    states.states.set_weight("a", "e1", 0.25, "less")
    states.run(Pool(name="a", endpoints=(endpoint("e1", weight=3.0),)))
    assert states.cells(1)[3] == 3.0


def test_who_took_the_weight_away_and_when_is_told(states: States, clock: Clock) -> None:
    states.run(Pool(name="a", endpoints=(endpoint("e1"), endpoint("e2", weight=0.0))))
    began = clock.now
    clock.now += 5.0
    states.states.set_weight("a", "e1", 0.0, "requested by an operator")
    for name, cause in (
        ("e1", Cause("requested by an operator", clock.now)),
        ("e2", Cause("as configured", began)),
    ):
        state = states.states.of("a", name)
        assert (state.shown, state.cause) == ("weightless", cause)
    states.states.set_weight("a", "e1", 1.0, "requested by an operator")
    assert states.states.of("a", "e1").cause.reason == NOT_CHECKED


def test_a_removed_endpoint_is_forgotten(states: States) -> None:
    states.run(pool("a", "e1"))
    states.states.drain("a", "e1", "maintenance")
    states.run(pool("a", "e2"))
    states.run(pool("a", "e1", "e2"))
    assert states.cells(1) == (UP, 0, 0, 1.0)


def test_checks_that_come_or_go_with_a_reload_decide_anew(states: States) -> None:
    states.run(pool("a", "e1"))
    states.run(pool("a", "e1", health_check=CHECKED))
    assert states.cells(1)[0] == STARTING
    states.states.set_health("a", "e1", DOWN, "connection refused")
    states.run(pool("a", "e1"))
    assert states.cells(1)[0] == UP, "nobody checks it any more"


def test_a_known_verdict_outlives_a_reload(states: States) -> None:
    states.run(pool("a", "e1", health_check=CHECKED))
    states.states.set_health("a", "e1", DOWN, "connection refused")
    states.run(pool("a", "e1", health_check=HealthCheck(fall=7)))
    assert states.cells(1)[0] == DOWN


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(states: States, weight: float) -> None:
    states.run(pool("a", "e1"))
    with pytest.raises(ValueError, match="a weight is a number from 0"):
        states.states.set_weight("a", "e1", weight, "why not")
    assert states.cells(1)[3] == 1.0


def test_unknown_names_are_refused_with_a_hint(states: States) -> None:
    states.run(pool("main", "e1"))
    with pytest.raises(UnknownNameError, match="no pool is called 'mian'; did you mean 'main'"):
        states.states.drain("mian", "e1", "")
    with pytest.raises(UnknownNameError, match="has no endpoint called 'e7'; there are: e1"):
        states.states.drain("main", "e7", "")


class TestSlowStart:
    """A window of 10 s, at least a tenth of the weight."""

    SLOW = SlowStart(window_s=10.0)

    def test_not_at_the_very_start_where_all_are_equally_new(self, states: States) -> None:
        states.run(pool("a", "e1", slow_start=self.SLOW))
        assert states.cells(1)[3] == 1.0

    def test_an_added_endpoint_gets_its_weight_by_and_by(
        self, states: States, clock: Clock
    ) -> None:
        states.run(pool("a", "e1", slow_start=self.SLOW))
        states.run(pool("a", "e1", "e2", slow_start=self.SLOW))
        seen = []
        for _ in range(4):
            seen.append(states.cells(2)[3])
            clock.now += 5.0
            states.states.ramp()
        assert seen == [0.1, 0.5, 1.0, 1.0]
        assert states.cells(1)[3] == 1.0

    def test_a_recovered_and_an_undrained_and_a_readmitted_endpoint_too(
        self, states: States, clock: Clock
    ) -> None:
        states.run(pool("a", "e1", slow_start=self.SLOW, health_check=CHECKED))
        of = states.states
        leave_and_return: list[tuple[Callable[[], None], Callable[[], None]]] = [
            (
                lambda: of.set_health("a", "e1", DOWN, ""),
                lambda: of.set_health("a", "e1", UP, ""),
            ),
            (lambda: of.drain("a", "e1", ""), lambda: of.undrain("a", "e1", "")),
            (lambda: of.eject("a", "e1", ""), lambda: of.readmit("a", "e1", "")),
        ]
        for leave, come_back in leave_and_return:
            leave()
            come_back()
            assert states.cells(1)[3] == 0.1
            clock.now += 60.0
            of.ramp()
            assert states.cells(1)[3] == 1.0

    def test_a_first_verdict_of_up_begins_no_second_ramp(
        self, states: States, clock: Clock
    ) -> None:
        states.run(pool("a", "e1", slow_start=self.SLOW, health_check=CHECKED))
        states.states.set_health("a", "e1", UP, "first check")
        assert states.cells(1)[3] == 1.0


def says(line: str) -> AgentAnswer:
    return parse_agent_line(line.encode())


def test_what_agents_say_reaches_board_status_and_log(states: States, clock: Clock) -> None:
    states.run(Pool(name="a", endpoints=(endpoint("e1", weight=2.0),), agent_check=AGENT))
    of = states.states
    of.agent_says("a", "e1", says("75%"))
    assert states.cells(1) == (UP, 0, 0, 1.5)
    of.agent_says("a", "e1", says("maint #disk"))
    since = clock.now
    clock.now += 5.0
    of.agent_says("a", "e1", says("maint #disks"))
    assert states.cells(1) == (UP, 1, 0, 1.5)
    assert (of.of("a", "e1").shown, of.of("a", "e1").cause) == (
        "maintenance",
        Cause("its agent says: maint #disks", since),
    )
    of.agent_says("a", "e1", says("ready stopped"))
    assert states.cells(1) == (DOWN, 0, 0, 1.5)
    of.agent_says("a", "e1", says("up 0%"))
    assert of.of("a", "e1").shown == "weightless"
    of.agent_says("a", "e1", says("100%"))
    assert states.cells(1) == (UP, 0, 0, 2.0)
    assert states.log() == [
        "endpoint a/e1 is in maintenance: its agent says: maint #disk",
        "endpoint a/e1 is down: its agent says: ready stopped",
        "endpoint a/e1 is weightless: its agent says: up 0%",
        "endpoint a/e1 is no longer weightless: its agent says: 100%",
    ]


def test_an_agent_and_checks_must_both_find_it_up(states: States) -> None:
    states.run(pool("a", "e1", health_check=CHECKED, agent_check=AGENT))
    of = states.states
    of.set_health("a", "e1", UP, "answered 200")
    of.agent_says("a", "e1", says("down"))
    assert states.cells(1)[0] == DOWN
    of.set_health("a", "e1", DOWN, "refused")
    of.agent_says("a", "e1", says("up"))
    assert states.cells(1)[0] == DOWN
    of.set_health("a", "e1", UP, "answered 200")
    assert states.cells(1)[0] == UP


def test_what_an_operator_drained_no_agent_lets_in(states: States) -> None:
    states.run(pool("a", "e1", agent_check=AGENT))
    of = states.states
    of.drain("a", "e1", "requested by an operator")
    of.agent_says("a", "e1", says("ready up 100%"))
    assert states.cells(1)[1] == 1
    of.agent_says("a", "e1", says("drain"))
    of.undrain("a", "e1", "requested by an operator")
    assert states.cells(1)[1] == 1
    of.agent_says("a", "e1", says("ready"))
    assert states.cells(1)[1] == 0


def test_a_bound_by_an_agent_is_told_to_workers(states: States) -> None:
    states.run(pool("a", "e1", agent_check=AGENT))

    def told() -> int:
        return states.board.cells[states.board.state(1) + S_MAX_IN_FLIGHT]

    assert told() == 0
    states.states.agent_says("a", "e1", says("maxconn:30"))
    assert told() == 31
    states.states.agent_says("a", "e1", says("maxconn:0"))
    assert told() == 1
    states.run(pool("a", "e1"))
    assert told() == 0


class TestClientsOfAnEndpointThatDrains:
    def keeps(self, states: States) -> bool:
        return states.board.cells[states.board.state(1) + S_KEEPS_CLIENTS] == 1

    @pytest.mark.parametrize(
        ("act", "undo"),
        [
            (lambda of: of.drain("a", "e1", "x"), lambda of: of.undrain("a", "e1", "x")),
            (
                lambda of: of.set_weight("a", "e1", 0.0, "x"),
                lambda of: of.set_weight("a", "e1", 1.0, "x"),
            ),
            (
                lambda of: of.agent_says("a", "e1", says("drain")),
                lambda of: of.agent_says("a", "e1", says("ready")),
            ),
            (
                lambda of: of.agent_says("a", "e1", says("0%")),
                lambda of: of.agent_says("a", "e1", says("100%")),
            ),
        ],
    )
    def test_they_stay_as_long_as_it_drains(
        self,
        states: States,
        act: Callable[[EndpointStates], None],
        undo: Callable[[EndpointStates], None],
    ) -> None:
        states.run(pool("a", "e1", agent_check=AGENT))
        assert not self.keeps(states)
        act(states.states)
        assert self.keeps(states)
        states.states.ramp()
        assert self.keeps(states)
        undo(states.states)
        assert not self.keeps(states)

    def test_they_stay_where_the_weight_is_configured_so(self, states: States) -> None:
        members = (endpoint("e1", weight=0.0), endpoint("e2"))
        states.run(Pool(name="a", endpoints=members))
        assert self.keeps(states)

    def test_they_move_from_one_in_maintenance(self, states: States) -> None:
        """As in HAProxy, whose word it is."""
        states.run(pool("a", "e1", agent_check=AGENT))
        states.states.agent_says("a", "e1", says("maint"))
        assert not self.keeps(states)
        states.states.drain("a", "e1", "requested by an operator")
        assert not self.keeps(states)

    def test_they_move_where_that_is_wanted(self, states: States) -> None:
        states.run(pool("a", "e1", drain=Drain(sticky="move")))
        states.states.drain("a", "e1", "requested by an operator")
        assert not self.keeps(states)
        states.run(pool("a", "e1"))
        assert self.keeps(states), "a reload says otherwise"

    def test_they_move_when_their_time_is_over(self, states: States, clock: Clock) -> None:
        states.run(pool("a", "e1", drain=Drain(deadline_s=60.0)))
        states.states.drain("a", "e1", "requested by an operator")
        clock.now += 59.0
        states.states.ramp()
        assert self.keeps(states)
        before = states.epoch
        clock.now += 2.0
        states.states.ramp()
        assert not self.keeps(states)
        assert states.epoch > before, "workers hear of it"


def test_an_endpoint_that_its_agent_lets_in_again_starts_slowly(
    states: States, clock: Clock
) -> None:
    states.run(pool("a", "e1", agent_check=AGENT, slow_start=SlowStart(window_s=10.0)))
    states.states.agent_says("a", "e1", says("drain"))
    states.states.agent_says("a", "e1", says("ready"))
    assert states.cells(1)[3] == 0.1
