"""What this balancer shares with others through the store."""

import asyncio
import os
import re
import secrets
import socket
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from penstock.admin.view import StoreView
from penstock.config.compile.configured import StoreSettings
from penstock.control.acme.certificates import FetchedCertificates
from penstock.control.background import BackgroundTasks
from penstock.control.discovery.membership import Membership
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.control.maintenance import MaintenanceSwitches
from penstock.control.replicas.endpoint_words import EndpointWords
from penstock.control.replicas.load_sharing import CHANNEL, LoadSharing, to
from penstock.control.replicas.maintenance_words import MaintenanceWords
from penstock.control.replicas.operator_words import OperatorWords
from penstock.control.replicas.place_sharing import PlaceSharing
from penstock.control.replicas.shared_limits import SharedLimits
from penstock.control.replicas.shared_scaling import SharedScaling
from penstock.control.replicas.words import Words
from penstock.control.store.store import Store
from penstock.control.tenants.shared_files import SharedTenantFiles
from penstock.core.limits.owner import Owner
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.memory import Board

if TYPE_CHECKING:
    from penstock.control.store.shared import SharedStore

_MOST_HOST_NAME: Final = 40


class Sharing:
    """``run`` keeps the store connected, and balancers informed. ``me`` is this one's name."""

    def __init__(
        self, store: "SharedStore", board: Board, states: EndpointStates, events: Events, me: str
    ) -> None:
        self._store = store
        self.me = me
        self.loads = LoadSharing(store, board, me, monotonic)
        self.operators = OperatorWords(store, states, events)
        self._background = BackgroundTasks(events)
        self.endpoints = EndpointWords(store, self._background, events)
        self._scaling: SharedScaling | None = None
        self._limits: SharedLimits | None = None
        self._challenges = Words(store, "challenges/", events)
        self._places = PlaceSharing(
            store,
            board,
            me,
            lambda: len(self.loads.others),
            store.settings.limits_when_gone,
            monotonic,
        )
        self.loads.on_changed = self._places.look
        self._aside: MaintenanceWords | None = None
        self._tenants: SharedTenantFiles | None = None

    def configure(self, snapshot: Snapshot) -> None:
        """Follow the running snapshot."""
        self.loads.configure(snapshot)
        self._places.configure(snapshot)
        self.operators.configure(snapshot)
        if self._aside is not None:
            self._aside.configure(snapshot)
        if self._tenants is not None:
            self._tenants.configure(snapshot)
        self.endpoints.configure(snapshot)
        if self._scaling is not None:
            self._scaling.configure(snapshot)

    def share_challenges(self, fetched: FetchedCertificates) -> None:
        """Whichever balancer an authority comes to answers for the one that orders."""

        def tell(token: str, text: str | None) -> None:
            self._challenges.say(token, text.encode() if text is not None else None)

        def hear(token: str, text: bytes | None) -> None:
            answer = text.decode("ascii", "replace") if text is not None else None
            self._background.begin("an authority's token", fetched.hear(token, answer))

        fetched.tell = tell
        self._challenges.on_word = hear

    def share_maintenance(self, switches: MaintenanceSwitches, events: Events) -> None:
        """Pools that are set aside at one balancer are so at all."""
        self._aside = MaintenanceWords(self._store, switches, self._background.begin, events)

    def share_tenants(self, sealed: Store, events: Events) -> None:
        """Where that is configured, files of tenants are the same at all balancers."""
        if self._store.settings.tenants:
            self._tenants = SharedTenantFiles(sealed, events)

    def said_of_pool(self, pool: str) -> None:
        """An operator set it aside here, or put it back."""
        if self._aside is not None:
            self._aside.said(pool)

    def scaling(
        self,
        store: Store,
        leads: Callable[[str], bool],
        states: EndpointStates,
        membership: Membership,
        events: Events,
    ) -> SharedScaling:
        """What scaling and forecasts need to know of the others; ``run`` keeps it up to date."""
        self._scaling = SharedScaling(
            store, leads, self.loads.others.demand, states, membership, events
        )
        return self._scaling

    def limits(self, owner: Owner) -> SharedLimits:
        """What workers borrow of is leased from the store; ``run`` keeps it so."""
        when_gone = self._store.settings.limits_when_gone
        self._limits = SharedLimits(
            self._store, self.me, owner, lambda: len(self.loads.others), when_gone
        )
        return self._limits

    async def run(self) -> None:
        """Until cancelled."""
        connected = asyncio.create_task(self._store.run())
        self._background.keep("what operators said", self.operators.words.run)
        if self._aside is not None:
            self._background.keep("pools set aside", self._aside.words.run)
        if self._tenants is not None:
            self._background.keep("files of tenants", self._tenants.run)
        self._background.keep("endpoints of the API", self.endpoints.words.run)
        self._background.keep("places over balancers", self._places.run)
        self._background.keep("tokens of authorities", self._challenges.run)
        if self._limits is not None:
            self._background.keep("limits over balancers", self._limits.run)
        if self._scaling is not None:
            self._background.keep("what the leader started", self._scaling.words.run)
        try:
            await self.loads.run()
        finally:
            await asyncio.sleep(0)  # what was said last is sent
            await self._background.stop()  # while the store can be told
            connected.cancel()
            await asyncio.gather(connected, return_exceptions=True)

    def view(self) -> StoreView:
        """How it does."""
        feed = self._store.feed
        loads = self.loads
        return StoreView(
            where=self._store.settings.shown,
            connected=feed.connected,
            problem=feed.problem,
            connects=feed.connects,
            failed=self._store.failed,
            dropped=feed.dropped,
            me=self.me,
            balancers=loads.others.views(),
            sent=loads.sent,
            sent_bytes=loads.sent_bytes,
            received=loads.received,
            received_bytes=loads.received_bytes,
            refused=loads.refused,
            lost=loads.others.lost,
            asked=loads.others.asked,
            delay_ms=round(loads.delay_ms(), 2),
            prefixes=loads.others.prefixes.count,
            late=self._limits.late if self._limits is not None else 0,
        )


def share(
    settings: StoreSettings, own: Store, board: Board, states: EndpointStates, events: Events
) -> tuple[Sharing, Store]:
    """What is shared, and the store for all parts; workers that start later take part."""
    from penstock.control.store.opening import open_shared  # its libraries are an extra

    me = _name()
    shared, store = open_shared(settings, own, events, (CHANNEL, to(me)))
    board.share()
    return Sharing(shared, board, states, events, me), store


def _name() -> str:
    """One that no other balancer has, nor this one after a restart."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:_MOST_HOST_NAME]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
