"""Pools that an operator set aside: their clients get a page until they are put back."""

from collections.abc import Awaitable, Callable, Iterable
from time import time
from typing import Final

import msgspec

from penstock.admin.view import UnknownNameError
from penstock.control.events import Events
from penstock.core.snapshot import Maintenance, Pool, Snapshot

MAX_TEXT: Final = 4096  # characters; longer ones belong into `error_pages`


class KnownMaintenance(msgspec.Struct):
    """A pool that is set aside, and since when (Unix time)."""

    pool: str
    page: Maintenance
    since: float


class MaintenanceSwitches:
    """One for each pool. They hold over reloads and restarts of workers, by standing in every
    snapshot that is published."""

    def __init__(
        self,
        events: Events,
        refresh: Callable[[], Awaitable[None]],
        wall_clock: Callable[[], float] = time,
    ) -> None:
        """``refresh`` publishes once more what runs, and raises where that failed."""
        self._events = events
        self._refresh = refresh
        self._wall_clock = wall_clock
        self._on: dict[str, Maintenance] = {}
        self._since: dict[str, float] = {}
        self._pools: dict[str, Pool] = {}

    def mark(self, spec: Snapshot) -> Snapshot:
        """``spec`` with what is switched on."""
        return msgspec.structs.replace(
            spec,
            pools=tuple(
                msgspec.structs.replace(pool, maintenance=self._on.get(pool.name))
                for pool in spec.pools
            ),
        )

    def configure(self, snapshot: Snapshot) -> None:
        """This runs; switches of pools that are gone are forgotten."""
        self._pools = {pool.name: pool for pool in snapshot.pools}
        for name in [name for name in self._on if name not in self._pools]:
            del self._on[name], self._since[name]

    def known(self) -> list["KnownMaintenance"]:
        """For a successor's ``restore``."""
        return [
            KnownMaintenance(name, page, self._since.get(name, self._wall_clock()))
            for name, page in self._on.items()
        ]

    def restore(self, found: Iterable["KnownMaintenance"]) -> None:
        """Go on from a predecessor; before the first snapshot."""
        for each in found:
            self._on[each.pool] = each.page
            self._since[each.pool] = each.since

    def since(self, pool: str) -> float:
        """When it was switched on (Unix time); 0.0: it is off."""
        return self._since.get(pool, 0.0)

    def page(self, pool: str) -> Maintenance | None:
        """What its clients are told; None: it serves them."""
        return self._on.get(pool)

    async def switch_on(self, pool: str, text: str, retry_after_s: int, reason: str) -> None:
        """Answer a pool's clients with 503 from now on; running requests finish.

        Raises UnknownNameError, ValueError for a pool that cannot answer or a text that is too
        long, and PublishError where workers did not take it.
        """
        if self._of(pool).protocol != "http":
            raise ValueError(
                f"pool {pool!r} is relayed unread, so there is nothing to answer with: drain its "
                "endpoints instead"
            )
        if len(text) > MAX_TEXT:
            raise ValueError(
                f"the text has over {MAX_TEXT} characters: configure a page for 503 with "
                "`error_pages`"
            )
        before = self._on.get(pool)
        self._on[pool] = Maintenance(text, retry_after_s)
        await self._publish(pool, before)
        self._since.setdefault(pool, self._wall_clock())
        told = f"pool {pool} is in maintenance: {reason}"
        self._events.warning("pool.maintenance", told, pool=pool)

    async def switch_off(self, pool: str, reason: str) -> None:
        """Serve its clients again. Raises UnknownNameError and PublishError."""
        self._of(pool)
        before = self._on.pop(pool, None)
        if before is None:
            return
        await self._publish(pool, before)
        self._since.pop(pool, None)
        told = f"pool {pool} is no longer in maintenance: {reason}"
        self._events.info("pool.maintenance_over", told, pool=pool)

    def _of(self, pool: str) -> Pool:
        found = self._pools.get(pool)
        if found is None:
            known = ", ".join(sorted(self._pools)[:10])
            raise UnknownNameError(f"no pool is called {pool!r}; there are: {known}")
        return found

    async def _publish(self, pool: str, before: Maintenance | None) -> None:
        """Let workers know, or leave it as it was."""
        try:
            await self._refresh()
        except BaseException:
            self._on.pop(pool, None)
            if before is not None:
                self._on[pool] = before
            raise
