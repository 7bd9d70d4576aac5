"""One of several balancers, by lease: who holds it acts, and another does seconds after it is gone.

Who cannot renew its lease stops acting when it ends: the store may be gone for all, or for this
balancer alone, and then another has it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from penstock.control.events import Events
from penstock.control.store.store import Store, StoreError

LEASE_S: Final = 3.0
_RENEW_S: Final = 1.0
_MARGIN_S: Final = 0.5  # by which clocks may differ over a lease


class Leadership:
    """``run`` it, to keep asking for all that ``join`` was called with.

    ``holder`` is the name under which leases are held. Whoever goes on in this one's place takes it
    over, and has them then.
    """

    def __init__(
        self, store: Store, holder: str, events: Events, clock: Callable[[], float]
    ) -> None:
        self.holder = holder
        self._store = store
        self._events = events
        self._clock = clock
        self._until: dict[str, float] = {}  # by lease; 0.0: another holds it
        self._led: set[str] = set()

    async def join(self, what: str) -> None:
        """Ask for that lease, from now on."""
        if what not in self._until:
            self._until[what] = 0.0
            await self._renew(what)

    def leads(self, what: str) -> bool:
        """Whether this balancer holds that lease now."""
        return self._clock() < self._until.get(what, 0.0)

    def hand_over(self) -> None:
        """Somebody goes on under the same name: nothing is given back."""
        self._led.clear()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                for what in list(self._until):
                    await self._renew(what)
                await asyncio.sleep(_RENEW_S)
        finally:
            for what in self._led:
                await self._give_back(what)
            self._until = dict.fromkeys(self._until, 0.0)

    async def _renew(self, what: str) -> None:
        asked_at = self._clock()
        try:
            held = await self._store.lease(f"leader/{what}", self.holder, LEASE_S)
        except StoreError:
            return  # it holds until it ends
        self._until[what] = asked_at + LEASE_S - _MARGIN_S if held else 0.0
        if held and what not in self._led:
            self._led.add(what)
            self._events.info("leader", f"this balancer leads {what}")
        elif not held and what in self._led:
            self._led.discard(what)
            self._events.info("leader", f"another balancer leads {what}")

    async def _give_back(self, what: str) -> None:
        try:
            await self._store.release(f"leader/{what}", self.holder)
        except StoreError:
            return  # it ends by itself
