"""What is said once at one balancer and holds at all: a few values by key, in the store.

The last word counts. What is said while the store is gone is written when it is back; what it
lost by a flush is written back by those who know it. A flush is seen by a key that is there as long
as nothing was lost.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from penstock.control.events import Events
from penstock.control.store.store import NOT_THERE, Store, StoreError

_LOOK_S: Final = 5.0  # between two looks whether the store was flushed, and tries to write
_TRIES: Final = 5  # against others who write the same key
MOST_WORDS: Final = 10_000
MOST_BYTES: Final = 16 * 1024  # of one


class Words:
    """``run`` it. ``on_word`` gets every key whose value is another than before, and None where it
    is no longer said. It raises ValueError for what cannot be."""

    def __init__(self, store: Store, prefix: str, events: Events) -> None:
        """``prefix`` ends with a slash."""
        self._store = store
        self._prefix = prefix
        self._mark = f"{prefix}mark"
        self._events = events
        self._known: dict[str, bytes] = {}
        self._unwritten: dict[str, bytes | None] = {}
        self._said = asyncio.Event()
        self.on_word: Callable[[str, bytes | None], None] = _nobody

    def say(self, key: str, value: bytes | None) -> None:
        """Say it here and, as soon as the store is there, everywhere; None takes it back."""
        if value is not None and len(value) > MOST_BYTES:
            raise ValueError(f"{key} has {len(value)} bytes; at most {MOST_BYTES} are shared")
        self._unwritten[key] = value
        self._keep(key, value)
        self._said.set()

    async def run(self) -> None:
        """Until cancelled."""
        watch = self._store.watch(self._prefix)
        hearing: asyncio.Task[str] | None = None
        loaded = False
        try:
            while True:
                hearing = hearing or asyncio.ensure_future(anext(watch))
                try:
                    if not loaded:
                        await self._load()
                        loaded = True
                    await self._write()
                    await self._look_for_flush()
                except StoreError:
                    pass  # it is told by who keeps the store connected
                self._said.clear()
                saying = asyncio.ensure_future(self._said.wait())
                await asyncio.wait(
                    (hearing, saying), timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED
                )
                saying.cancel()
                if hearing.done():
                    key = hearing.result().removeprefix(self._prefix)
                    hearing = None
                    try:
                        await self._hear(key)
                    except StoreError:
                        loaded = False
        finally:
            if hearing is not None:
                hearing.cancel()
            await watch.aclose()

    async def _load(self) -> None:
        """All that is said there."""
        for key in (await self._store.keys(self._prefix))[:MOST_WORDS]:
            await self._hear(key.removeprefix(self._prefix))

    async def _hear(self, key: str) -> None:
        if self._prefix + key == self._mark or key in self._unwritten:
            return
        entry = await self._store.get(self._prefix + key)
        value = entry.value if entry is not None else None
        if value is not None and (len(value) > MOST_BYTES or len(self._known) >= MOST_WORDS):
            return
        if value == self._known.get(key):
            return
        if value is None and await self._store.get(self._mark) is None:
            return  # nobody took it back: the store was flushed, and it will be written again
        self._keep(key, value)
        try:
            self.on_word(key, value)
        except ValueError as error:
            text = f"what another balancer says of {self._prefix}{key} is not followed: {error}"
            self._events.warning("store.refused", text)

    async def _write(self) -> None:
        for key, value in list(self._unwritten.items()):
            for _ in range(_TRIES):
                if await self._put(key, value):
                    break
            if self._unwritten.get(key) == value:
                del self._unwritten[key]

    async def _put(self, key: str, value: bytes | None) -> bool:
        at = self._prefix + key
        entry = await self._store.get(at)
        if value is None:
            return entry is None or await self._store.remove_if_unchanged(at, entry.revision)
        revision = entry.revision if entry is not None else NOT_THERE
        return await self._store.put_if_unchanged(at, value, revision) is not None

    async def _look_for_flush(self) -> None:
        if await self._store.get(self._mark) is not None:
            return
        for key, value in list(self._known.items()):
            await self._store.put_if_unchanged(self._prefix + key, value, NOT_THERE)
        await self._store.put_if_unchanged(
            self._mark, secrets.token_hex(8).encode("ascii"), NOT_THERE
        )

    def _keep(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._known.pop(key, None)
        else:
            self._known[key] = value


def _nobody(key: str, value: bytes | None) -> None:
    """Wants to know."""
