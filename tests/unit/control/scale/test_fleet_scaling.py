"""All scaled pools of one balancer, and what becomes of them over an upgrade."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from penstock.control.discovery.membership import Membership
from penstock.control.discovery.source import SCALER
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.scale.known_scaler import KnownScaler
from penstock.control.scale.scaling import FleetScaling
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import ActuatorChoice, Pool, Scale, Snapshot
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
RULES = Scale(max=1, concurrency=4, interval_s=0.1, actuator=ActuatorChoice("process", OPTIONS))
SCALED = Snapshot(1, (), (), pools=(Pool("main", (), row=0, scale=RULES),))
FIXED = Snapshot(2, (), (), pools=(Pool("main", (), row=0),))


class Fleet:
    """Of a supervisor whose workers know at once what is published."""

    def __init__(self, board: Board, events: Events, files: StateFiles) -> None:
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
        )

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
