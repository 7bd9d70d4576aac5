"""Publishes what became of the members of pools: many changes together, and never all the time."""

import asyncio
from collections.abc import Awaitable, Callable
from time import process_time
from typing import Final

from penstock.control.background import Sleep
from penstock.control.discovery.membership import Membership
from penstock.control.events import Events
from penstock.control.world.publish import PublishError

# Changes that come close together go out as one; all are to be with the workers within a second.
_GATHERED_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 0.6
# Of the CPU time that the last publication took: with ten thousand endpoints it is tens of
# milliseconds, and the supervisor has other things to do.
_PAUSE_FACTOR: Final = 20.0
_AFTER_A_REFUSAL_S: Final = 5.0
_LOOK_S: Final = 1.0  # between two looks at endpoints that are kept for a while


class MembersPublisher:
    """Follows the membership, which tells it when members may be others."""

    def __init__(
        self,
        membership: Membership,
        refresh: Callable[[], Awaitable[None]],
        events: Events,
        sleep: Sleep = asyncio.sleep,
        look_s: float = _LOOK_S,
        cpu_clock: Callable[[], float] = process_time,
    ) -> None:
        """``refresh`` publishes once more what runs. It raises PublishError."""
        self._membership = membership
        self._refresh = refresh
        self._events = events
        self._sleep = sleep
        self._look_s = look_s
        self._cpu_clock = cpu_clock
        self._changed = asyncio.Event()
        self._refused = ""
        membership.on_change = self._changed.set

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._look_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._membership.expire()  # which may be a change
            if self._changed.is_set():
                await self._sleep(_GATHERED_S)
                await self._publish()

    async def _publish(self) -> None:
        self._changed.clear()
        began = self._cpu_clock()
        try:
            await self._refresh()
        except PublishError as error:
            if str(error) != self._refused:
                self._refused = str(error)
                text = f"endpoints that were found are not used: {error}"
                self._events.error("discovery.refused", text)
            self._changed.set()
            await self._sleep(_AFTER_A_REFUSAL_S)
            return
        self._refused = ""
        took_s = self._cpu_clock() - began
        await self._sleep(min(took_s * _PAUSE_FACTOR, _LONGEST_PAUSE_S))
