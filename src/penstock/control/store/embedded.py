"""The store of one balancer, in memory; or of all that share a state directory, in its files."""

import asyncio
import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import time
from typing import Final

import msgspec

from penstock.control.store.common import Common, CommonFile, take_lease
from penstock.control.store.files import StateFiles
from penstock.control.store.store import NOT_THERE, Entry, Store, StoreError, Watch

_VERSION: Final = 1
_FILE: Final = "store."  # before the key, whose slashes are written as equals signs
_KEY: Final = re.compile(r"[A-Za-z0-9_.:-]{1,80}(/[A-Za-z0-9_.:-]{1,80}){0,7}")
_MOST_KEY: Final = 170


class _Kept(msgspec.Struct):
    revision: int
    value: str | None = None  # where it is text, so that people can read the file
    base64: str | None = None


class EmbeddedStore(Store):
    """Revisions go up by one with each change of any key. What others that share the directory
    changed is found when it is asked for; watches tell of this process's changes alone."""

    def __init__(self, files: StateFiles, clock: Callable[[], float] = time) -> None:
        self._files = files
        self._clock = clock
        self._common = Common()  # without a directory
        self._file = CommonFile(files.directory) if files.directory is not None else None
        self._seen: dict[str, tuple[int, int, int] | None] = {}  # files, as they were read
        self._watchers: set[Watcher] = set()
        self._writing = asyncio.Lock()  # what changes; the disk is waited for in a thread
        self._entries: dict[str, Entry] = {}
        self._look()

    async def get(self, key: str) -> Entry | None:
        self._refresh(checked(key))
        return self._entries.get(key)

    async def put_if_unchanged(self, key: str, value: bytes, revision: int) -> int | None:
        checked(key)
        async with self._writing:
            given = await asyncio.to_thread(self._put, key, value, revision)
        if given is not None:
            self._tell(key)
        return given

    async def remove_if_unchanged(self, key: str, revision: int) -> bool:
        checked(key)
        async with self._writing:
            there = key in self._entries
            done = await asyncio.to_thread(self._remove, key, revision)
        if done and there:
            self._tell(key)
        return done

    async def keys(self, prefix: str) -> list[str]:
        self._look()
        return sorted(key for key in self._entries if key.startswith(prefix))

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        return await asyncio.to_thread(self._lease, name, holder, seconds)

    async def release(self, name: str, holder: str) -> None:
        await asyncio.to_thread(self._release, name, holder)

    def watch(self, prefix: str) -> Watch:
        watcher = Watcher(prefix, self._watchers.discard)
        self._watchers.add(watcher)
        return watcher

    # --- in a thread, as others that share the directory may be waited for -------------------

    @contextmanager
    def _locked(self) -> Iterator[Common]:
        """Raises StoreError."""
        if self._file is None:
            yield self._common
            return
        try:
            with self._file.locked() as common:
                yield common
        except OSError as error:
            raise StoreError(
                f"the state directory cannot be locked: {error.strerror or error}"
            ) from error

    def _put(self, key: str, value: bytes, revision: int) -> int | None:
        with self._locked() as common:
            self._refresh(key)
            if self._revision(key) != revision:
                return None
            newest = max((each.revision for each in self._entries.values()), default=0)
            common.newest = max(common.newest, newest) + 1
            self._entries[key] = entry = Entry(value, common.newest)
            self._files.write(_file_of(key), _VERSION, _kept(entry))
            self._seen[key] = self._files.seen(_file_of(key))
            return entry.revision

    def _remove(self, key: str, revision: int) -> bool:
        with self._locked():
            self._refresh(key)
            if self._revision(key) != revision:
                return False
            if self._entries.pop(key, None) is not None:
                self._files.remove(_file_of(key))
                self._seen.pop(key, None)
            return True

    def _lease(self, name: str, holder: str, seconds: float) -> bool:
        with self._locked() as common:
            return take_lease(common.leases, name, holder, seconds, self._clock())

    def _release(self, name: str, holder: str) -> None:
        with self._locked() as common:
            if common.leases.get(name, ("", 0.0))[0] == holder:
                del common.leases[name]

    # --- what others wrote ------------------------------------------------------------------

    def _look(self) -> None:
        """At all files."""
        for name in self._files.names():
            if name.startswith(_FILE):
                self._refresh(name.removeprefix(_FILE).replace("=", "/"))
        for key in [key for key, seen in self._seen.items() if seen is not None]:
            self._refresh(key)

    def _refresh(self, key: str) -> None:
        """Read it where its file is another than it was."""
        name = _file_of(key)
        seen = self._files.seen(name)
        if seen == self._seen.get(key) and (seen is not None or key in self._entries):
            return
        before = self._seen.get(key)
        self._seen[key] = seen
        if seen is None and before is not None:
            self._entries.pop(key, None)  # somebody removed it
        else:
            self._load(name)

    def _revision(self, key: str) -> int:
        entry = self._entries.get(key)
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
