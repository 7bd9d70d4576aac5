"""A balancer of plain data, in place of a supervisor."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from penstock.admin.view import (
    EndpointView,
    ListenerView,
    Overview,
    PoolView,
    ReloadView,
    UnknownNameError,
    WorkerView,
)
from penstock.core.endpoint import UP
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
        listeners=(ListenerView("main", "127.0.0.1:8080", False),),
        pools=pools or (pool("main", 0, endpoint("e0", 0), endpoint("e1", 1)),),
        workers=tuple(workers) or (worker(0), worker(1)),
        reloads_ok=2,
        reloads_failed=1,
        last_reload=None,
        events=(),
    )
    return replace(made, **settings)


class PlainBalancer:
    """Remembers what it was told. There is one pool ``main`` with the endpoints e0 and e1."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.shown = overview()
        self.recorded: list[dict[str, Any]] = []
        self.told: list[tuple[object, ...]] = []
        self.reload_result = ReloadView(1000.0, "admin address", True, "generation 4 runs", 4)

    @property
    def board(self) -> Board:
        return self._board

    def overview(self) -> Overview:
        return self.shown

    def drain(self, pool: str, endpoint: str) -> None:
        self._tell("drain", pool, endpoint)

    def undrain(self, pool: str, endpoint: str) -> None:
        self._tell("undrain", pool, endpoint)

    def set_weight(self, pool: str, endpoint: str, weight: float) -> None:
        if weight < 0.0:
            raise ValueError("a weight is a number from 0")
        self._tell("weight", pool, endpoint, weight)

    async def reload(self) -> ReloadView:
        self.told.append(("reload",))
        return self.reload_result

    async def decisions(self, request_id: str, pool: str, limit: int) -> list[dict[str, Any]]:
        self.told.append(("decisions", request_id, pool, limit))
        return self.recorded

    def stop(self) -> None:
        self.told.append(("stop",))

    def _tell(self, what: str, pool: str, endpoint: str, *more: object) -> None:
        if (pool, endpoint) not in (("main", "e0"), ("main", "e1")):
            raise UnknownNameError(f"pool {pool!r} has no endpoint called {endpoint!r}")
        self.told.append((what, pool, endpoint, *more))
