"""Pools that an operator set aside at one balancer are set aside at all that share the store.

They are known by name. What is said of a pool that is not here yet holds once it is.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from xxhash import xxh3_64_hexdigest

from penstock.control.events import Events
from penstock.control.maintenance import MAX_TEXT, MaintenanceSwitches
from penstock.control.replicas.operator_words import ELSEWHERE
from penstock.control.replicas.words import Words
from penstock.control.store.store import Store
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import Maintenance, Snapshot

PREFIX: Final = "maintenance/"
_DAY_S: Final = 86_400


class Aside(msgspec.Struct):
    """What is said of a pool."""

    text: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    retry_after_s: Annotated[int, Meta(ge=0, le=_DAY_S)] = 60


class MaintenanceWords:
    """``said`` here, and ``configure`` by the snapshot that runs."""

    def __init__(
        self,
        store: Store,
        switches: MaintenanceSwitches,
        begin: Callable[[str, Coroutine[Any, Any, None]], object],
        events: Events,
    ) -> None:
        """``begin`` starts work that is not waited for."""
        self.words = Words(store, PREFIX, events)
        self.words.on_word = self._hear
        self._switches = switches
        self._begin = begin
        self._events = events
        self._pools: dict[str, str] = {}  # by key
        self._heard: dict[str, Aside] = {}

    def configure(self, snapshot: Snapshot) -> None:
        """What was said of pools that are new here holds now."""
        before = self._pools
        self._pools = {_key(pool.name): pool.name for pool in snapshot.pools}
        for key, pool in self._pools.items():
            if key not in before and key in self._heard:
                self._apply(pool, self._heard[key])

    def said(self, pool: str) -> None:
        """An operator set this pool aside here, or put it back."""
        key = _key(pool)
        page = self._switches.page(pool)
        if page is None:
            self._heard.pop(key, None)
            self.words.say(key, None)
            return
        aside = self._heard[key] = Aside(page.text, page.retry_after_s)
        self.words.say(key, msgspec.json.encode(aside))

    def _hear(self, key: str, value: bytes | None) -> None:
        aside: Aside | None = None
        if value is not None:
            try:
                aside = msgspec.json.decode(value, type=Aside)
            except msgspec.DecodeError as error:
                raise ValueError(str(error)) from error
        known = self._heard.pop(key, None)
        if aside is not None:
            self._heard[key] = aside
        pool = self._pools.get(key)
        if pool is not None and (aside is not None or known is not None):
            self._apply(pool, aside)

    def _apply(self, pool: str, aside: Aside | None) -> None:
        self._begin("a pool's maintenance", self._switch(pool, aside))

    async def _switch(self, pool: str, aside: Aside | None) -> None:
        switches = self._switches
        try:
            if aside is None:
                await switches.switch_off(pool, ELSEWHERE)
            elif switches.page(pool) != Maintenance(aside.text, aside.retry_after_s):
                await switches.switch_on(pool, aside.text, aside.retry_after_s, ELSEWHERE)
        except (LookupError, ValueError, PublishError) as error:
            text = f"what another balancer says of pool {pool} is not followed: {error}"
            self._events.warning("store.refused", text)


def _key(pool: str) -> str:
    """Names of pools are of any length, keys are not."""
    return xxh3_64_hexdigest(pool.encode())
