"""Background tasks, and how they continue after a bug."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeAlias

from penstock.control.events import Events

AFTER_A_BUG_S: Final = 1.0
Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Sleep: TypeAlias = Callable[[float], Awaitable[None]]


async def keep(
    what: str,
    work: Work,
    events: Events,
    pause_s: float = AFTER_A_BUG_S,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Run work that never ends. A crash is logged, and the work restarts after a pause."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - all else goes on
            events.bug(what, error)
        await sleep(pause_s)


class BackgroundTasks:
    """Tasks that end with their owner."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, what: str, work: Work, pause_s: float = AFTER_A_BUG_S) -> None:
        """Start work that never ends."""
        self.begin(what, keep(what, work, self._events, pause_s))

    def begin(self, what: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work that runs once; a bug in it is logged."""
        task = asyncio.create_task(work, name=what)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._events.bug(task.get_name(), error)
