"""The store that a configuration names."""

from penstock.config.compile.configured import StoreSettings
from penstock.control.events import Events
from penstock.control.store.sealed import Seal, SealedStore
from penstock.control.store.shared import SharedStore
from penstock.control.store.store import Store


def open_shared(
    settings: StoreSettings, own: Store, events: Events, channels: tuple[str, ...]
) -> tuple[SharedStore, Store]:
    """The shared store, which ``run`` connects, and what all else is kept in: the same, with
    secrets sealed, or kept in ``own`` where there is no key for them."""
    shared = SharedStore(settings, events, channels)
    seal = Seal(settings.secrets) if settings.secrets else None
    if seal is None:
        events.info(
            "store",
            "no `secrets_key_file` in `store`: private keys and the like stay with this balancer",
        )
    return shared, SealedStore(shared, own, seal)
