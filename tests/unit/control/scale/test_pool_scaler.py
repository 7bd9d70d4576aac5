"""One pool that is scaled: whom it starts, drains, takes out and stops, and in which order."""

import msgspec
from msgspec.structs import replace

from penstock.control.discovery.membership import Membership
from penstock.control.discovery.source import SCALER
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.scale.actuator import Actuator, ActuatorError, Unit
from penstock.control.scale.foreseen import ForeseenDemand
from penstock.control.scale.known_scaler import KnownScaler
from penstock.control.scale.pool_scaler import PoolScaler
from penstock.core.scale.capacity import Places
from penstock.core.scale.demand import Foresight
from penstock.core.scale.planner import Planner
from penstock.core.snapshot import Endpoint, Pool, Scale
from penstock.dataplane.board.layout import L_IN_FLIGHT, P_REQUESTS, P_WAITING
from penstock.dataplane.board.memory import Board
from tests.unit.control.conftest import Clock

EVERY_S = 5.0


class Hands(Actuator):
    """Starts and stops nothing, and remembers what it was told."""

    name = "hands"

    def __init__(self, clock: Clock, rules: Scale) -> None:
        self.pool, self.rules = "main", rules
        self.clock = clock
        self.found: dict[str, Unit] = {}
        self.stopped: list[str] = []
        self.broken = ""
        self.blind = ""
        self.made = 0

    async def look(self) -> None:
        if self.blind:
            raise ActuatorError(self.blind)

    def units(self) -> list[Unit]:
        return list(self.found.values())

    async def start(self, count: int) -> None:
        if self.broken:
            raise ActuatorError(self.broken)
        for _ in range(count):
            self.made += 1
            name = f"main-{self.made}"
            self.found[name] = Unit(name, "starting", self.clock())

    async def stop(self, name: str) -> None:
        self.stopped.append(name)
        del self.found[name]

    def forget(self, name: str) -> None:
        del self.found[name]

    def get_ready(self) -> None:
        for unit in self.found.values():
            if unit.state == "starting":
                unit.state, unit.ready_at = "ready", self.clock()
                port = 9000 + int(unit.name.rpartition("-")[2])
                unit.endpoint = Endpoint(name=unit.name, host="127.0.0.1", port=port)


class Site:
    """A pool with its board, as the supervisor has them; load is what the tests say."""

    def __init__(self, board: Board, events: Events, clock: Clock, **rules: object) -> None:
        given: dict[str, object] = {
            "max": 3,
            "min": 1,
            "concurrency": 10,
            "start_time_s": 10.0,
            "cool_down_s": 20.0,
            "drain_s": 60.0,
            "interval_s": EVERY_S,
        }
        spec = Scale(**(given | rules))  # type: ignore[arg-type]
        self.board, self.clock, self.events = board, clock, events
        self.spec = spec
        self.states = EndpointStates(board, events, clock, clock)
        self.membership = Membership(clock)
        self.hands: Hands = Hands(clock, spec)
        self.pool = Pool("main", (), row=0, scale=spec)
        self.gone = True
        self.scaler = self.new_scaler()

    def new_scaler(self) -> PoolScaler:
        return PoolScaler(
            Planner(self.spec, Places(10, 0.05, 1.0), Foresight()),
            ForeseenDemand(lambda: None, self.spec.quantile),
            self.hands,
            self.board,
            self.states,
            self.membership,
            self.events,
            lambda endpoint: self.gone,
        )

    def upgrade(self) -> None:
        """The scaler of another version goes on, which knows what it is handed over."""
        known = msgspec.json.encode(self.scaler.known())
        self.scaler = self.new_scaler()
        self.scaler.inherit(msgspec.json.decode(known, type=KnownScaler))

    async def look(self, rate: float = 0.0) -> None:
        self.clock.now += EVERY_S
        self.board.cells[self.board.pool(0, 0) + P_REQUESTS] += int(rate * EVERY_S)
        await self.scaler.look(self.pool, self.clock.now, 0.0)
        members = self.membership.members("main", ())
        self.pool = replace(
            self.pool, endpoints=tuple(replace(e, row=n) for n, e in enumerate(members))
        )
        self.states.add_new([self.pool])
        self.states.configure([self.pool])

    async def looks(self, count: int, rate: float = 0.0) -> None:
        for _ in range(count):
            await self.look(rate)

    def streams(self, row: int, count: int) -> None:
        self.board.cells[self.board.load(row, 0) + L_IN_FLIGHT] = count

    def names(self) -> list[str]:
        return [each.name for each in self.pool.endpoints]


async def grown(board: Board, events: Events, clock: Clock, **rules: object) -> Site:
    """With three endpoints that serve 20 requests a second."""
    site = Site(board, events, clock, **rules)
    await site.looks(5, 20.0)
    site.hands.get_ready()
    await site.looks(4, 20.0)
    assert site.names() == ["main-1", "main-2", "main-3"]
    return site


async def test_what_is_started_is_in_the_pool_once_it_is_ready(
    board: Board, events: Events, clock: Clock
) -> None:
    site = Site(board, events, clock)
    await site.looks(3, 20.0)
    assert len(site.hands.found) == 3
    assert site.names() == []
    site.hands.get_ready()
    await site.look(20.0)
    assert site.names() == ["main-1", "main-2", "main-3"]
    assert site.scaler.planner.starts.seen != []


