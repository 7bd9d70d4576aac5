"""Taking over from a supervisor that died: its workers serve on until ours are ready.

Every supervisor keeps a small file in the runtime directory that names its workers. One that
starts looks for files of dead supervisors; workers found there that listen on its ports are asked
to finish (SIGTERM) once its own workers serve.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from penstock.control.events import Events

DIRECTORY_VARIABLE: Final = "PENSTOCK_RUNTIME_DIR"
_PATTERN: Final = "supervisor-*.json"
SOCKET_SUFFIX: Final = ".sock"  # of the socket beside the file
_POLL_S: Final = 0.2
# A worker without a supervisor gives its requests 30 s to finish; then it is time to use force.
_ORPHAN_S: Final = 35.0


class Process(msgspec.Struct, frozen=True):
    """A process; its start (ticks since boot) tells it from later ones with the same number."""

    pid: int
    started: str


class _Record(msgspec.Struct, frozen=True):
    """What a supervisor's file says."""

    supervisor: Process
    workers: tuple[Process, ...]
    places: tuple[int | str, ...]  # ports, and paths of socket files
    source: str = ""  # the file of its configuration; empty where there was none


class RuntimeFile:
    """This supervisor's file, and what those of others say. Without a directory it does nothing."""

    def __init__(self, directory: Path | None, events: Events, source: str = "") -> None:
        self._directory = directory
        self._events = events
        self._source = source
        self.me = identify(os.getpid())
        self.directory = directory
        self._path = directory / f"supervisor-{_name(self.me)}.json" if directory else None
        self._orphans: dict[Path, _Record] = {}
        self._alive: list[_Record] = []
        for path in sorted(directory.glob(_PATTERN)) if directory else ():
            self._look_at(path)

    @property
    def upgrade_socket(self) -> Path | None:
        """Where an upgrade of this supervisor is asked for."""
        return self.upgrade_socket_of(self.me)

    def upgrade_socket_of(self, supervisor: Process) -> Path | None:
        """Where that one is to be found."""
        if self._directory is None:
            return None
        return self._directory / f"supervisor-{_name(supervisor)}{SOCKET_SUFFIX}"

    def may_share(self, place: int | str) -> bool:
        """Whether workers of a dead supervisor, and nobody else of ours, listen there.

        It must have been of our configuration: two never serve one port unnoticed.
        """
        shared = any(
            place in record.places and record.source == self._source
            for record in self._orphans.values()
        )
        return shared and self.owner(place) == 0

    def owner(self, place: int | str) -> int:
        """The pid of a running supervisor that listens there; 0 when there is none."""
        for record in self._alive:
            if place in record.places:
                return record.supervisor.pid
        return 0

    def write(self, workers: Iterable[int], places: Iterable[int | str]) -> None:
        """Record our workers."""
        if self._path is None:
            return
        record = _Record(
            supervisor=self.me,
            workers=tuple(identify(pid) for pid in workers),
            places=tuple(places),
            source=self._source,
        )
        temporary = self._path.with_suffix(".tmp")
        try:
            temporary.write_bytes(msgspec.json.encode(record))
            temporary.replace(self._path)
        except OSError as error:
            self._events.warning("runtime_file", f"{self._path} cannot be written: {error}")

    def remove(self) -> None:
        """Our workers have ended: there is nothing to take over."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def workers_of(self, supervisor: Process) -> tuple[Process, ...]:
        """By the file of one that died just now."""
        try:
            record = msgspec.json.decode(self._file_of(supervisor).read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            return ()  # it had none yet
        return record.workers

    def forget(self, supervisor: Process) -> None:
        """There is nothing left of it."""
        if self._directory is not None:
            _remove(self._file_of(supervisor))

    def _file_of(self, supervisor: Process) -> Path:
        assert self._directory is not None
        return self._directory / f"supervisor-{_name(supervisor)}.json"

    async def relieve_orphans(self, places: Iterable[int | str]) -> None:
        """Ask workers of dead supervisors that listen where we do to finish, and wait for it."""
        ours = set(places)
        for path, record in self._orphans.items():
            workers = [worker for worker in record.workers if is_running(worker)]
            pids = ", ".join(str(worker.pid) for worker in workers)
            if ours.isdisjoint(record.places) or record.source != self._source:
                self._events.warning(
                    "orphans.left",
                    f"workers {pids} of the dead supervisor {record.supervisor.pid} still serve "
                    f"at {', '.join(map(str, record.places))}; end them with `kill {pids}`",
                )
                continue
            self._events.info(
                "orphans.relieved",
                f"workers {pids} of the dead supervisor {record.supervisor.pid} finish their "
                "requests; new workers took over",
            )
            await end_workers(workers)
            _remove(path)

    def _look_at(self, path: Path) -> None:
        try:
            record = msgspec.json.decode(path.read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError) as error:
            self._events.warning("runtime_file", f"{path} cannot be read: {error}")
            return
        if is_running(record.supervisor):
            self._alive.append(record)
        elif any(is_running(worker) for worker in record.workers):
            self._orphans[path] = record
        else:
            _remove(path)


def runtime_directory(events: Events) -> Path | None:
    """A private directory, created if missing; None, with a warning, where that is impossible."""
    directory = chosen_directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In a directory that all share, a link may be somebody else's trap.
        found = directory.stat(follow_symlinks=directory.parent != Path(tempfile.gettempdir()))
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError("it belongs to others, or others can write to it")
    except OSError as error:
        reason = error.strerror or str(error)
        events.warning(
            "runtime_directory",
            f"without a runtime directory a successor cannot take over: {directory}: {reason}; "
            f"{DIRECTORY_VARIABLE} chooses another",
        )
        return None
    return directory


def identify(pid: int) -> Process:
    """That process; ``started`` is empty when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return Process(pid, "")
    fields = stat.rpartition(")")[2].split()  # from the state on, which is field 3 of proc(5)
    return Process(pid, "" if fields[0] in "ZX" else fields[19])


def is_running(process: Process) -> bool:
    """Whether it still runs; false for a later process with the same number."""
    return bool(process.started) and identify(process.pid) == process


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(SOCKET_SUFFIX).unlink(missing_ok=True)


def _name(process: Process) -> str:
    return f"{process.pid}-{process.started}"


def chosen_directory() -> Path:
    """Where runtime files of this user are."""
    environment = os.environ
    if chosen := environment.get(DIRECTORY_VARIABLE):
        return Path(chosen)
    if given := environment.get("RUNTIME_DIRECTORY"):  # systemd.exec(5)
        return Path(given.partition(":")[0])
    if session := environment.get("XDG_RUNTIME_DIR"):
        return Path(session) / "penstock"
    return Path(tempfile.gettempdir()) / f"penstock-{os.geteuid()}"


async def end_workers(workers: Sequence[Process], number: signal.Signals = signal.SIGTERM) -> None:
    """Ask them to finish, and wait for it; with force where they do not.

    By SIGUSR2 where the sockets that they listen on are ours too.
    """
    for worker in workers:
        signal_process(worker, number)
    deadline = asyncio.get_running_loop().time() + _ORPHAN_S
    while any(is_running(worker) for worker in workers):
        if asyncio.get_running_loop().time() > deadline:
            for worker in workers:
                signal_process(worker, signal.SIGKILL)
            return
        await asyncio.sleep(_POLL_S)


def signal_process(process: Process, number: signal.Signals) -> None:
    """Nothing happens where it has ended."""
    if is_running(process):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
