"""Limits and budgets over several balancers: the supervisor leases slices of them from the store.

Its workers borrow of what it holds (``core/limits/owner.py``). No request waits longer than
``PATIENCE_S`` for the store; where it says nothing by then, or is gone, this balancer gives out
what it holds, and then its share, or nothing.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from time import monotonic, time
from typing import Final, Literal, Protocol

import msgspec

from penstock.control.replicas.lease_times import IDLE_S, is_due, lay_down
from penstock.control.replicas.place_leases import lease_places
from penstock.control.replicas.shares import BalancersSeen, Shares
from penstock.control.store.limit_scripts import BUDGET, RATE, SINCE
from penstock.control.store.store import StoreError
from penstock.core.limits.allowances import NEVER
from penstock.core.limits.leased import Lease, LeasedTable
from penstock.core.limits.owner import WHOLE, Owner

PATIENCE_S: Final = 0.005
LEASE_S: Final = 10.0  # by then a dead balancer's slice of a budget is free
_MARGIN_S: Final = 0.5  # by which it ends earlier here
_TICK_S: Final = 0.25
_FORGOTTEN_S: Final = 5.0  # a rate that nobody used
_AGAIN_S: Final = 0.05  # between two questions ahead of need
_REFUSED_S: Final = 0.2  # so long a refusal is believed, at most
_OTHERS_S: Final = 1.0  # by then slices that others do not use are back
_RENEWED_BELOW: Final = 0.25  # of a slice
_LEAST_SLICES: Final = 64  # of a budget, where no more is needed
_AHEAD: Final = 4.0  # times what is needed
_RATE_AHEAD_S: Final = 1.0  # of a rate
_KEPT_MS: Final = 86_400_000  # after a budget's window
_AT_ONCE: Final = 8  # questions
_STALE_AT_ONCE: Final = 256  # that are told again in a tick
_MOST_BALANCERS: Final = 256  # in an answer
_LONGEST_NAME: Final = 128
_Asked = tuple[str, str, float, float, float, float, bool]


class LimitStore(Protocol):
    """What is needed of the shared store."""

    def is_connected(self) -> bool:
        """Whether it answers, as far as is known."""

    async def of_limit(self, script: str, name: str, *arguments: object) -> list[str]:
        """Run it on the key of that limit. Raises StoreError."""


class SharedLimits:
    """``before_lend`` what workers ask for, and ``run``. ``others`` are the balancers heard now."""

    def __init__(
        self,
        store: LimitStore,
        me: str,
        owner: Owner,
        others: Callable[[], int],
        when_gone: Literal["share", "refuse"] = "share",
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._store = store
        self._me = me
        self._owner = owner
        self._when_gone = when_gone
        self._clock = clock
        self._wall_clock = wall_clock
        self._patience_s = patience_s
        self._asking: dict[Lease, asyncio.Task[None]] = {}
        self._used: dict[Lease, LeasedTable] = {}  # of which something may be to be told
        self._stale: list[tuple[LeasedTable, Lease]] = []  # the store may have forgotten them
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._shares = Shares()
        self._seq = 0  # of what is told of budgets
        self._since = ""  # the store knows what it knows
        self._seen = BalancersSeen(others)
        self.late = 0  # times that the store said nothing in time

    # --- what workers ask for ---------------------------------------------------------------

    def before_lend(self, asked: Sequence[Sequence[object]]) -> Awaitable[None] | None:
        """See to it that there is what they ask for; None: there is nothing to wait for."""
        tables = self._owner.leased()
        if not tables:
            return None
        now = self._clock()
        lacking: list[tuple[LeasedTable, Lease, float, float]] = []
        for limit, subject, need, least, back, owed, ahead in msgspec.convert(asked, list[_Asked]):
            table = tables.get(limit)
            if table is None:
                continue
            lease = table.lease(subject, self._at(table))
            if ahead or least > 0.0:  # and does not only give back
                lease.used_at = now
            self._used[lease] = table
            there = lease.held + back - owed
            if there < least:
                if now < lease.ask_at and least >= lease.refused > 0.0:
                    continue
                lacking.append((table, lease, need - there, least - there))
            elif ahead and there - need < lease.slice * _RENEWED_BELOW and now >= lease.ask_at:
                lease.ask_at = now + _AGAIN_S
                lease.ahead = True
                if self._store.is_connected():
                    self._ask(table, lease)
        return self._answered(lacking, now) if lacking else None

    async def _answered(
        self, lacking: list[tuple[LeasedTable, Lease, float, float]], began: float
    ) -> None:
        asking: list[asyncio.Task[None]] = []
        if self._store.is_connected():
            for table, lease, need, least in lacking:
                lease.need += need
                lease.least = min(lease.least, least) if lease.least > 0.0 else least
                lease.ahead = True
                asking.append(self._ask(table, lease))
            await asyncio.wait(asking, timeout=self._patience_s)
        for at, (table, lease, need, least) in enumerate(lacking):
            if asking and asking[at].done() and lease.answered_at >= began:
                continue
            self.late += 1
            lease.may_at = self._at(table) + _OTHERS_S
            if self._when_gone == "share":
                now = self._clock()
                self._shares.give(table, lease, need, least, self.balancers(), now)

    # --- the store --------------------------------------------------------------------------

    def _ask(self, table: LeasedTable, lease: Lease) -> asyncio.Task[None]:
        asking = self._asking.get(lease)
        if asking is None:
            asking = self._asking[lease] = asyncio.create_task(self._settle(table, lease))
            asking.add_done_callback(lambda _: self._asking.pop(lease, None))
        return asking

    async def _settle(self, table: LeasedTable, lease: Lease) -> None:
        """Tell what was spent, and lease what is needed, until nothing more is."""
        async with self._slots:
            while True:
                try:
                    if table.budget:
                        await self._settle_budget(table, lease)
                    elif table.places:
                        await self._settle_places(table, lease)
                    else:
                        await self._settle_rate(table, lease)
                except StoreError:
                    lease.need = lease.least = 0.0
                    return
                if lease.need <= 0.0:
                    return

    async def _settle_budget(self, table: LeasedTable, lease: Lease) -> None:
        asked_at = self._clock()
        held = lease.held = max(lease.held, 0.0)  # what is beyond it is among what was spent
        need, least, ahead = _wanted(lease)
        told, found = lease.spent, lease.found
        left_s = table.whole_s(lease.subject, self._wall_clock())
        expiry_ms = 0 if left_s == NEVER else round(left_s * 1000.0) + _KEPT_MS
        pairs: list[object] = []
        for name, spent in lease.others.items():
            pairs += [name, repr(spent)]
        most = max(_AHEAD * need, table.amount / _LEAST_SLICES)
        lease.asked_at = asked_at
        self._seq += 1
        answer = await self._store.of_limit(
            BUDGET,
            _name(table, lease),
            *(self._me, lease.known, secrets.token_hex(4), repr(table.amount)),
            *(repr(told) if found else "", repr(held), repr(need), repr(least), int(ahead)),
            *(self.balancers(), repr(most), int(table.limit.counts in WHOLE)),
            *(round(LEASE_S * 1000), expiry_ms, self._seq, *pairs),
        )
        amount, left, out, own = _numbers(answer[1:5], 4)
        names, spent_by = answer[5::2], _numbers(answer[6::2], len(answer[5::2]))
        if len(names) > _MOST_BALANCERS or any(len(name) > _LONGEST_NAME for name in names):
            raise StoreError("a budget has been spent by more balancers than there can be")
        lease.others = dict(zip(names, spent_by, strict=True))
        if not found:
            lease.spent += own
            told = own
            lease.found = True
        lease.told = told
        self._take(lease, answer[0], amount, asked_at + LEASE_S - _MARGIN_S)
        wait_s = left_s if out <= 0.0 else min(left_s, _OTHERS_S)
        self._note(lease, amount, left, least, wait_s, self._wall_clock())

    async def _settle_places(self, table: LeasedTable, lease: Lease) -> None:
        now = lease.asked_at = self._clock()
        need, least, ahead = _wanted(lease)
        holds = lease.held + lease.spent
        self._seq += 1
        answer = await lease_places(
            lambda script, *more: self._store.of_limit(script, _name(table, lease), *more),
            self._me,
            lease.known,
            table.amount,
            holds=holds,
            need=need,
            least=least,
            ahead=ahead,
            balancers=self.balancers(),
            lease_s=LEASE_S,
            seq=self._seq,
        )
        amount, left = _numbers(answer[1:3], 2)
        lease.told = holds + amount
        self._take(lease, answer[0], amount, now + LEASE_S - _MARGIN_S)
        self._note(lease, amount, left, least, _OTHERS_S, now)

    async def _settle_rate(self, table: LeasedTable, lease: Lease) -> None:
        now = lease.asked_at = self._clock()
        given = self._shares.given(table, lease, now)
        if lease.held < 0.0:
            lease.owed -= lease.held
            lease.held = 0.0
        need, least, ahead = _wanted(lease)
        back, owed = lease.back, lease.owed
        most = max(_AHEAD * need, _RATE_AHEAD_S / table.each_s)
        answer = await self._store.of_limit(
            RATE,
            _name(table, lease),
            *(lease.known, secrets.token_hex(4), repr(lease.whole_ms), repr(table.each_s * 1000)),
            *(repr(table.burst), repr(back), repr(min(owed + given, table.burst))),
            *(repr(need), repr(least), int(ahead), self.balancers()),
            *(repr(most), int(table.limit.counts in WHOLE)),
        )
        lease.back -= back
        lease.owed -= owed
        self._shares.settled(table, lease, given, now)
        amount, left, wait_ms, lease.whole_ms, whole_ms = _numbers(answer[1:6], 5)
        keeps_s = min(max(amount * table.each_s, 2 * _TICK_S), LEASE_S)
        self._take(lease, answer[0], amount, now + keeps_s)
        lease.whole_at = now + whole_ms / 1000.0
        self._note(lease, amount, left, least, wait_ms / 1000.0, now)

    def _take(self, lease: Lease, known: str, amount: float, until: float) -> None:
        lease.known = known
        lease.held += amount
        if amount > 0.0:
            lease.slice = amount
        lease.until = max(lease.until, until)
        lease.shared = False
        lease.answered_at = self._clock()

    def _note(
        self, lease: Lease, amount: float, left: float, least: float, wait_s: float, at: float
    ) -> None:
        """How much is left, and of a refusal how long it holds. ``at``: on the table's clock."""
        lease.left = max(left, 0.0)
        lease.refused = 0.0
        now = self._clock()
        if least > 0.0 and amount < least:
            lease.refused = least
            lease.may_at = at + wait_s
            lease.ask_at = now + min(wait_s, _REFUSED_S)

    # --- now and then -----------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled; then what is held goes back."""
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                await self._look_for_a_flush()
                self.sweep()
        finally:
            await self._all_back()

    async def _look_for_a_flush(self) -> None:
        if not self._store.is_connected():
            return
        try:
            (since,) = await self._store.of_limit(SINCE, "since", secrets.token_hex(4))
        except (StoreError, ValueError):
            return
        if since != self._since:
            self._mark_stale()
        self._since = since

    def _mark_stale(self) -> None:
        self._stale = [
            (table, lease)
            for table in self._owner.leased().values()
            for lease in table.leases.values()
        ]

    def sweep(self) -> None:
        """Tell what was spent, renew what is used, give back what is not."""
        now = self._clock()
        self.balancers()
        connected = self._store.is_connected()
        for lease, table in list(self._used.items()):
            lay_down(table, lease, now)
            if lease in self._asking:
                continue
            if is_due(table, lease, now):
                if connected:
                    self._ask(table, lease)
            elif now - lease.used_at > _FORGOTTEN_S and lease.held <= 0.0:
                self._forget(table, lease, now)
        if connected:
            for _ in range(min(len(self._stale), _STALE_AT_ONCE)):
                self._ask(*self._stale.pop())
        self._shares.keep(self._owner.leased())

    def _forget(self, table: LeasedTable, lease: Lease, now: float) -> None:
        """Nothing is to be told of it. What was spent of a budget may have to be told again."""
        if table.budget:
            del self._used[lease]
        elif table.places and (lease.spent > 0.0 or lease.told > 0.0):
            return
        elif lease.whole_at <= now:
            del self._used[lease]
            if table.leases.get(lease.subject) is lease:
                del table.leases[lease.subject]

    async def _all_back(self) -> None:
        tasks = []
        if self._store.is_connected():
            for lease, table in self._used.items():
                if lease.held <= 0.0 and not is_due(table, lease, NEVER):
                    continue
                if not table.budget and not table.places:
                    lease.back += lease.held
                lease.held = 0.0
                tasks.append(self._ask(table, lease))
        tasks += list(self._asking.values())
        if tasks:
            await asyncio.wait(tasks, timeout=IDLE_S)

    def balancers(self) -> int:
        """This one and the others, as they were seen last while the store was there."""
        return self._seen.count(self._store.is_connected(), self._clock())

    def _at(self, table: LeasedTable) -> float:
        return self._wall_clock() if table.budget else self._clock()


def _wanted(lease: Lease) -> tuple[float, float, bool]:
    wanted = (lease.need, lease.least, lease.ahead)
    lease.need = lease.least = 0.0
    lease.ahead = False
    return wanted


def _name(table: LeasedTable, lease: Lease) -> str:
    """Subjects are addresses, users and the like: nobody is to read them there."""
    limit = table.limit
    text = "\0".join((limit.name, limit.counts, limit.per, lease.subject))
    digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return f"{digest}.{lease.start:.0f}" if table.budget else digest


def _numbers(told: Sequence[str], count: int) -> list[float]:
    """Raises StoreError for what is none."""
    try:
        found = [float(each) for each in told]
    except ValueError:
        found = []
    if len(found) != count or not all(-1e18 < each < 1e18 for each in found):
        raise StoreError("what the store tells of a limit is none of ours")
    return found
