"""One task for each endpoint that is checked, asked or read."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from penstock.control.background import Sleep, keep
from penstock.control.endpoint_key import EndpointKey
from penstock.control.events import Events

_AFTER_A_BUG_S: Final = 5.0  # there may be thousands of them, with the same bug
TargetT = TypeVar("TargetT")
StateT = TypeVar("StateT")


@dataclass
class _Kept(Generic[TargetT, StateT]):
    target: TargetT
    state: StateT
    task: asyncio.Task[None]


class TargetTasks(Generic[TargetT, StateT]):
    """Follows the targets that are wanted: a task begins when a target comes, is replaced when it
    changes, and ends when it goes. What is known of it is its state.

    ``state_of`` makes the state of a target that is new or changed, from its state before (None: it
    is new); it may return that very state. ``work`` never ends; where it crashes, that is logged as
    a bug in ``what``, and it begins again after a pause, with the same state.
    """

    def __init__(
        self,
        what: str,
        state_of: Callable[[TargetT, StateT | None], StateT],
        work: Callable[[StateT], Coroutine[Any, Any, None]],
        events: Events,
        pause_s: float = _AFTER_A_BUG_S,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._what = what
        self._state_of = state_of
        self._work = work
        self._events = events
        self._pause_s = pause_s
        self._sleep = sleep
        self._kept: dict[EndpointKey, _Kept[TargetT, StateT]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # also those that were told to end

    def configure(self, wanted: Mapping[EndpointKey, TargetT]) -> None:
        """These are the targets from now on. The tasks of unchanged ones go on undisturbed."""
        before, self._kept = self._kept, {}
        for key, target in wanted.items():
            kept = before.pop(key, None)
            if kept is None or kept.target != target:
                if kept is not None:
                    kept.task.cancel()
                kept = self._begin(key, target, kept.state if kept is not None else None)
            self._kept[key] = kept
        for gone in before.values():
            gone.task.cancel()

    def get(self, key: EndpointKey) -> StateT | None:
        """What is known of that target; None where it is not wanted."""
        kept = self._kept.get(key)
        return kept.state if kept is not None else None

    def states(self) -> Iterator[tuple[EndpointKey, StateT]]:
        """What is known of each."""
        for key, kept in self._kept.items():
            yield key, kept.state

    async def stop(self) -> None:
        """Cancel all tasks and wait for their end."""
        self._kept = {}
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(
        self, key: EndpointKey, target: TargetT, before: StateT | None
    ) -> _Kept[TargetT, StateT]:
        state = self._state_of(target, before)
        what = f"{self._what} {key[0]}/{key[1]}"
        work = partial(self._work, state)
        task = asyncio.create_task(keep(what, work, self._events, self._pause_s, self._sleep))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return _Kept(target, state, task)
