"""Which models endpoints serve, by what they list at ``/v1/models``.

They are asked before workers hear of them, on a schedule, when an endpoint comes up, and when a
worker misses a model or passed on what may change the list.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import Final

import msgspec

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoint_key import EndpointKey
from penstock.control.engines.client import (
    EngineClient,
    EngineTarget,
    LoadingError,
    NotNowError,
    TimedOutError,
    UnreachableError,
)
from penstock.control.engines.model_lists import PATH, models_of, since
from penstock.control.events import Events
from penstock.control.target_tasks import TargetTasks
from penstock.core.snapshot import Engine, Pool, ServedModel, Snapshot
from penstock.wire.engines.reading import UnreadableError

_MOST_SHOWN: Final = 10  # models in a message
_AGAIN_S: Final = 1.0  # between two attempts until the first list
_BEFORE_SERVICE_S: Final = 1.0  # that a start, a reload or a recovery waits for lists
# An endpoint that answers /v1/models late or with an error may serve all the same: after this long
# without a list it counts as one that tells none.
_PATIENCE_S: Final = 5.0
# Endpoints that start together answer together: one snapshot for all of them.
_GATHER_S: Final = 0.2
_ASK_S: Final = 2.0  # that a look waits for its news to be out
_JITTER: Final = 0.1
_AFTER_A_BUG_S: Final = 5.0

# What is known of an endpoint that has listed nothing.
_UNASKED: Final = 0
_LATE: Final = 1  # no answer, or none of use, so far
_NONE_YET: Final = 2  # it lists no model: it loads
_MUTE: Final = 3  # it tells no list: it may serve any model


@dataclass
class _Asked:
    """An endpoint that is asked."""

    target: EngineTarget
    interval_s: float
    began_at: float
    asking: asyncio.Task[None] | None = None
    models: tuple[ServedModel, ...] | None = None
    standing: int = _UNASKED  # while there are no models
    problem: str = ""  # of the last look; empty: none
    unreadable: bool = False  # logged as such

    def is_for(self, target: EngineTarget) -> bool:
        """Whether that is the same server, asked in the same way, in whatever row."""
        return _rowless(self.target) == _rowless(target)

    def is_awaited(self, *, alone: bool) -> bool:
        """Whether no request for a model is to go there yet. Of one that is alone in its pool
        there is no choice to make, so only a list that is empty keeps requests from it."""
        if self.models is not None or self.standing == _MUTE:
            return False
        return self.standing == _NONE_YET or not alone


_Wanted = tuple[EngineTarget, float]  # and how often it is asked, in seconds


class EngineModels:
    """The models of every endpoint that is asked; a change is published as a snapshot."""

    def __init__(
        self,
        events: Events,
        contexts: EndpointContexts,
        publish: Callable[[], Awaitable[None]],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """``publish`` publishes the running snapshot again, with what is known by then."""
        self._events = events
        self._publish = publish
        self._clock = clock
        self._chance = Random()
        self._client = EngineClient(contexts)
        self._asked: TargetTasks[_Wanted, _Asked] = TargetTasks(  # in the world that runs
            "asking for models", self._begin, self._keep_asking, events
        )
        self._coming: dict[EndpointKey, _Asked] = {}  # in one that is being prepared
        self._running: Snapshot | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._known = 0  # raised with every change
        self._asking: dict[str, asyncio.Task[None]] = {}  # by pool
        self._asked_at: dict[str, float] = {}  # when each pool's endpoints were asked out of turn

    def problem(self, pool: str, endpoint: str) -> str:
        """Why its last list could not be read; empty if it could, or it is not asked."""
        asked = self._asked.get((pool, endpoint))
        return asked.problem if asked is not None else ""

    async def ask_new(self, snapshot: Snapshot) -> None:
        """Ask endpoints that are new in this snapshot before it runs; bounded in time."""
        self._coming = {}
        new: list[_Asked] = []
        for key, target, interval_s in _wanted(snapshot):
            known = self._asked.get(key)
            if known is not None and known.is_for(target):
                continue
            asked = _Asked(target, interval_s, self._clock())
            self._coming[key] = asked
            new.append(asked)
        if new:
            await self._ask_all(new, _BEFORE_SERVICE_S)

    def mark(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what is known of its endpoints."""
        return msgspec.structs.replace(
            snapshot, pools=tuple(self._marked(pool) for pool in snapshot.pools)
        )

    def configure(self, snapshot: Snapshot) -> None:
        """Ask the endpoints of the running snapshot. Unchanged ones go on undisturbed."""
        self._asked.configure({key: (target, s) for key, target, s in _wanted(snapshot)})
        self._coming = {}
        self._running = snapshot
        self._tell()  # an answer may have come too late to be in it

    async def ask_pool(self, pool: str, *, surely: bool = False) -> None:
        """Ask a pool's endpoints now, and return once their answers are published.

        At most once a second, unless ``surely``.
        """
        under_way = self._asking.get(pool)
        if under_way is not None and not under_way.done():
            await asyncio.wait([under_way])  # it began before what is to be seen, perhaps
            if not surely:
                return
        now = self._clock()
        if not surely and now - self._asked_at.get(pool, now - _AGAIN_S) < _AGAIN_S:
            return
        self._asked_at[pool] = now
        some = [asked for key, asked in self._asked.states() if key[0] == pool]
        self._asking[pool] = asyncio.create_task(self._ask_now(some, anew=surely))
        await asyncio.wait([self._asking[pool]])

    async def ask_endpoint(self, pool: str, endpoint: str) -> None:
        """Ask one endpoint, which came up, and return once its answer is published."""
        asked = self._asked.get((pool, endpoint))
        if asked is not None:
            await self._ask_now([asked])

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        known = [*(asked for _, asked in self._asked.states()), *self._coming.values()]
        await self._asked.stop()
        tasks = [asked.asking for asked in known if asked.asking is not None]
        if self._publishing is not None:
            tasks.append(self._publishing)
        tasks += self._asking.values()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def _marked(self, pool: Pool) -> Pool:
        if pool.kind != "llm" or not pool.models.discover_s:
            return msgspec.structs.replace(pool, discovered={}, awaited=(), asks_again=False)
        known = {
            endpoint.name: asked
            for endpoint in pool.endpoints
            if not endpoint.models
            and (asked := self._known_of(pool.name, endpoint.name)) is not None
        }
        alone = len(pool.endpoints) == 1
        return msgspec.structs.replace(
            pool,
            discovered={n: each.models for n, each in known.items() if each.models is not None},
            awaited=tuple(n for n, each in known.items() if each.is_awaited(alone=alone)),
            asks_again=any(not endpoint.models for endpoint in pool.endpoints),
        )

    def _known_of(self, pool: str, endpoint: str) -> _Asked | None:
        key = (pool, endpoint)
        return self._coming.get(key) or self._asked.get(key)

    # --- asking -----------------------------------------------------------------------------

    def _begin(self, wanted: _Wanted, before: _Asked | None) -> _Asked:
        """What is known of that very server is kept."""
        target, interval_s = wanted
        asked = self._coming.get((target.pool, target.endpoint.name))
        if asked is None or not asked.is_for(target):
            asked = before
        if asked is None or not asked.is_for(target):
            asked = _Asked(target, interval_s, self._clock())
        asked.target, asked.interval_s = target, interval_s
        return asked

    async def _keep_asking(self, asked: _Asked) -> None:
        wait_s = 0.0
        if asked.standing != _UNASKED or asked.models is not None:  # before the world ran
            wait_s = self._wait_s(asked)
        while True:
            await asyncio.sleep(wait_s * (1.0 + _JITTER * (self._chance.random() - 0.5)))
            await self._ask(asked)
            wait_s = self._wait_s(asked)

    def _wait_s(self, asked: _Asked) -> float:
        return asked.interval_s if asked.models else min(asked.interval_s, _AGAIN_S)

    async def _ask_now(self, some: Sequence[_Asked], *, anew: bool = False) -> None:
        if anew:
            under_way = [each.asking for each in some if each.asking is not None]
            if under_way:
                await asyncio.wait(under_way, timeout=_ASK_S)
        await self._ask_all(some, _ASK_S)
        if self._publishing is not None and not self._publishing.done():
            self._hurry.set()
            await asyncio.wait([self._publishing], timeout=_ASK_S)

    async def _ask_all(self, some: Sequence[_Asked], within_s: float) -> None:
        """Ask all at once; those that have not answered in time go on in the background."""
        if some:
            asking = [asyncio.ensure_future(self._ask(asked)) for asked in some]
            done, late = await asyncio.wait(asking, timeout=within_s)
            for task in late:
                task.cancel()
            for task in done:
                if (error := task.exception()) is not None and isinstance(error, Exception):
                    self._events.bug("asking endpoints for models", error)

    async def _ask(self, asked: _Asked) -> None:
        """Ask once; callers that come meanwhile share that answer."""
        if asked.asking is None or asked.asking.done():
            asked.asking = asyncio.create_task(self._ask_once(asked))
        await asyncio.shield(asked.asking)

    async def _ask_once(self, asked: _Asked) -> None:
        try:
            models = models_of(await self._client.get(asked.target, PATH))
        except UnreadableError as error:
            self._note_problem(asked, error)
            return
        asked.problem = ""
        if asked.unreadable:
            asked.unreadable = False
            self._say(asked, "info", "engine.models.readable", "says which models it serves")
        self._learn(asked, models)

    def _note_problem(self, asked: _Asked, error: UnreadableError) -> None:
        """What was known is kept. Logged when it begins, not every time."""
        asked.problem = str(error)
        if asked.models is None:
            self._stand(asked, self._standing_after(asked, error))
        if asked.unreadable or isinstance(error, UnreachableError | LoadingError):
            return  # a server that is down is the business of health checks
        asked.unreadable = True
        known = asked.models is not None
        so = "keeping its last list" if known else "assuming that it may serve any model"
        text = f"does not say which models it serves ({error}): {so}"
        level = "warning" if known else "info"
        self._say(asked, level, "engine.models.unreadable", text, reason=str(error))

    def _standing_after(self, asked: _Asked, error: UnreadableError) -> int:
        if isinstance(error, TimedOutError) or (
            isinstance(error, NotNowError) and not isinstance(error, LoadingError)
        ):
            late = self._clock() - asked.began_at >= _PATIENCE_S
            return _MUTE if late or asked.standing == _MUTE else _LATE
        return _LATE if isinstance(error, UnreachableError | LoadingError) else _MUTE

    def _stand(self, asked: _Asked, standing: int) -> None:
        if asked.standing != standing:
            asked.standing = standing
            self._changed(asked)

    def _learn(self, asked: _Asked, models: tuple[ServedModel, ...] | None) -> None:
        before = asked.models or ()
        if models is None:
            asked.problem = "it lists no model yet"
            if asked.models is not None or asked.standing != _NONE_YET:
                asked.models = None
                asked.standing = _LATE
                self._stand(asked, _NONE_YET)
                self._say(asked, "info", "engine.models", "lists no model yet")
            return
        models = since(before, models)
        if asked.models == models:
            return
        asked.models = models
        there = {model.id for model in models}
        gone = [model for model in before if model.id not in there]
        text = f"serves {_shown(models)}"
        if gone:
            text += f", and no longer {_shown(gone)}"
        self._say(asked, "warning" if gone else "info", "engine.models", text)
        self._changed(asked)

    def _say(self, asked: _Asked, level: str, kind: str, text: str, **fields: str) -> None:
        say = self._events.warning if level == "warning" else self._events.info
        pool, endpoint = asked.target.pool, asked.target.endpoint.name
        say(kind, f"endpoint {pool}/{endpoint} {text}", pool=pool, endpoint=endpoint, **fields)

    # --- publishing -------------------------------------------------------------------------

    def _changed(self, asked: _Asked) -> None:
        if self._asked.get((asked.target.pool, asked.target.endpoint.name)) is asked:
            self._tell()  # else it is of a world that is being prepared, and marked with it

    def _tell(self) -> None:
        if self._running is None or self.mark(self._running) == self._running:
            return
        self._known += 1
        if self._publishing is None or self._publishing.done():
            self._hurry.clear()
            self._publishing = asyncio.create_task(self._publish_soon())

    async def _publish_soon(self) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), _GATHER_S)
        except TimeoutError:
            pass
        while True:
            known = self._known
            try:
                await self._publish()
            except Exception as error:  # noqa: BLE001 - tried again with what is known then
                self._events.error("engine.models.refused", f"models cannot be published: {error}")
                await asyncio.sleep(_AFTER_A_BUG_S)
                continue
            if known == self._known:
                return


def _wanted(snapshot: Snapshot) -> list[tuple[EndpointKey, EngineTarget, float]]:
    """The endpoints to be asked, how, and how often."""
    return [
        (
            (pool.name, endpoint.name),
            EngineTarget(pool.name, endpoint, pool.engine or Engine(), pool.tls),
            pool.models.discover_s,
        )
        for pool in snapshot.pools
        if pool.kind == "llm" and pool.models.discover_s
        for endpoint in pool.endpoints
        if not endpoint.models
    ]


def _rowless(target: EngineTarget) -> EngineTarget:
    endpoint = msgspec.structs.replace(target.endpoint, row=-1, weight=1.0, max_in_flight=0)
    return EngineTarget(target.pool, endpoint, target.engine, target.tls)


def _shown(models: Sequence[ServedModel]) -> str:
    names = ", ".join(model.id for model in models[:_MOST_SHOWN]) or "no model"
    more = len(models) - _MOST_SHOWN
    return f"{names} and {more} more" if more > 0 else names


def _shown_of(asked: _Asked) -> str:
    return f"{asked.target.pool}/{asked.target.endpoint.name}"
