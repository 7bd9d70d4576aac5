"""What this balancer shares with others through the store."""

from typing import TYPE_CHECKING

from penstock.admin.view import StoreView
from penstock.config.compile.store import StoreSettings
from penstock.control.events import Events
from penstock.control.store.store import Store

if TYPE_CHECKING:
    from penstock.control.store.shared import SharedStore


class Sharing:
    """``run`` keeps the store connected."""

    def __init__(self, store: "SharedStore") -> None:
        self._store = store

    async def run(self) -> None:
        """Until cancelled."""
        await self._store.run()

    def view(self) -> StoreView:
        """How it does."""
        feed = self._store.feed
        return StoreView(
            where=self._store.settings.shown,
            connected=feed.connected,
            problem=feed.problem,
            connects=feed.connects,
            failed=self._store.failed,
            dropped=feed.dropped,
        )


def share(settings: StoreSettings, own: Store, events: Events) -> tuple[Sharing, Store]:
    """What is shared, and the store for all parts. The store's libraries are an extra."""
    from penstock.control.store.opening import open_shared

    shared, store = open_shared(settings, own, events, ())
    return Sharing(shared), store
