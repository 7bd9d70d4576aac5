"""Files of the state directory: one JSON value each, with the version of its form.

    {"form": "forecasts", "version": 2, "value": …}

A file is written whole: to another name, to the disk (fsync), then renamed, so that whoever reads
it finds what was there before or what was written, however the writing ended. One that cannot be
read is set aside under another name, and what it held begins anew. Without a directory, and where
writing fails, values live in memory.
"""

import os
import re
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from penstock.control.events import Events

_Value = TypeVar("_Value")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:=-]{0,180}")
_SUFFIX: Final = ".json"
_MOST_SET_ASIDE: Final = 9  # of one name
MOST_BYTES: Final = 64 * 1024 * 1024  # of one file


class _Envelope(msgspec.Struct):
    form: str
    version: int
    value: msgspec.Raw


class StateFiles:
    """What is kept by name. A name has letters, digits, and ``_.:=-`` after the first."""

    def __init__(self, directory: Path | None, events: Events) -> None:
        self._directory = directory
        self._events = events
        self._in_memory: dict[str, bytes] = {}  # all, or those that could not be written
        self._complained: set[str] = set()

    @property
    def directory(self) -> Path | None:
        """Where they are; None: in memory."""
        return self._directory

    def read(self, name: str, version: int, form: type[_Value] | Any = Any) -> _Value | None:
        """The value of that version and form, or None: there is none, or it had to be set aside."""
        encoded = self._in_memory.get(name) or self._read_bytes(name)
        if encoded is None:
            return None
        try:
            envelope = msgspec.json.decode(encoded, type=_Envelope)
            if envelope.version != version:
                raise ValueError(
                    f"its version is {envelope.version}, and this Penstock reads {version}"
                )
            value: _Value = msgspec.json.decode(envelope.value, type=form)
        except (ValueError, RecursionError) as error:  # msgspec's errors are of the first
            self._in_memory.pop(name, None)
            self._set_aside(name, str(error))
            return None
        return value

    def write(self, name: str, version: int, value: object) -> bool:
        """Keep it; False where it lives in memory only. To the disk it takes milliseconds.

        Raises TypeError or ValueError for what JSON cannot say or is too large.
        """
        raw = msgspec.Raw(msgspec.json.encode(value))
        encoded = msgspec.json.encode(_Envelope(name, version, raw))
        if len(encoded) > MOST_BYTES:
            raise ValueError(f"{name} takes {len(encoded)} bytes; at most {MOST_BYTES} are kept")
        if self._directory is None:
            self._in_memory[_checked(name)] = encoded
            return False
        try:
            write_whole(self._path(name), encoded)
        except OSError as error:
            self._in_memory[name] = encoded
            self._complain(name, f"cannot be written: {error.strerror or error}; it is in memory")
            return False
        self._in_memory.pop(name, None)
        self._complained.discard(name)
        return True

    def remove(self, name: str) -> None:
        """Forget it. Nothing happens where there is none."""
        self._in_memory.pop(_checked(name), None)
        if self._directory is not None:
            try:
                self._path(name).unlink(missing_ok=True)
            except OSError as error:
                self._complain(name, f"cannot be removed: {error.strerror or error}")

    def names(self) -> list[str]:
        """Of all that is kept, sorted."""
        found = set(self._in_memory)
        if self._directory is not None:
            try:
                found |= {
                    path.name.removesuffix(_SUFFIX)
                    for path in self._directory.iterdir()
                    if path.name.endswith(_SUFFIX) and _NAME.fullmatch(path.name)
                }
            except OSError as error:
                self._complain("", f"cannot be listed: {error.strerror or error}")
        return sorted(found)

    def seen(self, name: str) -> tuple[int, int, int] | None:
        """What of its file changes with each writing, whoever writes; None: there is no file, or it
        lives in memory."""
        if self._directory is None or name in self._in_memory:
            return None
        try:
            stat = self._path(name).stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_size

    def in_memory(self) -> dict[str, bytes]:
        """What is not on the disk, for a successor (``take_over``)."""
        return dict(self._in_memory)

    def take_over(self, in_memory: dict[str, bytes]) -> None:
        """What a predecessor had in memory."""
        self._in_memory |= {name: each for name, each in in_memory.items() if _NAME.fullmatch(name)}

    def _path(self, name: str) -> Path:
        assert self._directory is not None
        return self._directory / (_checked(name) + _SUFFIX)

    def _read_bytes(self, name: str) -> bytes | None:
        if self._directory is None:
            return None
        path = self._path(name)
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size > MOST_BYTES:
                    raise OSError(f"it is larger than {MOST_BYTES} bytes")
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._set_aside(name, error.strerror or str(error))
            return None

    def _set_aside(self, name: str, reason: str) -> None:
        if self._directory is None:
            self._complain(name, f"cannot be read: {reason}")
            return
        path = self._path(name)
        aside = _free_name(path)
        try:
            path.replace(aside)
        except FileNotFoundError:
            return  # it was in memory only
        except OSError as error:
            left = f"cannot be read ({reason}) and not be set aside: {error.strerror or error}"
            self._complain(name, left)
            return
        self._events.error(
            "state.set_aside",
            f"{path} cannot be read: {reason}; it is {aside.name} now, and what it held begins "
            "anew",
            file=str(path),
        )

    def _complain(self, name: str, what: str) -> None:
        """Once, until it is written again."""
        if name in self._complained:
            return
        self._complained.add(name)
        where = self._path(name) if self._directory and name else (name or self._directory)
        self._events.error("state.file", f"{where} {what}", file=str(where))


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file so that readers find the old one or the new one. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(temporary, flags, mode)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """That the new name is on the disk too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_name(path: Path) -> Path:
    """Of a file that is set aside; the last of them gives way."""
    for number in range(1, _MOST_SET_ASIDE + 1):
        aside = path.with_name(f"{path.name}.set-aside-{number}")
        if not aside.exists():
            break
    return aside


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or name.endswith(_SUFFIX):
        raise ValueError(f"{name!r} cannot be the name of a state file")
    return name
