"""A pool whose endpoints are somebody else's: their number is changed, and nothing else."""

from penstock.control.discovery.source import SCALER, provider_source
from penstock.control.events import Events
from penstock.control.scale.actuator import ActuatorError, AdoptedError
from penstock.core.snapshot import Endpoint, Scale
from penstock.dataplane.board.memory import Board
from tests.unit.control.conftest import Clock
from tests.unit.control.scale.test_pool_scaler import Hands, Site

FOUND = provider_source(0, "kubernetes")


class Cluster(Hands):
    """Pods, each with two ports; discovery finds them, not the actuator."""

    owns = False

    def __init__(self, clock: Clock, rules: Scale) -> None:
        super().__init__(clock, rules)
        self.refuses: ActuatorError | None = None
        self.by_turn = False

    async def start(self, count: int) -> None:
        if self.refuses is not None:
            raise self.refuses
        await super().start(count)

    async def stop(self, name: str) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.stopped.append(name)
        self.found[name].state = "stopping"

    def get_ready(self) -> None:
        for number, unit in enumerate(self.found.values()):
            unit.state, unit.host = "ready", f"10.0.0.{number + 1}"
            unit.turn = -number if self.by_turn else 0


class Managed(Site):
    def __init__(self, board: Board, events: Events, clock: Clock, **rules: object) -> None:
        super().__init__(board, events, clock, **rules)
        self.cluster = Cluster(clock, self.hands.rules)
        self.hands = self.cluster
        self.scaler = self.new_scaler()

    def discover(self) -> None:
        hosts = [unit.host for unit in self.cluster.units() if unit.host]
        found = [Endpoint(name=f"{h}:{p}", host=h, port=p) for h in hosts for p in (80, 81)]
        self.membership.set(FOUND, "main", found)

    def draining(self) -> list[str]:
        return [n for n in self.names() if self.states.of("main", n).is_draining]


async def grown(board: Board, events: Events, clock: Clock, *, by_turn: bool = False) -> Managed:
    """With three pods that serve 20 requests a second."""
    site = Managed(board, events, clock)
    site.cluster.by_turn = by_turn
    await site.looks(5, 20.0)
    site.cluster.get_ready()
    site.discover()
    await site.looks(4, 20.0)
    assert len(site.names()) == 6
    assert site.scaler.view().actual == 3
    return site


async def test_a_pod_is_drained_with_all_its_endpoints_and_then_removed(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    for row in range(6):
        site.streams(row, 3 if row < 2 else 1)
    await site.looks(8)
    assert site.draining() == ["10.0.0.2:80", "10.0.0.2:81", "10.0.0.3:80", "10.0.0.3:81"]
    site.streams(2, 0)
    await site.look()
    assert site.cluster.stopped == []  # its other port is still used
    site.streams(3, 0)
    await site.look()
    assert site.cluster.stopped == ["main-2"]
    assert site.membership.told(SCALER, "main") == ()


async def test_a_removal_that_fails_is_tried_again_and_the_reason_goes_with_it(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    site.cluster.refuses = ActuatorError("permission denied")
    await site.looks(9)
    assert site.scaler.view().problem == "permission denied"
    assert len(site.draining()) == 4
    site.cluster.refuses = None
    await site.look()
    assert sorted(site.cluster.stopped) == ["main-2", "main-3"]
    assert site.scaler.view().problem == ""


async def test_what_cannot_be_asked_is_said_until_it_answers(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    site.cluster.blind = "no route to the API server"
    await site.looks(2, 20.0)
    assert site.scaler.view().problem == "no route to the API server"
    assert site.scaler.view().actual == 3
    site.cluster.blind = ""
    await site.look(20.0)
    assert site.scaler.view().problem == ""


async def test_nothing_is_added_to_what_was_never_seen(
    board: Board, events: Events, clock: Clock
) -> None:
    site = Managed(board, events, clock)
    site.cluster.blind = "pods may not be listed"
    await site.looks(3, 20.0)
    assert site.cluster.found == {}
    site.cluster.blind = ""
    await site.look(20.0)
    assert len(site.cluster.found) == 3


async def test_who_has_to_go_first_is_waited_for(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock, by_turn=True)
    site.streams(4, 1)  # of the pod with the highest ordinal
    await site.looks(9)
    assert len(site.draining()) == 4
    assert site.cluster.stopped == []
    site.streams(4, 0)
    await site.looks(2)
    assert site.cluster.stopped == ["main-3", "main-2"]


async def test_who_was_spared_serves_again(board: Board, events: Events, clock: Clock) -> None:
    site = await grown(board, events, clock)
    await site.looks(9)
    assert sorted(site.cluster.stopped) == ["main-2", "main-3"]
    site.cluster.found["main-2"].state = "ready"  # the cluster removed another
    await site.look()
    assert "10.0.0.2:80" not in site.draining()
    assert "10.0.0.3:80" in site.draining()


async def test_an_operators_drain_is_nobodys_to_end(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    site.states.drain("main", "10.0.0.1:80", "an operator drained it")
    await site.looks(3, 20.0)
    assert site.draining() == ["10.0.0.1:80"]


async def test_a_number_changed_by_others_is_no_failure(
    board: Board, events: Events, clock: Clock
) -> None:
    site = Managed(board, events, clock)
    site.cluster.refuses = AdoptedError("others changed it from 1 to 4")
    await site.look(20.0)
    assert site.scaler.view().problem == ""
    site.cluster.refuses = None
    await site.look(20.0)
    assert len(site.cluster.found) == 3  # at once


async def test_a_placeholder_that_gets_its_name_is_no_change(
    board: Board, events: Events, clock: Clock
) -> None:
    site = Managed(board, events, clock)
    await site.looks(2, 20.0)
    unit = site.cluster.found.pop("main-1")
    unit.was, unit.name = unit.name, "llm-5c9-x"
    site.cluster.found[unit.name] = unit
    await site.look(20.0)
    assert "adopted" not in site.scaler.view().reason


async def test_a_pool_that_is_scaled_no_more_leaves_all_of_it_and_in_use(
    board: Board, events: Events, clock: Clock
) -> None:
    site = await grown(board, events, clock)
    for row in range(6):
        site.streams(row, 1)
    await site.looks(8)
    assert len(site.draining()) == 4
    await site.scaler.let_go(site.pool, replaced=False)
    assert site.draining() == []
    assert site.cluster.stopped == []
    assert site.scaler.is_empty
