"""Which models endpoints serve, by what they list at ``/v1/models``."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final

import msgspec

from penstock.control.certificates import EndpointContexts
from penstock.control.engines.client import EngineClient, Target
from penstock.control.engines.reading import UnreachableError, UnreadableError
from penstock.control.events import Events
from penstock.control.rows import EndpointKey
from penstock.core.snapshot import Engine, Pool, ServedModel, Snapshot

PATH: Final = "/v1/models"
MOST_MODELS: Final = 1000  # of one endpoint
_MOST_SHOWN: Final = 10  # in a message
_MOST_WHOLE: Final = 2**53  # what every reader of JSON can take
_FIRST_WITHIN_S: Final = 0.1
_AGAIN_S: Final = 1.0  # between two attempts until the first answer
# Endpoints that start together answer together: one snapshot for all of them.
_GATHER_S: Final = 0.2
_JITTER: Final = 0.1
_AFTER_A_BUG_S: Final = 5.0


class _Listed(msgspec.Struct):
    """What is known beside the name is of use, and left out where it is of another kind."""

    id: str
    parent: object = None
    created: object = None
    owned_by: object = None
    max_model_len: object = None


class _List(msgspec.Struct):
    data: list[_Listed] | None  # Ollama lists no model so


def models_of(body: bytes) -> tuple[ServedModel, ...]:
    """What an answer lists, in order of the names. Raises UnreadableError."""
    try:
        listed = msgspec.json.decode(body, type=_List).data or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"{PATH} cannot be read: {error}") from error
    if len(listed) > MOST_MODELS:
        raise UnreadableError(f"{PATH} lists {len(listed)} models, over {MOST_MODELS}")
    found = {
        each.id: ServedModel(
            each.id,
            _text(each.parent),
            _whole(each.created),
            _text(each.owned_by),
            _whole(each.max_model_len),
        )
        for each in listed
        if each.id
    }
    return tuple(found[name] for name in sorted(found))


def _since(before: Sequence[ServedModel], models: Sequence[ServedModel]) -> tuple[ServedModel, ...]:
    """The same, made when it was told first: vLLM, SGLang and TensorRT-LLM tell the time of day."""
    created = {model.id: model.created for model in before}
    return tuple(
        msgspec.structs.replace(model, created=created.get(model.id, model.created))
        for model in models
    )


def _shown(models: Sequence[ServedModel]) -> str:
    names = ", ".join(model.id for model in models[:_MOST_SHOWN]) or "no model"
    more = len(models) - _MOST_SHOWN
    return f"{names} and {more} more" if more > 0 else names


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value <= _MOST_WHOLE else 0


class EngineModels:
    """What every endpoint of pools that want it serves; a change is published as a snapshot."""

    def __init__(
        self,
        events: Events,
        contexts: EndpointContexts,
        publish: Callable[[], Awaitable[None]],
    ) -> None:
        """``publish`` makes the snapshot that runs go out once more, marked anew."""
        self._events = events
        self._publish = publish
        self._chance = Random()
        self._client = EngineClient(contexts)
        self._tasks: dict[EndpointKey, tuple[Target, float, asyncio.Task[None]]] = {}
        self._found: dict[EndpointKey, tuple[ServedModel, ...]] = {}
        self._problems: dict[EndpointKey, str] = {}  # of the last look; empty: none
        self._unreadable: set[EndpointKey] = set()  # logged as such
        self._publishing: asyncio.Task[None] | None = None

    def problem(self, pool: str, endpoint: str) -> str:
        """Why its list could not be read the last time; empty if it could, or nobody asked."""
        return self._problems.get((pool, endpoint), "")

    def mark(self, snapshot: Snapshot) -> Snapshot:
        """With what is known of its endpoints."""
        return msgspec.structs.replace(
            snapshot, pools=tuple(self._marked(pool) for pool in snapshot.pools)
        )

    def follow(self, snapshot: Snapshot) -> None:
        """This is the world that runs. Endpoints that stay as they are are asked on."""
        before, self._tasks = self._tasks, {}
        for pool in snapshot.pools:
            if pool.kind != "llm" or not pool.models.discover_s:
                continue
            for endpoint in pool.endpoints:
                if endpoint.models:
                    continue
                key = (pool.name, endpoint.name)
                target = Target(pool.name, endpoint, pool.engine or Engine(), pool.tls)
                kept = before.pop(key, None)
                if kept is not None and kept[:2] != (target, pool.models.discover_s):
                    kept[2].cancel()
                    kept = None
                if kept is None:
                    task = asyncio.create_task(self._keep_asking(target, pool.models.discover_s))
                    kept = (target, pool.models.discover_s, task)
                self._tasks[key] = kept
        for key, (_, _, task) in before.items():
            task.cancel()
            self._found.pop(key, None)
            self._problems.pop(key, None)
            self._unreadable.discard(key)

    async def stop(self) -> None:
        """End all."""
        tasks = [task for _, _, task in self._tasks.values()]
        if self._publishing is not None:
            tasks.append(self._publishing)
        self._tasks = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    def _marked(self, pool: Pool) -> Pool:
        found = {
            endpoint.name: self._found[pool.name, endpoint.name]
            for endpoint in pool.endpoints
            if (pool.name, endpoint.name) in self._found and pool.models.discover_s
        }
        return msgspec.structs.replace(pool, discovered=found)

    async def _keep_asking(self, target: Target, interval_s: float) -> None:
        await asyncio.sleep(self._chance.random() * _FIRST_WITHIN_S)
        key = (target.pool, target.endpoint.name)
        while True:
            wait_s = interval_s
            try:
                models = models_of(await self._client.get(target, PATH))
                self._note_readable(key)
                self._learn(key, models)
            except UnreadableError as error:
                self._note_problem(key, error)
                if key not in self._found:
                    wait_s = min(interval_s, _AGAIN_S)
            except Exception as error:  # noqa: BLE001 - one endpoint's must not end the others'
                self._events.bug(f"asking {target.pool}/{target.endpoint.name} for models", error)
                wait_s = _AFTER_A_BUG_S
            await asyncio.sleep(wait_s * (1.0 + _JITTER * (self._chance.random() - 0.5)))

    def _note_problem(self, key: EndpointKey, error: UnreadableError) -> None:
        """What was known holds. Logged when it begins, not at every look."""
        self._problems[key] = str(error)
        if isinstance(error, UnreachableError) or key in self._unreadable:
            return  # a server that is down is the business of health checks
        self._unreadable.add(key)
        pool, endpoint = key
        known = key in self._found
        so = "what it listed before holds" if known else "it may serve any model"
        level = self._events.warning if known else self._events.info
        text = f"endpoint {pool}/{endpoint} does not say which models it serves ({error}): {so}"
        level("engine.models.unreadable", text, pool=pool, endpoint=endpoint, reason=str(error))

    def _note_readable(self, key: EndpointKey) -> None:
        self._problems.pop(key, None)
        if key in self._unreadable:
            self._unreadable.remove(key)
            pool, endpoint = key
            text = f"endpoint {pool}/{endpoint} says which models it serves"
            self._events.info("engine.models.readable", text, pool=pool, endpoint=endpoint)

    def _learn(self, key: EndpointKey, models: tuple[ServedModel, ...]) -> None:
        before = self._found.get(key, ())
        models = _since(before, models)
        if key in self._found and before == models:
            return
        self._found[key] = models
        there = {model.id for model in models}
        gone = [model for model in before if model.id not in there]
        pool, endpoint = key
        text = f"endpoint {pool}/{endpoint} serves {_shown(models)}"
        if gone:
            text += f", and no longer {_shown(gone)}"
        level = self._events.warning if gone else self._events.info
        level("engine.models", text, pool=pool, endpoint=endpoint)
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish_soon())

    async def _publish_soon(self) -> None:
        await asyncio.sleep(_GATHER_S)
        known = dict(self._found)
        while True:
            try:
                await self._publish()
            except Exception as error:  # noqa: BLE001 - tried again with what is known then
                self._events.error("engine.models.refused", f"models cannot be published: {error}")
                await asyncio.sleep(_AFTER_A_BUG_S)
                continue
            if known == self._found:
                return
            known = dict(self._found)
