"""What balancers that share a state directory hold in common: who has which lease, and the newest
revision that any of them gave.

It is a file that one of them at a time has locked (flock(2)): the lock ends with its process,
however that ends. What stands in it when somebody died while writing counts as nothing.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

_NAME: Final = ".store"  # no state file: those have a suffix
_MOST_BYTES: Final = 1024 * 1024


class Common(msgspec.Struct):
    """Leases are holders and until when they hold, by the wall clock."""

    newest: int = 0
    leases: dict[str, tuple[str, float]] = {}


class CommonFile:
    """In that directory. What is done with it may wait for others: do it in a thread."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _NAME

    @contextmanager
    def locked(self) -> Iterator[Common]:
        """Nobody else has it meanwhile; what is changed is kept. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            read = os.pread(descriptor, _MOST_BYTES, 0)
            common = _decoded(read)
            yield common
            written = msgspec.json.encode(common)
            if written != read:
                os.pwrite(descriptor, written, 0)
                os.ftruncate(descriptor, len(written))
        finally:
            os.close(descriptor)


def _decoded(data: bytes) -> Common:
    try:
        return msgspec.json.decode(data, type=Common) if data else Common()
    except ValueError:
        return Common()


def take_lease(
    leases: dict[str, tuple[str, float]], name: str, holder: str, seconds: float, now: float
) -> bool:
    """Note that it is held for so long from ``now``, or longer; False: another holds it."""
    owner, until = leases.get(name, (holder, now))
    if owner != holder and until > now:
        return False
    held_until = until if owner == holder else now
    leases[name] = (holder, max(held_until, now + seconds))
    return True
