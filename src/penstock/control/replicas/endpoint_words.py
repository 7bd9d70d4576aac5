"""Endpoints that were added, changed or removed at one balancer's admin address, at all of them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from xxhash import xxh3_64_hexdigest

from penstock.admin.view import UnknownNameError
from penstock.control.background import BackgroundTasks
from penstock.control.events import Events
from penstock.control.replicas.words import Words
from penstock.control.store.store import Store
from penstock.core.snapshot import Snapshot

_Text = Annotated[str, Meta(max_length=2048)]
Follow = Callable[[str, str, Mapping[str, Any] | None], Awaitable[None]]
PREFIX = "endpoints/"


class Said(msgspec.Struct, omit_defaults=True):
    """Of one endpoint: what a caller of the API can say of it, and nothing else."""

    pool: _Text
    url: _Text
    removed: bool = False
    weight: Annotated[float, Meta(ge=0.0, le=1e6)] | None = None
    zone: _Text = ""
    models: Annotated[str, Meta(max_length=8192)] = ""


class EndpointWords:
    """``said`` here is followed by ``follow`` elsewhere, which raises ValueError and LookupError.

    It is told what is said of an endpoint, None where it is removed.
    """

    def __init__(self, store: Store, background: BackgroundTasks, events: Events) -> None:
        self.words = Words(store, PREFIX, events)
        self.words.on_word = self._hear
        self._background = background
        self._events = events
        self._heard: dict[str, Said] = {}
        self._pools: frozenset[str] = frozenset()
        self.follow: Follow = _nobody

    def configure(self, snapshot: Snapshot) -> None:
        """What was said of pools that are new here holds now."""
        before = self._pools
        self._pools = frozenset(pool.name for pool in snapshot.pools)
        for said in self._heard.values():
            if said.pool in self._pools - before:
                self._background.begin("following endpoints", self._apply(said))

    def said(self, pool: str, url: str, said: Mapping[str, Any] | None) -> None:
        """By a caller of this balancer's API."""
        key = xxh3_64_hexdigest(f"{pool}\n{url}".encode())
        before = self._heard.get(key)
        values: dict[str, Any] = {}
        if said is not None and before is not None and not before.removed:
            values = {"weight": before.weight, "zone": before.zone, "models": before.models}
        values |= {name: value for name, value in (said or {}).items() if value not in (None, "")}
        word = self._heard[key] = Said(pool, url, said is None, **values)
        self.words.say(key, msgspec.json.encode(word))

    def _hear(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._heard.pop(key, None)
            return
        try:
            said = msgspec.json.decode(value, type=Said)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        self._heard[key] = said
        self._background.begin("following endpoints", self._apply(said))

    async def _apply(self, said: Said) -> None:
        asked = {"weight": said.weight, "zone": said.zone, "models": said.models}
        try:
            await self.follow(said.pool, said.url, None if said.removed else asked)
        except UnknownNameError:
            return  # no such pool, or no such endpoint, here
        except ValueError as error:
            text = f"pool {said.pool}: an endpoint changed at another balancer is not: {error}"
            self._events.warning("store.refused", text, pool=said.pool)


async def _nobody(pool: str, url: str, said: Mapping[str, Any] | None) -> None:
    """Follows."""
