"""Calls in separate processes that end the moment nobody wants their results any more.

The standard library's pool does not do: leaving it waits for what runs, which may take hours, and
its threads and queues lose a signal that arrives while a process is being started.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from signal import SIG_BLOCK, SIG_SETMASK, SIGINT, SIGTERM, pthread_sigmask
from traceback import format_exc
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Not forked: a fork copies locks that other threads, such as a progress bar's, may hold.
_SPAWN: Final = get_context("spawn")


class StoppedError(Exception):
    """Who wanted the results asked for an end before they were complete."""


class ProcessDiedError(Exception):
    """A process ended by itself."""


def results(
    calls: Iterable[Callable[[], T]], processes: int, stop: Connection | None = None
) -> Generator[T, None, None]:
    """What ``calls`` return, in the order in which they end. They and their results are pickled.

    At most ``processes`` run at once. Those that still run are killed when the iterator is closed,
    when there is something to be read from ``stop`` (StoppedError), when a call raises (what it
    raised, with the trace as a note) and when a process dies (ProcessDiedError).
    """
    waiting = deque(calls)
    running: dict[Connection, SpawnProcess] = {}
    try:
        while waiting and len(running) < processes:
            connection, process = _started()
            running[connection] = process
            _send(connection, waiting.popleft())
        while running:
            ready = wait([*running] if stop is None else [stop, *running])
            if stop in ready:
                raise StoppedError
            for connection in [each for each in running if each in ready]:
                process = running[connection]
                result: T = _received(connection, process)
                if waiting:
                    _send(connection, waiting.popleft())
                else:
                    del running[connection]
                    _end(connection, process)
                yield result
    finally:
        for connection, process in running.items():
            _end(connection, process)


def _started() -> tuple[Connection, SpawnProcess]:
    """A process that makes calls, and where it takes them from.

    It inherits that Ctrl-C and SIGTERM are blocked, and so is deaf to them from its first
    instruction: sent to all processes, they are for who reads the results.
    """
    resource_tracker.ensure_running()  # starting it would unblock them
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
    before = pthread_sigmask(SIG_BLOCK, [SIGINT, SIGTERM])
    try:
        process.start()
    finally:
        pthread_sigmask(SIG_SETMASK, before)
    theirs.close()  # that only its process has it, and its death ends what we read
    return ours, process


def _serve(work: Connection) -> None:
    while True:
        try:
            call = work.recv()
        except EOFError:
            return
        try:
            answer = True, call()
        except Exception as error:  # noqa: BLE001 - raised again where results are read
            answer = False, _sendable(error)
        work.send(answer)


def _sendable(error: Exception) -> Exception:
    """With its trace, which does not travel otherwise."""
    trace = format_exc()
    error.add_note(f"In a process of its own:\n{trace}")
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001 - a user's own class may raise anything here
        return RuntimeError(trace)
    return error


def _send(connection: Connection, call: Callable[[], Any]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # told by the result that is missing
        connection.send(call)


def _received(connection: Connection, process: SpawnProcess) -> Any:
    try:
        done, result = connection.recv()
    except (EOFError, ConnectionResetError):
        process.join()
        raise ProcessDiedError(
            f"process {process.pid} ended by itself with status {process.exitcode}; "
            "-9 is often a lack of memory: try fewer processes"
        ) from None
    if not done:
        raise result
    return result


def _end(connection: Connection, process: SpawnProcess) -> None:
    connection.close()
    process.kill()
    process.join()