async def test_what_is_to_go_drains_leaves_the_pool_and_is_stopped_then(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    for row in range(3):
        site.streams(row, 3 - row)
    await site.looks(8)
    draining = [n for n in site.names() if site.states.of("main", n).is_draining]
    assert draining == ["main-2", "main-3"]  # the fewest streams
    assert site.hands.stopped == []
    site.gone = False  # a worker has not heard that it left
    site.streams(1, 0)
    site.streams(2, 0)
    await site.looks(2)
    assert site.names() == ["main-1"]
    assert site.hands.stopped == []
    site.gone = True
    await site.look()
    assert sorted(site.hands.stopped) == ["main-2", "main-3"]


async def test_streams_are_waited_for_as_long_as_drain_says(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock, drain_s=60.0)
    for row in range(3):
        site.streams(row, 1)
    await site.looks(8)
    await site.looks(9)
    assert site.hands.stopped == []
    await site.looks(6)
    assert len(site.hands.stopped) == 2
    assert any("has streams left" in event.message for event in events.recent(100))


async def test_who_drains_is_kept_when_the_load_comes_back(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    for row in range(3):
        site.streams(row, 1)
    await site.looks(8)
    assert sum(site.states.of("main", n).is_draining for n in site.names()) == 2
    await site.looks(3, 20.0)
    assert not any(site.states.of("main", n).is_draining for n in site.names())
    assert len(site.hands.found) == 3


async def test_from_nothing_a_request_that_waits_starts_one(
    board: Board, events: Events, clock: Clock
) -> None:
    site = Site(board, events, clock, min=0)
    await site.looks(3)
    assert site.hands.units() == []
    board.cells[board.pool(0, 0) + P_WAITING] = 1
    await site.look()
    assert len(site.hands.units()) == 1
    assert site.scaler.view().wakes


async def test_a_start_that_fails_is_tried_again_later_and_later(
    board: Board, events: Events, clock: Clock
) -> None:
    site = Site(board, events, clock)
    site.hands.broken = "no such command"
    tries = 0
    for _ in range(24):  # two minutes
        before = site.scaler.view().problem
        await site.look()
        tries += site.scaler.view().problem != before
    assert tries == 5  # after 5, 10, 20, 40 s
    assert "no such command" in site.scaler.view().problem
    site.hands.broken = ""
    await site.looks(20)
    site.hands.get_ready()
    await site.look()
    assert site.scaler.view().problem == ""


async def test_one_that_dies_is_replaced_and_is_nobodys_removal(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    site.hands.found["main-2"].state = "failed"
    await site.look(20.0)
    assert "adopted" not in site.scaler.view().reason
    await site.looks(2, 20.0)
    assert len(site.hands.found) == 3


async def test_what_a_predecessor_handed_over_stays_until_the_actuator_knows(
    board: Board, events: Events, clock: Clock
) -> None:
    site = Site(board, events, clock)
    handed = Endpoint(name="main-9", host="127.0.0.1", port=9009)
    site.membership.set(SCALER, "main", [handed])
    site.hands.blind = "no answer"
    await site.looks(2)
    assert site.names() == ["main-9"]
    site.hands.blind = ""
    await site.look()
    assert site.names() == []


async def test_who_drains_over_an_upgrade_is_waited_for_and_stopped_all_the_same(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    for row in range(3):
        site.streams(row, 3 - row)
    await site.looks(8)
    site.upgrade()
    await site.looks(3)
    assert site.hands.stopped == []
    site.streams(1, 0)
    site.streams(2, 0)
    await site.looks(2)
    assert sorted(site.hands.stopped) == ["main-2", "main-3"]


async def test_who_left_the_pool_before_an_upgrade_does_not_come_back(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    site.gone = False
    await site.looks(10)
    assert site.names() == ["main-1"]
    site.upgrade()
    await site.looks(2)
    assert site.names() == ["main-1"]
    assert site.hands.stopped == []
    site.gone = True
    await site.look()
    assert sorted(site.hands.stopped) == ["main-2", "main-3"]


async def test_advice_is_only_said(board: Board, events: Events, clock: Clock) -> None:
    site = Site(board, events, clock, mode="advise")
    await site.looks(4, 20.0)
    assert site.hands.units() == []
    view = site.scaler.view()
    assert (view.desired, view.actual) == (3, 0)
    assert view.broken_s > 0.0
    await site.looks(4, 20.0)
    assert site.scaler.view().advised_broken_s <= site.scaler.view().broken_s


async def test_a_pool_that_is_scaled_no_more_stops_all_that_it_started(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    site.scaler.leaving = True
    await site.looks(4, 20.0)
    assert site.scaler.is_empty
    assert site.membership.told(SCALER, "main") == ()


async def test_those_started_with_other_settings_give_way_one_after_another(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    site.scaler.outdate()
    site.hands.broken = "no such command"
    await site.looks(3, 20.0)
    assert site.names() == ["main-1", "main-2", "main-3"]
    assert "those with the settings before serve on" in site.scaler.view().problem
    site.hands.broken = ""
    for _ in range(12):
        await site.look(20.0)
        site.hands.get_ready()
        serving = [n for n in site.names() if not site.states.of("main", n).is_draining]
        assert len(serving) >= 3
        assert len(site.hands.found) <= 5
    assert site.names() == ["main-4", "main-5", "main-6"]
    assert site.scaler.view().actual == 3
    assert not any("adopted" in event.message for event in events.recent(100))
