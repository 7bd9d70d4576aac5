"""Files of users and passwords: what changed there is published within a second.

A file that cannot be read, or has a mistake, stays what it was.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from penstock.config.compile.password_file import users_of
from penstock.control.events import Events
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import BasicAuth, Route, Snapshot

LOOK_S: Final = 0.4  # between two looks
_Stamp = tuple[int, int, int]


class PasswordFiles:
    """``mark`` puts into snapshots what stands in the files; ``run`` publishes what changes."""

    def __init__(self, events: Events, refresh: Callable[[], Awaitable[None]]) -> None:
        self._events = events
        self._refresh = refresh
        self._published: dict[str, dict[str, str]] = {}  # users by file
        self._found: dict[str, dict[str, str]] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._complained: dict[str, str] = {}

    def mark(self, snapshot: Snapshot) -> Snapshot:
        """With the users found."""
        if not self._found:
            return snapshot
        return replace(snapshot, routes=tuple(self._marked(each) for each in snapshot.routes))

    def _marked(self, route: Route) -> Route:
        asked = route.basic_auth
        users = self._found.get(asked.file) if asked is not None else None
        if asked is None or users is None or users == asked.users:
            return route
        return replace(route, basic_auth=replace(asked, users=users))

    def configure(self, snapshot: Snapshot) -> None:
        """Watch the files of the snapshot that runs."""
        self._published = {each.file: each.users for each in _asked(snapshot)}
        files = self._published
        self._found = {file: users for file, users in self._found.items() if file in files}
        self._stamps = {file: stamp for file, stamp in self._stamps.items() if file in files}
        self._complained = {file: text for file, text in self._complained.items() if file in files}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Publish what stands there, if it is not what runs."""
        if not self._published:
            return
        read = await asyncio.to_thread(self._read, list(self._published))
        files = self._published
        self._found.update({file: users for file, users in read.items() if file in files})
        changed = [file for file, users in self._found.items() if users != files.get(file)]
        if not changed:
            return
        try:
            await self._refresh()
        except PublishError as error:
            self._events.error("passwords.refused", f"changed passwords are not used: {error}")
            return
        for file in changed:
            self._events.info("passwords", f"users of {file} changed and count now")

    def _read(self, files: list[str]) -> dict[str, dict[str, str]]:
        """What stands in those that changed, and has no mistake."""
        found: dict[str, dict[str, str]] = {}
        for file in files:
            path = Path(file)
            try:
                told = path.stat()
                stamp = (told.st_mtime_ns, told.st_size, told.st_ino)
                if self._stamps.get(file) == stamp:
                    continue
                found[file] = users_of(path)
                self._stamps[file] = stamp
                self._complained.pop(file, None)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                self._complain(file, f"{file}: {why}; what stood there before stays")
        return found

    def _complain(self, file: str, text: str) -> None:
        """Once for each mistake."""
        if self._complained.get(file) != text:
            self._complained[file] = text
            self._events.error("passwords.file", text)


def _asked(snapshot: Snapshot) -> Iterator[BasicAuth]:
    for route in snapshot.routes:
        if route.basic_auth is not None and route.basic_auth.file:
            yield route.basic_auth
