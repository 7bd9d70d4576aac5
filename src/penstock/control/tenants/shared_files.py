"""Files of a directory of tenants, the same at all balancers that share a store.

A file that is written, changed or removed at one balancer is so at the others: its text goes
through the store, sealed, and into their directories, where whoever watches those finds it. So keys
are known while the store is gone too. The last change counts. Where a file of keys changed at two
balancers that could not hear of each other, both have the keys of both, and what either revoked is
revoked. A store that was flushed is written anew.
"""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import Any, Final

import msgspec

from penstock.control.events import Events
from penstock.control.store.files import write_whole
from penstock.control.store.store import NOT_THERE, Entry, Store, StoreError
from penstock.core.snapshot import Snapshot

PREFIX: Final = "tenants/"
MOST_BYTES: Final = 256 * 1024  # of one file
MOST_FILES: Final = 10_000
_LOOK_S: Final = 0.2  # between two looks at the directory
_ALL_S: Final = 5.0  # and at all that the store has
_NOTE: Final = "# Put together by penstock from what two balancers had of it.\n"
_Stamp = tuple[int, int, int]


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """A file as the store has it; ``text`` None: it was removed. ``at``: when, since 1970."""

    text: str | None
    at: float


@dataclass(frozen=True)
class _File:
    text: str
    at: float


@dataclass(frozen=True)
class _Known:
    """What was alike here and in the store."""

    revision: int
    text: str | None


class SharedTenantFiles:
    """``run`` it; ``configure`` by the snapshot that runs."""

    def __init__(self, store: Store, events: Events) -> None:
        """``store`` seals what stands there."""
        self._store = store
        self._events = events
        self._directory: Path | None = None
        self._files: dict[str, tuple[_Stamp, _File]] = {}
        self._known: dict[str, _Known] = {}
        self._heard: set[str] = set()
        self._woken = asyncio.Event()
        self._all_at = 0.0  # when it is to be looked which there are, on the loop's clock
        self._anew = True  # and each of them, as changes may not have been heard
        self._complained: dict[str, str] = {}

    def configure(self, snapshot: Snapshot) -> None:
        """Share the directory of that snapshot."""
        directory = Path(snapshot.tenants_directory) if snapshot.tenants_directory else None
        if directory != self._directory:
            self._directory = directory
            self._files, self._known, self._anew = {}, {}, True

    async def run(self) -> None:
        """Until cancelled."""
        hearing = asyncio.create_task(self._hear())
        loop = asyncio.get_running_loop()
        try:
            while True:
                now = loop.time()
                try:
                    await self.sync(all_of_it=now >= self._all_at)
                    self._all_at = self._all_at if now < self._all_at else now + _ALL_S
                except StoreError:
                    self._anew = True  # it is told by who keeps the store connected
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self) -> None:
        watch = self._store.watch(PREFIX)
        try:
            async for key in watch:
                self.heard(key)
        finally:
            await watch.aclose()

    def heard(self, key: str) -> None:
        """The store has another value of that key."""
        self._heard.add(key.removeprefix(PREFIX))
        self._woken.set()

    async def sync(self, *, all_of_it: bool = True) -> None:
        """Tell what changed here, and take what changed there: what was heard of, or
        ``all_of_it``. Raises StoreError."""
        directory = self._directory
        if directory is None:
            return
        anew, self._anew = self._anew, False
        here = await asyncio.to_thread(self._read, directory)
        if here is None or directory != self._directory:
            return
        names, self._heard = self._heard, set()
        if all_of_it or anew:
            there = {key.removeprefix(PREFIX) for key in await self._store.keys(PREFIX)}
            # Of those that both have it is heard when they change.
            names |= there | self._known.keys() if anew else there ^ self._known.keys()
        known = {name: each.text for name, each in self._known.items()}
        names |= {name for name, file in here.items() if known.get(name) != file.text}
        gone = {name for name, text in known.items() if text is not None and name not in here}
        if gone and not here:
            self._complain("", f"{directory} is empty all at once: nobody else is told of that")
        else:
            names |= gone
        try:
            for name in sorted(names)[:MOST_FILES]:
                await self._settle(directory, name, here.get(name))
        except StoreError:
            self._heard |= names
            self._anew = True
            raise

    # --- one file ---------------------------------------------------------------------------

    async def _settle(self, directory: Path, name: str, file: _File | None) -> None:
        if not _is_name(name):
            return self._complain(name, f"{PREFIX}{name} in the store is no name of such a file")
        entry = await self._store.get(PREFIX + name)
        try:
            said = _said(entry)
        except ValueError as error:
            return self._complain(name, f"{PREFIX}{name} in the store is not followed: {error}")
        known = self._known.get(name)
        here = file.text if file is not None else None
        there = said.text if said is not None else None
        if here == there:
            self._note(name, entry, here)
        elif entry is None or (known is not None and entry.revision == known.revision):
            await self._tell(name, entry, here, file.at if file is not None else time())
        elif said is not None:
            mine = None if known is not None and here == known.text else file
            await self._take(directory, name, entry, mine, said)
        return None

    async def _take(
        self, directory: Path, name: str, entry: Entry, mine: _File | None, said: Said
    ) -> None:
        """It changed there. ``mine``: as it changed here too."""
        text = said.text
        if mine is not None:
            both = _merged(name, mine, said)
            text = both if both is not None else mine.text if mine.at >= said.at else said.text
        if mine is None or text != mine.text:
            try:
                await asyncio.to_thread(_write, directory, name, text, said.at)
            except (ValueError, OSError) as error:
                return self._complain(
                    name,
                    f"{directory / name} stays as it is, though another balancer has it "
                    f"otherwise: {error}",
                )
        if text == said.text:
            self._note(name, entry, text)
            self._events.info(
                "tenants.shared", f"{directory / name} is now as another balancer has it"
            )
        else:
            await self._tell(name, entry, text, time())
        return None

    async def _tell(self, name: str, entry: Entry | None, text: str | None, at: float) -> None:
        if text is not None and len(text) > MOST_BYTES:
            return self._complain(name, f"{name} has more than {MOST_BYTES} bytes: not shared")
        if entry is None and text is None:
            self._known.pop(name, None)
            return None
        revision = entry.revision if entry is not None else NOT_THERE
        value = msgspec.json.encode(Said(text, at))
        put = await self._store.put_if_unchanged(PREFIX + name, value, revision)
        if put is None:
            self._heard.add(name)  # another was faster
        else:
            self._known[name] = _Known(put, text)
            self._complained.pop(name, None)
        return None

    def _note(self, name: str, entry: Entry | None, text: str | None) -> None:
        self._complained.pop(name, None)
        if entry is None:
            self._known.pop(name, None)
        else:
            self._known[name] = _Known(entry.revision, text)

    # --- the directory ----------------------------------------------------------------------

    def _read(self, directory: Path) -> dict[str, _File] | None:
        """What stands there; None where that cannot be told."""
        from penstock.config.compile.tenants import is_read

        files: dict[str, tuple[_Stamp, _File]] = {}
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if not is_read(entry.name) or not entry.is_file() or len(files) >= MOST_FILES:
                        continue
                    told = entry.stat()
                    stamp = (told.st_mtime_ns, told.st_size, told.st_ino)
                    known = self._files.get(entry.name)
                    if known is None or known[0] != stamp:
                        text = Path(entry.path).read_text("utf-8")
                        known = (stamp, _File(text, told.st_mtime))
                    files[entry.name] = known
        except (OSError, UnicodeDecodeError) as error:
            self._complain("", f"{directory} is not shared: {error}")
            return None
        self._files = files
        self._complained.pop("", None)
        return {name: file for name, (_, file) in files.items()}

    def _complain(self, name: str, text: str) -> None:
        """Once for each."""
        if self._complained.get(name) != text:
            self._complained[name] = text
            self._events.warning("tenants.shared", text)


