"""The directory of tenants: what changed there is published within a second.

A file that cannot be read stays what it was: a slip in one neither shuts a tenant out nor keeps a
key that another file revokes.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from penstock.config.load.errors import ConfigError
from penstock.control.events import Events
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import Snapshot, Tenant

LOOK_S: Final = 0.4  # between two looks
_Stamp = tuple[int, int, int]


class TenantsDirectory:
    """``mark`` puts into snapshots what stands there; ``run`` publishes what changes."""

    def __init__(self, events: Events, refresh: Callable[[], Awaitable[None]]) -> None:
        self._events = events
        self._refresh = refresh
        self._directory = ""
        self._found: tuple[Tenant, ...] | None = None  # None: as the configuration was compiled
        self._published: tuple[Tenant, ...] = ()
        self._files: dict[str, tuple[_Stamp, Tenant | None]] = {}
        self._complained: dict[str, str] = {}

    def mark(self, snapshot: Snapshot) -> Snapshot:
        """With the tenants found."""
        if snapshot.tenants_directory != self._directory or self._found is None:
            return snapshot
        return replace(snapshot, found_tenants=self._found)

    def configure(self, snapshot: Snapshot) -> None:
        """Watch the directory of the snapshot that runs."""
        if snapshot.tenants_directory != self._directory:
            self._directory = snapshot.tenants_directory
            self._files = {}
            self._found = None
        self._published = snapshot.found_tenants

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Publish what stands there, if it is not what runs."""
        directory = self._directory
        if not directory:
            return
        changed = await asyncio.to_thread(self._read, Path(directory))
        if directory != self._directory or not changed or self._found == self._published:
            return
        try:
            await self._refresh()
        except PublishError as error:
            self._events.error("tenants.refused", f"changed tenants are not used: {error}")
            self._files = {}  # tried again with the next look
            return
        self._events.info("tenants", f"tenants of {directory} changed and count now")

    def _read(self, directory: Path) -> bool:
        """Read what changed; whether anything did."""
        try:
            stamps = _stamps(directory)
        except OSError as error:
            self._complain("", f"{directory} cannot be read: {error.strerror}; tenants stay")
            return False
        from penstock.config.compile.tenants import joined, read_file

        before = {name: stamp for name, (stamp, _) in self._files.items()}
        if stamps == before and self._found is not None:
            return False
        files: dict[str, tuple[_Stamp, Tenant | None]] = {}
        for name, stamp in stamps.items():
            known = self._files.get(name)
            if known is not None and known[0] == stamp:
                files[name] = known
                continue
            try:
                files[name] = (stamp, read_file(directory / name))
                self._complained.pop(name, None)
            except ConfigError as error:
                files[name] = (stamp, known[1] if known is not None else None)
                self._complain(name, f"{error}; what stood there before stays")
        self._files = files
        self._found = joined([tenant for _, tenant in files.values() if tenant is not None])
        return True

    def _complain(self, name: str, text: str) -> None:
        """Once for each mistake."""
        if self._complained.get(name) != text:
            self._complained[name] = text
            self._events.error("tenants.file", text)


def _stamps(directory: Path) -> dict[str, _Stamp]:
    """What tells of each file whether it changed. Raises OSError."""
    from penstock.config.compile.tenants import is_read

    found: dict[str, _Stamp] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_read(entry.name) and entry.is_file():
                told = entry.stat()
                found[entry.name] = (told.st_mtime_ns, told.st_size, told.st_ino)
    return dict(sorted(found.items()))
