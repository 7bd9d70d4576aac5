"""All scaled pools of one balancer, and what becomes of them over an upgrade."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from penstock.control.discovery.membership import Membership
from penstock.control.discovery.source import SCALER
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.scale import scaling
from penstock.control.scale.actuator import Actuator, Unit
from penstock.control.scale.known_scaler import KnownScaler
from penstock.control.scale.scaling import FleetScaling
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.store.store import Store
from penstock.core.snapshot import ActuatorChoice, Endpoint, Pool, Scale, Snapshot
from penstock.dataplane.board.memory import Board
from tests.unit.control.scale.test_actuators import LISTENS
from tests.unit.control.waiting import until

OPTIONS = {
    "command": [sys.executable, "-S", "-c", LISTENS, "{port}"],
    "ports": [29500, 29599],
    "host": "127.0.0.1",
    "ready": "tcp",
    "environment": {},
    "directory": None,
    "log": None,
    "kill_after": 5.0,
}
RULES = Scale(max=1, concurrency=4, interval_s=0.05, actuator=ActuatorChoice("process", OPTIONS))
SCALED = Snapshot(1, (), (), pools=(Pool("main", (), row=0, scale=RULES),))
FIXED = Snapshot(2, (), (), pools=(Pool("main", (), row=0),))


@pytest.fixture(autouse=True)
def _looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "_TICK_S", 0.05)


def scaled(rules: Scale) -> Snapshot:
    return Snapshot(3, (), (), pools=(Pool("main", (), row=0, scale=rules),))


class One(Actuator):
    """What it is asked for serves at once."""

    name = "one"
    ready = True
    looks = 0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.found: dict[str, Unit] = {}

    def units(self) -> list[Unit]:
        return list(self.found.values())

    async def look(self) -> None:
        type(self).looks += 1
        for unit in self.found.values():
            if self.ready and unit.state == "starting":
                unit.state = "ready"
                unit.endpoint = Endpoint(unit.name, unit.name, 80)

    async def start(self, count: int) -> None:
        for number in range(1, count + 1):
            name = f"{self.name}-{number}"
            self.found[name] = Unit(name, "starting", self.tools.clock())

    async def stop(self, name: str) -> None:
        del self.found[name]


class Other(One):
    name = "other"


class Stuck(One):
    name = "stuck"

    async def look(self) -> None:
        await asyncio.Event().wait()


class Fleet:
    """Of a supervisor whose workers know at once what is published."""

    def __init__(
        self, board: Board, events: Events, files: StateFiles, store: Store | None = None
    ) -> None:
        self.membership = Membership(asyncio.get_running_loop().time)
        self.publisher = SimpleNamespace(running=FIXED)
        self.scaling = FleetScaling(
            board,
            EndpointStates(board, events),
            self.membership,
            cast(Any, self.publisher),
            cast(Any, SimpleNamespace(acknowledged=99)),
            EndpointContexts(),
            cast(Any, SimpleNamespace(of=lambda pool: None)),
            files,
            events,
            store=store,
        )

    @property
    def told(self) -> tuple[Endpoint, ...]:
        """What is in the pool by the scaler."""
        return self.membership.told(SCALER, "main")

    @property
    def problem(self) -> str:
        view = self.scaling.view("main")
        return view.problem if view is not None else ""

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.membership.members("main", ())]

    async def run(self, snapshot: Snapshot, goal: Callable[[], bool], what: str) -> None:
        """Under that snapshot, until the goal is reached."""
        self.publisher.running = snapshot
        self.scaling.configure(snapshot)
        running = asyncio.create_task(self.scaling.run())
        await until(goal, what)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_what_a_pool_had_started_ends_where_the_next_version_scales_it_no_more(
    board: Board, events: Events
) -> None:
    files = StateFiles(None, events)
    old = Fleet(board, events, files)
    await old.run(SCALED, lambda: old.membership.told(SCALER, "main") != (), "it serves")
    known = msgspec.json.encode(old.scaling.known())
    await old.scaling.leave()

    new = Fleet(board, events, files)
    new.scaling.restore(msgspec.json.decode(known, type=list[KnownScaler]))
    new.membership.restore(old.membership.known())
    finishing = True
    new.scaling.others_finish = lambda: finishing
    process = next(iter(old.scaling._scalers.values())).actuator._running["main-1"].process  # type: ignore[attr-defined]
    await new.run(FIXED, lambda: new.membership.told(SCALER, "main") == (), "it left the pool")
    ((_, leaving),) = new.scaling._retired
    seen = old.scaling._scalers["main"].planner.starts.seen
    assert leaving.planner.starts.seen == seen != []
    states = [unit.state for unit in leaving.actuator.units()]
    assert states == ["ready"], "workers with another board may have something there"
    finishing = False
    await new.run(FIXED, lambda: process.poll() is not None, "it was ended")
    assert new.scaling.view("main") is None
    await new.scaling.stop()


async def test_other_options_of_its_processes_leave_a_pool_at_no_time_empty(
    board: Board, events: Events
) -> None:
    fleet = Fleet(board, events, StateFiles(None, events))
    await fleet.run(SCALED, lambda: fleet.told != (), "it serves")
    (before,) = fleet.told
    counts: list[int] = []
    fleet.membership.on_change = lambda: counts.append(len(fleet.told))
    options = {**OPTIONS, "environment": {"MODEL": "large"}}
    await fleet.run(
        scaled(msgspec.structs.replace(RULES, actuator=ActuatorChoice("process", options))),
        lambda: len(fleet.told) == 1 and fleet.told[0].port != before.port,
        "another stands in its place",
    )
    assert min(counts) == 1
    assert fleet.scaling._retired == []
    await fleet.scaling.stop()


async def test_those_of_an_actuator_that_is_replaced_serve_until_those_of_the_other_do(
    board: Board, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "actuators", lambda: {"one": One, "other": Other})
    fleet = Fleet(board, events, StateFiles(None, events))
    one = msgspec.structs.replace(RULES, actuator=ActuatorChoice("one", {}))
    other = msgspec.structs.replace(RULES, actuator=ActuatorChoice("other", {}))
    await fleet.run(scaled(one), lambda: fleet.names == ["one-1"], "it serves")
    Other.ready = False
    looks = Other.looks
    await fleet.run(scaled(other), lambda: Other.looks > looks + 3, "it was looked at")
    assert fleet.names == ["one-1"]
    Other.ready = True
    await fleet.run(scaled(other), lambda: fleet.names == ["other-1"], "the other's serve alone")
    await fleet.run(scaled(one), lambda: fleet.names == ["one-1"], "and back")
    await fleet.scaling.stop()


async def test_a_pool_that_is_scaled_again_takes_back_what_was_to_go(
    board: Board, events: Events
) -> None:
    fleet = Fleet(board, events, StateFiles(None, events))
    await fleet.run(SCALED, lambda: fleet.told != (), "it serves")
    (before,) = fleet.told
    fleet.scaling.configure(FIXED)
    await fleet.run(SCALED, lambda: fleet.scaling.view("main") is not None, "it is scaled")
    assert fleet.told == (before,)
    assert fleet.scaling._retired == []
    await fleet.scaling.stop()


async def test_a_slow_actuator_holds_up_no_other_pool(
    board: Board, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "actuators", lambda: {"one": One, "stuck": Stuck})
    fleet = Fleet(board, events, StateFiles(None, events))
    rules = [
        msgspec.structs.replace(RULES, actuator=ActuatorChoice(n, {})) for n in ("stuck", "one")
    ]
    pools = tuple(Pool(f"p{n}", (), row=n, scale=each) for n, each in enumerate(rules))
    one = fleet.membership
    await fleet.run(
        Snapshot(1, (), (), pools=pools), lambda: one.told(SCALER, "p1") != (), "serves"
    )
    await fleet.scaling.stop()


async def test_of_balancers_that_share_a_directory_one_scales_and_the_other_takes_over(
    board: Board, events: Events, tmp_path: Path
) -> None:
    shared = [StateFiles(tmp_path, events) for _ in range(2)]
    one, other = (Fleet(board, events, files, EmbeddedStore(files)) for files in shared)
    await one.run(SCALED, lambda: one.told != (), "it serves")
    (before,) = one.told
    await other.run(SCALED, lambda: "another balancer" in other.problem, "it stands back")
    await other.scaling.stop()
    process = one.scaling._scalers["main"].actuator._running["main-1"].process  # type: ignore[attr-defined]
    assert process.poll() is None, "it was not the other's to end"
    other = Fleet(board, events, shared[1], EmbeddedStore(shared[1]))
    other.scaling.restore([], one.scaling.holder)  # as its successor
    await one.scaling.leave()
    await other.run(SCALED, lambda: other.told == (before,), "it goes on with the same process")
    await other.scaling.stop()
    assert process.poll() is not None
    last = Fleet(board, events, shared[0], EmbeddedStore(shared[0]))
    await last.run(SCALED, lambda: last.told != (), "nothing is held any more")
    await last.scaling.stop()
