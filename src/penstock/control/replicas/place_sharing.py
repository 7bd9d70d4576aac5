"""`max_in_flight` of endpoints over several balancers: each leases places of it from the store.

What this balancer may have stands on the board, beside the endpoint's load, where its workers read
it before they take a place. It leases a few more than are in use, ahead of need. Who found too few
tells the others with its load (``T_WANTS``): they give up what they do not use, and of what they
use what is beyond a fair share, as requests end. A bound that is lowered is told to the store at
the next look, when no worker can have taken a place by the old one unseen.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Literal

from xxhash import xxh3_64_hexdigest

from penstock.control.replicas.load_sharing import url_hash
from penstock.control.replicas.place_leases import lease_places
from penstock.control.replicas.shared_limits import LEASE_S, LimitStore
from penstock.control.replicas.shares import BalancersSeen
from penstock.control.store.store import StoreError
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.balancer_loads import WIDTH
from penstock.dataplane.board.layout import (
    L_IN_FLIGHT,
    O_PLACES,
    O_WANTED,
    O_WANTS,
    P_NO_ENDPOINT,
    P_WAITING,
    S_MAX_IN_FLIGHT,
)
from penstock.dataplane.board.memory import Board

_SWEEP_S: Final = 0.1
_RENEW_S: Final = 3.0
_MARGIN_S: Final = 0.5
_AGAIN_S: Final = 0.02  # between two questions for more
_REFUSED_S: Final = 0.1  # where the store had none
_PATIENCE_S: Final = 0.5  # a store that never answered yet
_IDLE_S: Final = 1.0  # more than is in use, before it goes back unasked
_SPARE: Final = 4  # ahead of need: one in so many of those in use, and one more
_AT_ONCE: Final = 8  # questions


class _Places:
    """Of one endpoint in one pool."""

    known: str = ""  # the store's id of the entry
    told: int = 0  # held, as the store has it
    bound: int = 0  # as the workers have it
    until: float = -1.0  # the lease ends; below 0: there was none yet
    asked_at: float = -1e9
    ask_at: float = 0.0
    asking: bool = False
    idle_since: float = 0.0
    refused: int = 0  # requests of the pool that found no endpoint, when looked at last

    def __init__(self, name: str, pool_row: int, row: int, began: float) -> None:
        self.name = name
        self.pool_row = pool_row
        self.row = row
        self.most = 0
        self.began = began


class PlaceSharing:
    """``look`` when loads change, and ``run``. ``others``: balancers that are heard now."""

    def __init__(
        self,
        store: LimitStore,
        board: Board,
        me: str,
        others: Callable[[], int],
        when_gone: Literal["share", "refuse"],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._board = board
        self._cells = board.cells
        self._me = me
        self._seen = BalancersSeen(others)
        self._when_gone = when_gone
        self._clock = clock
        self._places: dict[int, _Places] = {}
        self._by_url: dict[int, list[_Places]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._seq = 0
        self._runs = False

    def configure(self, snapshot: Snapshot) -> None:
        """Follow the running snapshot."""
        before, self._places, self._by_url = self._places, {}, {}
        for pool in snapshot.pools:
            for endpoint in pool.endpoints:
                row = endpoint.row
                if endpoint.max_in_flight == 0:
                    continue
                url = url_hash(pool, endpoint)
                name = (
                    f"places.{xxh3_64_hexdigest(pool.name.encode())}.{url & ((1 << 64) - 1):016x}"
                )
                places = before.get(row)
                if places is None or places.name != name:
                    places = self._made(name, pool.row, row)
                places.most = endpoint.max_in_flight
                self._places[row] = places
                self._by_url.setdefault(url, []).append(places)
        for row in before:
            if row not in self._places:
                self._cells[self._board.others(row) + O_PLACES] = 0
                self._cells[self._board.others(row) + O_WANTS] = 0
        if self._runs:
            self.sweep()

    def _made(self, name: str, pool_row: int, row: int) -> _Places:
        places = _Places(name, pool_row, row, self._clock())
        # What a predecessor on the same board leased its workers and ours have together.
        places.bound = max(self._cells[self._board.others(row) + O_PLACES] - 1, 0)
        self._show(places, places.bound)
        return places

    def look(self, changed: list[int]) -> None:
        """The loads of these endpoints changed: WIDTH numbers of each, of which the first is the
        hash of its URL."""
        if self._by_url:
            for at in range(0, len(changed), WIDTH):
                self._look(self._by_url.get(changed[at], ()))

    async def run(self) -> None:
        """Until cancelled; then what is held goes back."""
        try:
            self._runs = True
            while True:
                self.sweep()
                await asyncio.sleep(_SWEEP_S)
        finally:
            self._runs = False
            for places in self._places.values():
                places.bound = 0
                self._ask(places, 0)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_MARGIN_S)

    def sweep(self) -> None:
        """Renew, give back, and ask for what is needed."""
        self._look(self._places.values())

    def _look(self, all_places: Iterable[_Places]) -> None:
        now = self._clock()
        connected = self._store.is_connected()
        balancers = self._seen.count(connected, now)
        for places in all_places:
            in_use = self._board.load_sum(places.row, L_IN_FLIGHT)
            most = self._most(places)
            places.bound = min(places.bound, most)
            if not places.asking:
                if not connected:
                    self._go_on_alone(places, most // balancers, now)
                else:
                    self._lower(places, in_use, most // balancers, now)
                    self._raise(places, in_use, most, most // balancers, now)
            self._show(places, places.bound)

    def _most(self, places: _Places) -> int:
        asked: int = self._cells[self._board.state(places.row) + S_MAX_IN_FLIGHT]
        return asked - 1 if asked > 1 else places.most

    def _go_on_alone(self, places: _Places, share: int, now: float) -> None:
        """The store is gone: what is held counts until the lease ends, and then a share."""
        share = max(share, 1) if self._when_gone == "share" else 0
        if places.until < 0.0 and now - places.began < _PATIENCE_S:
            return
        places.bound = max(places.bound, share) if now < places.until else share

    def _lower(self, places: _Places, in_use: int, fair: int, now: float) -> None:
        """Give up what is not used, and what others want."""
        spare = places.bound - in_use
        wanted = self._cells[self._board.others(places.row) + O_WANTED]
        if wanted > 0:
            keeps = 1 if in_use < fair else 0
            places.bound = min(places.bound, in_use + keeps)
            if places.bound > fair:
                places.bound = max(fair, places.bound - wanted)
        elif spare <= 2 * _ahead(in_use):
            places.idle_since = now
        elif now - places.idle_since > _IDLE_S:
            places.bound = in_use + _ahead(in_use)

    def _raise(self, places: _Places, in_use: int, most: int, fair: int, now: float) -> None:
        """Ask for more, tell what was given up, or renew."""
        wish = min(in_use + _ahead(in_use), most)
        if self._cells[self._board.others(places.row) + O_WANTED] > 0:
            wish = min(wish, fair)  # what was given up is for others
        need = wish - places.bound if 2 * (places.bound - in_use) < wish - in_use else 0
        if need > 0 and now >= places.ask_at:
            self._ask(places, need)
        elif now - places.asked_at > _RENEW_S or (
            max(places.bound, in_use) < places.told and now - places.asked_at > _AGAIN_S
        ):
            self._ask(places, 0)

    def _is_wanted_here(self, places: _Places) -> bool:
        """Whether requests are there for more places: else nobody is to give any up."""
        board = self._board
        refused = board.pool_sum(places.pool_row, P_NO_ENDPOINT)
        grew = refused > places.refused
        places.refused = refused
        return (
            grew
            or board.load_sum(places.row, L_IN_FLIGHT) >= max(places.bound, 1)
            or board.pool_sum(places.pool_row, P_WAITING) > 0
        )

    def _ask(self, places: _Places, need: int) -> None:
        places.asking = True
        task = asyncio.ensure_future(self._settle(places, need))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, places: _Places, need: int) -> None:
        try:
            async with self._slots:
                await self._lease(places, need)
        except (StoreError, ValueError, IndexError):
            places.ask_at = self._clock() + _REFUSED_S  # it is told by who keeps it connected
        finally:
            places.asking = False

    async def _lease(self, places: _Places, need: int) -> None:
        now = places.asked_at = self._clock()
        in_use = self._board.load_sum(places.row, L_IN_FLIGHT)
        holds = max(places.bound, in_use)
        self._seq += 1
        answer = await lease_places(
            lambda script, *more: self._store.of_limit(script, places.name, *more),
            self._me,
            places.known,
            float(self._most(places)),
            holds=float(holds),
            need=float(need),
            least=0.0,
            ahead=False,
            balancers=1,
            lease_s=LEASE_S,
            seq=self._seq,
        )
        places.known = answer[0]
        amount = int(float(answer[1]))
        places.told = holds + amount
        places.until = now + LEASE_S - _MARGIN_S
        wants = need - amount if need > amount and self._is_wanted_here(places) else 0
        self._cells[self._board.others(places.row) + O_WANTS] = wants
        places.ask_at = self._clock() + (_REFUSED_S if amount == 0 else 0.0)
        if amount > 0:
            places.bound = holds + amount
            places.idle_since = now
            self._show(places, places.bound)
            for worker in range(self._board.first_index, self._board.end_index):
                self._board.wakers.wake(worker)

    def _show(self, places: _Places, bound: int) -> None:
        self._cells[self._board.others(places.row) + O_PLACES] = bound + 1


def _ahead(in_use: int) -> int:
    return 1 + in_use // _SPARE