def _is_name(name: str) -> bool:
    from penstock.config.compile.tenants import SUFFIX, is_read
    from penstock.config.document.values import parse_name

    try:
        return is_read(name) and bool(parse_name(name.removesuffix(SUFFIX)))
    except ValueError:
        return False


def _said(entry: Entry | None) -> Said | None:
    """Raises ValueError for what no balancer says."""
    if entry is None:
        return None
    if len(entry.value) > 8 * MOST_BYTES:
        raise ValueError("it is too long")
    said = msgspec.json.decode(entry.value, type=Said)
    if said.text is not None and len(said.text) > MOST_BYTES:
        raise ValueError("it is too long")
    return said


def _write(directory: Path, name: str, text: str | None, at: float) -> None:
    """Raises OSError, or ValueError for what is no file of tenants."""
    from penstock.config.compile.tenants import read_file
    from penstock.config.load.errors import ConfigError

    path = directory / name
    if text is None:
        path.unlink(missing_ok=True)
        return
    with TemporaryDirectory(prefix="penstock-") as aside:
        tried = Path(aside) / name
        tried.write_text(text, "utf-8")
        try:
            read_file(tried)
        except ConfigError as error:
            raise ValueError(str(error).replace(f"{aside}/", "")) from error
    write_whole(path, text.encode(), 0o644)
    os.utime(path, (at, at))


def _merged(name: str, mine: _File, said: Said) -> str | None:
    """A file of keys that changed here and there; None where one of them is to be chosen."""
    import yaml

    from penstock.config.compile.tenants import KEYS_SUFFIX

    if said.text is None or not name.endswith(KEYS_SUFFIX):
        return None
    try:
        older, newer = yaml.safe_load(said.text), yaml.safe_load(mine.text)
    except yaml.YAMLError:
        return None
    if said.at > mine.at:
        older, newer = newer, older
    if not isinstance(older, dict) or not isinstance(newer, dict):
        return None
    both: dict[Any, Any] = {**older, **newer}
    for key, value in both.items():
        revoked = [each.get(key) for each in (older, newer)]
        if isinstance(value, dict) and any(
            isinstance(each, dict) and each.get("revoked") for each in revoked
        ):
            both[key] = {**value, "revoked": True}
    return _NOTE + yaml.safe_dump(both, sort_keys=True, allow_unicode=True)
