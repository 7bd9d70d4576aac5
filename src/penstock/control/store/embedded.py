"""The store of one balancer: in memory, or in files of the state directory."""

import asyncio
import base64
import re
from collections.abc import Callable
from time import monotonic
from typing import Final

import msgspec

from penstock.control.store.files import StateFiles
from penstock.control.store.store import NOT_THERE, Entry, Store, Watch

_VERSION: Final = 1
_FILE: Final = "store."  # before the key, whose slashes are written as equals signs
_KEY: Final = re.compile(r"[A-Za-z0-9_.:-]{1,80}(/[A-Za-z0-9_.:-]{1,80}){0,7}")
_MOST_KEY: Final = 170


class _Kept(msgspec.Struct):
    revision: int
    value: str | None = None  # where it is text, so that people can read the file
    base64: str | None = None


class EmbeddedStore(Store):
    """Revisions go up by one with each change of any key."""

    def __init__(self, files: StateFiles, clock: Callable[[], float] = monotonic) -> None:
        self._files = files
        self._clock = clock
        self._leases: dict[str, tuple[str, float]] = {}  # name → holder, until when
        self._watchers: set[Watcher] = set()
        self._writing = asyncio.Lock()  # what changes; the disk is waited for in a thread
        self._entries: dict[str, Entry] = {}
        self._newest = 0
        for name in files.names():
            if name.startswith(_FILE):
                self._load(name)

    async def get(self, key: str) -> Entry | None:
        return self._entries.get(checked(key))

    async def put_if_unchanged(self, key: str, value: bytes, revision: int) -> int | None:
        async with self._writing:
            if self._revision(key) != revision:
                return None
            self._newest += 1
            self._entries[key] = entry = Entry(value, self._newest)
            self._tell(key)
            await asyncio.to_thread(self._files.write, _file_of(key), _VERSION, _kept(entry))
            return entry.revision

    async def remove_if_unchanged(self, key: str, revision: int) -> bool:
        async with self._writing:
            if self._revision(key) != revision:
                return False
            if self._entries.pop(key, None) is not None:
                self._tell(key)
                await asyncio.to_thread(self._files.remove, _file_of(key))
            return True

    async def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self._entries if key.startswith(prefix))

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        now = self._clock()
        owner, until = self._leases.get(name, (holder, now))
        if owner != holder and until > now:
            return False
        held_until = until if owner == holder else now
        self._leases[name] = (holder, max(held_until, now + seconds))
        return True

    async def release(self, name: str, holder: str) -> None:
        if self._leases.get(name, ("", 0.0))[0] == holder:
            del self._leases[name]

    def watch(self, prefix: str) -> Watch:
        watcher = Watcher(prefix, self._watchers.discard)
        self._watchers.add(watcher)
        return watcher

    def _revision(self, key: str) -> int:
        entry = self._entries.get(checked(key))
        return entry.revision if entry is not None else NOT_THERE

    def _load(self, name: str) -> None:
        key = name.removeprefix(_FILE).replace("=", "/")
        kept = self._files.read(name, _VERSION, _Kept)
        if kept is None or not _KEY.fullmatch(key):
            return
        value = kept.value.encode() if kept.value is not None else b""
        if kept.base64 is not None:
            value = base64.b64decode(kept.base64)
        self._entries[key] = Entry(value, kept.revision)
        self._newest = max(self._newest, kept.revision)

    def _tell(self, key: str) -> None:
        for watcher in self._watchers:
            watcher.tell(key)


class Watcher(Watch):
    """Changed keys that nobody asked for yet, each once."""

    def __init__(self, prefix: str, on_close: Callable[["Watcher"], None]) -> None:
        self._prefix = prefix
        self._on_close = on_close
        self._changed: dict[str, None] = {}
        self._some = asyncio.Event()

    def tell(self, key: str) -> None:
        if key.startswith(self._prefix):
            self._changed[key] = None
            self._some.set()

    async def __anext__(self) -> str:
        while not self._changed:
            self._some.clear()
            await self._some.wait()
        key = next(iter(self._changed))
        del self._changed[key]
        return key

    async def aclose(self) -> None:
        self._on_close(self)


def _kept(entry: Entry) -> _Kept:
    try:
        return _Kept(entry.revision, value=entry.value.decode())
    except UnicodeDecodeError:
        return _Kept(entry.revision, base64=base64.b64encode(entry.value).decode())


def _file_of(key: str) -> str:
    return _FILE + key.replace("/", "=")


def checked(key: str) -> str:
    """The key. Raises ValueError for what cannot be one."""
    if not _KEY.fullmatch(key) or len(key) > _MOST_KEY:
        raise ValueError(f"{key!r} cannot be a key of the store")
    return key
