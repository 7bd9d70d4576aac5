"""What operators can tell a balancer: each command does what its help says, and tells it."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest

from penstock.admin.view import ReloadView, UnknownNameError
from penstock.control.commands import bound, commands
from penstock.control.commands.decisions import Decisions
from penstock.control.commands.drain import Drain
from penstock.control.commands.maintenance import SetMaintenance
from penstock.control.commands.reference import FILE, with_table
from penstock.control.commands.reload import Reload
from penstock.control.commands.stop import Stop
from penstock.control.commands.undrain import Undrain
from penstock.control.commands.weight import Weight
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.maintenance import MaintenanceSwitches
from penstock.control.parts import Parts
from penstock.control.workers.workers import Workers
from penstock.control.world.reload import Reloader
from penstock.core.snapshot import Maintenance, Snapshot
from penstock.dataplane.board.memory import Board
from tests.unit.control.conftest import Clock
from tests.unit.control.worlds import pool, world

ROOT = Path(__file__).parents[3]


class AnsweringWorkers:
    """Workers with recorded decisions."""

    def __init__(self, *records: Sequence[dict[str, object]]) -> None:
        self.records = records
        self.asked: list[dict[str, object]] = []

    async def ask_all(self, question: dict[str, object]) -> list[dict[str, object]]:
        self.asked.append(question)
        return [{"records": list(records)} for records in self.records]


class AnsweringReloader:
    """A reloader of which each reload ends in the same way."""

    def __init__(self, view: ReloadView) -> None:
        self.view = view

    async def reload(self, asked_by: str) -> ReloadView:
        return self.view


class Site:
    """The parts that commands act on, with one endpoint ``e1`` in the pool ``a``."""

    def __init__(self, board: Board, events: Events, clock: Clock) -> None:
        self.events = events
        self.states = EndpointStates(board, events, clock, clock)
        self.states.add_new([pool("a", "e1")])
        self.workers = AnsweringWorkers()
        self.reloader = AnsweringReloader(ReloadView(0.0, "", True, "generation 4 is active", 4))
        self.stops = 0
        self.published: list[Snapshot] = []
        self.maintenance = MaintenanceSwitches(events, self._publish, clock)
        self.maintenance.configure(world({"a": ["e1"]}))

    async def _publish(self) -> None:
        self.published.append(self.maintenance.mark(world({"a": ["e1"]})))

    @property
    def parts(self) -> Parts:
        used = {"events", "workers", "reloader", "states", "maintenance", "stop"}
        unused = dict.fromkeys(each.name for each in fields(Parts) if each.name not in used)
        return Parts(
            events=self.events,
            workers=cast(Workers, self.workers),
            reloader=cast(Reloader, self.reloader),
            states=self.states,
            maintenance=self.maintenance,
            stop=self._stop,
            **cast(Any, unused),
        )

    def _stop(self) -> None:
        self.stops += 1


@pytest.fixture
def site(board: Board, events: Events, clock: Clock) -> Site:
    return Site(board, events, clock)


async def test_an_endpoint_is_drained_and_undrained(site: Site) -> None:
    answer = await Drain("a", "e1").run(site.parts)
    assert answer.document["state"] == "draining"
    assert answer.document["reason"] == "requested by an operator"
    assert Drain.told(answer.document) == "a/e1 is draining"
    answer = await Undrain("a", "e1").run(site.parts)
    assert Undrain.told(answer.document) == "a/e1 is up"


async def test_a_weight_is_set_within_its_bounds(site: Site) -> None:
    answer = await Weight("a", "e1", 0.5).run(site.parts)
    assert Weight.told(answer.document) == "a/e1 is up, weight 0.5"
    with pytest.raises(ValueError, match="a weight is a number from 0 to"):
        await Weight("a", "e1", 1e9).run(site.parts)
    assert site.states.of("a", "e1").weight == 0.5


async def test_an_endpoint_that_does_not_exist_is_named(site: Site) -> None:
    for kind in (Drain, Undrain):
        with pytest.raises(UnknownNameError, match="no endpoint called 'e2'; there are: e1"):
            await kind("a", "e2").run(site.parts)


async def test_a_pool_is_set_aside_and_put_back(site: Site, clock: Clock) -> None:
    answer = await SetMaintenance("a", "on", "at noon").run(site.parts)
    assert SetMaintenance.told(answer.document) == "clients of a get 503"
    assert site.published[-1].pools[0].maintenance == Maintenance("at noon", 60)
    assert site.maintenance.since("a") == clock()
    answer = await SetMaintenance("a", "off").run(site.parts)
    assert SetMaintenance.told(answer.document) == "clients of a are served"
    assert site.published[-1].pools[0].maintenance is None


async def test_a_switch_goes_with_its_pool(site: Site) -> None:
    await SetMaintenance("a", "on").run(site.parts)
    site.maintenance.configure(world({"b": ["e1"]}))
    assert site.maintenance.mark(world({"a": ["e1"]})).pools[0].maintenance is None
    with pytest.raises(UnknownNameError, match="no pool is called 'a'; there are: b"):
        await SetMaintenance("a", "on").run(site.parts)


async def test_what_is_relayed_unread_has_no_page(site: Site) -> None:
    site.maintenance.configure(world([pool("db", "e1", protocol="tcp")]))
    with pytest.raises(ValueError, match="drain its endpoints instead"):
        await SetMaintenance("db", "on").run(site.parts)


async def test_a_reload_tells_how_it_ended(site: Site) -> None:
    answer = await Reload().run(site.parts)
    assert (answer.status, Reload.told(answer.document)) == (200, "generation 4 is active")
    site.reloader.view = ReloadView(0.0, "", False, "penstock.yaml:3:1: wrong", 3, ("so",))
    answer = await Reload().run(site.parts)
    assert answer.status == 422
    assert Reload.told(answer.document) == "penstock.yaml:3:1: wrong\nnote: so"


async def test_stopping_is_begun_and_not_waited_for(site: Site) -> None:
    answer = await Stop().run(site.parts)
    assert (answer.status, site.stops) == (202, 1)


async def test_decisions_of_all_workers_come_newest_first_up_to_the_limit(site: Site) -> None:
    site.workers = AnsweringWorkers([{"time": 1}, {"time": 4}], [{"time": 3}])
    answer = await Decisions(pool="a", limit=2).run(site.parts)
    assert answer.document == {"decisions": [{"time": 4}, {"time": 3}]}
    assert site.workers.asked == [{"kind": "decisions", "id": "", "pool": "a", "limit": 2}]


async def test_the_table_is_carried_out_on_the_parts(site: Site) -> None:
    table = bound(site.parts)
    assert set(table) == set(commands().values())
    await table[Drain](Drain("a", "e1"))
    assert site.states.of("a", "e1").is_draining


def test_every_command_says_what_it_does_and_how_it_is_given() -> None:
    for name, command in commands().items():
        assert name == command.name
        assert (command.__doc__ or "").strip()


def test_the_documented_table_of_commands_is_current() -> None:
    text = (ROOT / FILE).read_text()
    assert text == with_table(text), "run: python -m penstock.control.commands.reference --write"
