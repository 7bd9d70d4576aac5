"""A balancer of plain data, in place of a supervisor."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from penstock.admin.command import Answer, BoundCommands, Command
from penstock.admin.view import (
    EndpointView,
    ListenerView,
    Overview,
    PlacedPool,
    PoolView,
    Tenancy,
    UnknownNameError,
    WorkerView,
)
from penstock.control.commands import commands
from penstock.core.health.health import UP
from penstock.dataplane.board.memory import Board


def endpoint(name: str, row: int, **settings: Any) -> EndpointView:
    """One that is up."""
    made = EndpointView(
        name=name,
        address=f"http://{name}",
        row=row,
        state="up",
        reason="first check: answered 200",
        since=1000.0,
        health=UP,
        available=True,
        draining=False,
        ejected=False,
        ejections=0,
        weight=1.0,
        effective_weight=1.0,
        configured_weight=1.0,
        backup=False,
        last_check="answered 200",
    )
    return replace(made, **settings)


def pool(name: str, row: int, *endpoints: EndpointView) -> PoolView:
    return PoolView(name, row, "least-request", endpoints)


def worker(index: int, **settings: Any) -> WorkerView:
    made = WorkerView(index, 100 + index, "ready", 1000.0, generation=3, restarts=0)
    return replace(made, **settings)


def overview(*pools: PoolView, workers: Sequence[WorkerView] = (), **settings: Any) -> Overview:
    """Generation 3, run by two workers unless others are given."""
    made = Overview(
        version="1.2.3",
        form="compiled",
        pid=99,
        started_at=1000.0,
        stopping=False,
        generation=3,
        source="penstock.yaml",
        listeners=(ListenerView("main", "127.0.0.1:8080", "http"),),
        pools=pools or (pool("main", 0, endpoint("e0", 0), endpoint("e1", 1)),),
        workers=tuple(workers) or (worker(0), worker(1)),
        reloads_ok=2,
        reloads_failed=1,
        last_reload=None,
        events=(),
    )
    return replace(made, **settings)


class PlainBalancer:
    """Shows what it is told to, and remembers which commands it was given."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.shown = overview()
        self.tenants = Tenancy((), ())
        self.given: list[Command] = []
        self.status = 200

    @property
    def board(self) -> Board:
        return self._board

    def overview(self) -> Overview:
        return self.shown

    def pools(self) -> Sequence[PlacedPool]:
        return self.shown.pools

    def tenancy(self) -> Tenancy:
        return self.tenants

    @property
    def commands(self) -> BoundCommands:
        """All that there are, each of which is remembered instead of being carried out."""
        return dict.fromkeys(commands().values(), self._take)

    async def _take(self, command: Command) -> Answer:
        if getattr(command, "endpoint", "e0") != "e0":
            raise UnknownNameError("pool 'main' has no endpoint called 'e7'")
        if getattr(command, "weight", 1.0) > 1000.0:
            raise ValueError("a weight is a number from 0 to 1000")
        self.given.append(command)
        return Answer({"message": "so it is"}, self.status)
