"""Endpoints that a file lists, read again whenever it changes."""

import asyncio
from glob import glob
from pathlib import Path
from typing import ClassVar, Final

from penstock.config.load.targets import MAX_BYTES, TargetsError, read_targets
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.control.threads import in_thread
from penstock.core.snapshot.discovery import FileDiscovery, Found

_SETTLED_S: Final = 0.05  # a file that changes again within that is still being written
_SETTLING_LOOKS: Final = 4  # then it is one that changes all the time
_MOST_FILES: Final = 1000

Signature = tuple[tuple[str, int, int, int], ...]  # path, inode, size, time of change


class FileProvider(Provider):
    """Of one file, or of all that a pattern matches."""

    name: ClassVar[str] = "file"

    def __init__(self, settings: FileDiscovery) -> None:
        super().__init__(settings)
        self._path = settings.path
        self._interval_s = self.first_pause_s = self.longest_pause_s = settings.interval_s
        self._read: Signature | None = None

    async def look(self) -> Answer:
        """As soon as it is another one than the one that was read."""
        signature = await in_thread(self._signature, "targets")
        while signature == self._read:
            await asyncio.sleep(self._interval_s)
            signature = await in_thread(self._signature, "targets")
        for _ in range(_SETTLING_LOOKS):
            await asyncio.sleep(_SETTLED_S)
            before, signature = signature, await in_thread(self._signature, "targets")
            if before == signature:
                break
        found = await in_thread(lambda: _read([each[0] for each in signature]), "targets")
        self._read = signature
        return Answer(found)

    def _signature(self) -> Signature:
        path = Path(self._path)
        if "*" in path.name or "?" in path.name:
            paths = sorted(glob(self._path))[:_MOST_FILES]
            if not paths:
                raise ProviderError(f"no file is called {self._path}")
        else:
            paths = [self._path]
        return tuple(_state(each) for each in paths)


def _state(path: str) -> tuple[str, int, int, int]:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise ProviderError(f"{path} cannot be read: {error.strerror}") from error
    return (path, found.st_ino, found.st_size, found.st_mtime_ns)


def _read(paths: list[str]) -> tuple[Found, ...]:
    found: list[Found] = []
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                found += read_targets(file.read(MAX_BYTES + 1), path)
        except OSError as error:
            raise ProviderError(f"{path} cannot be read: {error.strerror}") from error
        except TargetsError as error:
            raise ProviderError(str(error)) from error
    return tuple(found)
