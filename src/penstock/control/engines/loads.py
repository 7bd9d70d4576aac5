"""Reads the load of every engine on its schedule, and logs where one cannot be read.

One task for each endpoint: its requests follow one another, so a slow engine does not pile them up.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from time import monotonic
from typing import Final

from penstock.admin.view import EngineView
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.engines.client import (
    EngineClient,
    EngineTarget,
    NotNowError,
    UnreachableError,
)
from penstock.control.engines.reports import ReportCells
from penstock.control.events import Events
from penstock.control.target_tasks import TargetTasks
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.memory import Board
from penstock.wire.engines import engine_dialects
from penstock.wire.engines.dialect import EngineDialect
from penstock.wire.engines.generic import GENERIC, generic
from penstock.wire.engines.reading import Reading, UnreadableError, whole
from penstock.wire.engines.recognition import places, recognised

_JITTER: Final = 0.1  # share of an interval: engines started together are not asked together
_FIRST_WITHIN_S: Final = 0.1
# Between two attempts to recognise a server that is no known engine: each is in its log with every
# path that it does not have.
_UNKNOWN_S: Final = 10.0
_MOST_UNKNOWN_S: Final = 160.0
# After this an engine without metrics is looked at anew: some have none before their first request.
_STAND_IN_S: Final = 60.0


class UnknownError(UnreadableError):
    """A server that answers but is no known engine: asking again soon would not help."""


class Watched:
    """An endpoint whose engine is read."""

    def __init__(self, target: EngineTarget, now: float) -> None:
        self.target = target
        self.dialect: EngineDialect | None = None
        self.recognised_at = now
        self.capacity = target.engine.kv_tokens  # tokens of its cache; 0: not known yet
        self.looks_for_more = True  # of its cache
        self.slots = 0  # each of which serves one request at a time
        self.may_be_another = False  # since they were counted
        self.reading: Reading | None = None
        self.read_at = now  # or since when it is waited for
        self.silent = False
        self.problem = "not read yet"
        self.in_vain = 0  # attempts to recognise a server that answered


class EngineLoads:
    """The engines of all pools that have them read."""

    def __init__(
        self,
        board: Board,
        events: Events,
        contexts: EndpointContexts,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._cells = ReportCells(board)
        self._events = events
        self._clock = clock
        self._chance = Random()
        self._client = EngineClient(contexts)
        self._watched: TargetTasks[EngineTarget, Watched] = TargetTasks(
            "reading", lambda target, _: Watched(target, clock()), self._keep_reading, events
        )

    def configure(self, snapshot: Snapshot) -> None:
        """Read the engines of the running snapshot. Unchanged ones go on undisturbed."""
        self._watched.configure(
            {
                (pool.name, endpoint.name): EngineTarget(pool.name, endpoint, pool.engine, pool.tls)
                for pool in snapshot.pools
                if pool.engine is not None
                for endpoint in pool.endpoints
            }
        )

    def view(self, pool: str, name: str) -> EngineView | None:
        """The endpoint's newest report; None where its engine is not read."""
        watched = self._watched.get((pool, name))
        if watched is None:
            return None
        reading = watched.reading or Reading()
        return EngineView(
            kind=watched.dialect.name if watched.dialect else "unknown",
            silent=watched.silent,
            problem=watched.problem,
            age_s=self._clock() - watched.read_at if watched.reading else -1.0,
            running=reading.running,
            waiting=reading.waiting,
            kv_usage=reading.kv_usage,
            kv_capacity=reading.kv_capacity,
            prefix_queries=reading.prefix_queries,
            prefix_hits=reading.prefix_hits,
            loaded=tuple(reading.loaded),
        )

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        await self._watched.stop()
        await self._client.close()

    async def _keep_reading(self, watched: Watched) -> None:
        engine = watched.target.engine
        await asyncio.sleep(self._chance.random() * _FIRST_WITHIN_S)
        while True:
            wait_s = engine.interval_s
            try:
                await self._read(watched)
            except UnreadableError as error:
                self._failed(watched, str(error))
                if engine.kind == "auto" and watched.dialect is None and watched.silent:
                    watched.in_vain = watched.in_vain + 1 if isinstance(error, UnknownError) else 0
                    unknown_s = min(_UNKNOWN_S * 2 ** max(watched.in_vain - 1, 0), _MOST_UNKNOWN_S)
                    wait_s = max(wait_s, unknown_s)
            await asyncio.sleep(wait_s * (1.0 + _JITTER * (self._chance.random() - 0.5)))

    async def _read(self, watched: Watched) -> None:
        """Read it once. Raises UnreadableError."""
        target = watched.target
        dialect = watched.dialect
        now = self._clock()
        age_s = now - watched.recognised_at
        if dialect is not None and dialect.is_stand_in and age_s > _STAND_IN_S:
            dialect = None
        if dialect is None:
            dialect = watched.dialect = await self._recognise(target)
            watched.recognised_at = now
            watched.looks_for_more = True
            watched.may_be_another = True
            await self._learn_capacity(watched, dialect)
        if watched.may_be_another:
            watched.slots = await self._count_slots(target, dialect)
            watched.may_be_another = False
        before = self._cells.in_flight(target.endpoint.row)
        reading = dialect.read(await self._asked(target, dialect))
        await self._see_more(watched, dialect)
        if watched.capacity:
            reading.kv_capacity = watched.capacity
        reading.most_running = watched.slots
        reading.ids_way = dialect.ids_way
        reading.slots = watched.slots if target.engine.slots == "pin" else 0
        self._succeeded(watched, reading, before)

    async def _recognise(self, target: EngineTarget) -> EngineDialect:
        """The engine's dialect. Raises UnreadableError when it is no known engine."""
        engine = target.engine
        if engine.kind == GENERIC:
            names = engine.metrics
            return generic(names.running, names.waiting, names.kv_usage)
        if engine.kind != "auto":
            return await self._telling(target, engine_dialects()[engine.kind])
        problems: list[str] = []
        settled = True
        for place in places():
            path, port = place.path, place.port
            try:
                if place.dialect is None:
                    body = await self._client.get(target, engine.path or path, engine.port or port)
                    found = recognised(body, port)
                    if found is not None:
                        return await self._telling(target, replace(found, path=path, port=port))
                    problems.append(f"{path} shows no known engine")
                else:
                    place.dialect.read(await self._client.get(target, path))
                    return place.dialect
            except (UnreachableError, NotNowError) as error:
                settled = settled and port != 0  # there, something else may be, or nothing
                problems.append(str(error))
            except UnreadableError as error:
                problems.append(str(error))
        raise (UnknownError if settled else UnreadableError)(problems[0])

    async def _telling(self, target: EngineTarget, dialect: EngineDialect) -> EngineDialect:
        """The engine's metrics, or a stand-in where they do not report requests."""
        for each in (dialect, *dialect.stand_ins) if dialect.stand_ins else ():
            try:
                if each.read(await self._asked(target, each)).running >= 0:
                    return each
            except UnreadableError:
                continue
        return dialect  # whose problem is the one to tell

    async def _asked(self, target: EngineTarget, dialect: EngineDialect) -> bytes:
        """The answer with its load. Raises UnreadableError."""
        engine = target.engine
        if dialect.is_stand_in:
            return await self._client.get(target, dialect.path)
        path, port = engine.path or dialect.path, engine.port or dialect.port
        return await self._client.get(target, path, port)

    async def _learn_capacity(self, watched: Watched, dialect: EngineDialect) -> None:
        """The cache's size, where it is reported beside the metrics. Not every engine does."""
        configured = watched.target.engine.kv_tokens
        watched.capacity = configured
        if configured or dialect.capacity is None:
            return
        for path in dialect.info_paths:
            try:
                body = await self._client.get(watched.target, path)
                watched.capacity = max(whole(dialect.capacity(body)), 0)
            except UnreadableError as error:
                watched.problem = str(error)
            else:
                return

    async def _count_slots(self, target: EngineTarget, dialect: EngineDialect) -> int:
        """Slots that serve a request each; 0 where there are none, or none are reported."""
        if dialect.slots is None:
            return 0
        for path in dialect.info_paths:
            try:
                return max(whole(dialect.slots(await self._client.get(target, path))), 0)
            except UnreadableError:
                continue  # ``_learn_capacity`` tells
        return 0

    async def _see_more(self, watched: Watched, dialect: EngineDialect) -> None:
        """Ask whether the cache is larger than first reported, until it is."""
        configured = watched.target.engine.kv_tokens
        if configured or dialect.more_capacity is None or not watched.looks_for_more:
            return
        try:
            body = await self._client.get(watched.target, dialect.more)
            found = dialect.more_capacity(body)
        except UnreadableError:
            watched.looks_for_more = False  # it is turned off there
            return
        if found > watched.capacity:
            watched.looks_for_more = watched.capacity <= 0
            watched.capacity = found

    def _succeeded(self, watched: Watched, reading: Reading, in_flight_before: int) -> None:
        first = watched.reading is None or watched.silent
        now = self._clock()
        target = watched.target
        assert watched.dialect is not None
        self._cells.write(target.endpoint.row, reading, now, in_flight_before)
        watched.reading = reading
        watched.read_at = now
        watched.silent = False
        watched.in_vain = 0
        watched.problem = ""
        if first:
            kind = watched.dialect.name
            text = f"endpoint {_shown(watched)} is {kind}; reading its load"
            self._events.info("engine.read", text, **_of(watched), engine=kind)

    def _failed(self, watched: Watched, problem: str) -> None:
        """Also decides when an engine counts as silent; workers look at the age themselves."""
        watched.problem = problem
        watched.may_be_another = True
        self._cells.failed(watched.target.endpoint.row)
        engine = watched.target.engine
        if watched.silent or self._clock() - watched.read_at < engine.silent_after_s:
            return
        watched.silent = True
        known = watched.reading is not None
        if engine.kind == "auto" or _has_stand_ins(engine.kind):
            watched.dialect = None  # another may come up at this address, or with its metrics
        text = (
            f"endpoint {_shown(watched)} has not reported its load for {engine.silent_after_s:g} s "
            f"({problem}): using this balancer's own counts only"
        )
        level = self._events.warning if known else self._events.info
        level("engine.silent", text, **_of(watched), reason=problem)


def _has_stand_ins(kind: str) -> bool:
    return kind != GENERIC and engine_dialects()[kind].stand_ins != ()


def _of(watched: Watched) -> dict[str, str]:
    return {"pool": watched.target.pool, "endpoint": watched.target.endpoint.name}


def _shown(watched: Watched) -> str:
    return f"{watched.target.pool}/{watched.target.endpoint.name}"
