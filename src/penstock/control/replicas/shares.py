"""What one of several balancers gives out of a limit while the store says nothing: its share."""

from collections.abc import Callable, Container
from typing import Final

from penstock.core.limits.leased import Lease, LeasedTable
from penstock.core.limits.owner import WHOLE
from penstock.core.limits.rates import RateTable

_STAYED_S: Final = 3.0  # a store that is lost makes the others silent first


class BalancersSeen:
    """How many there are. ``others`` are those that are heard now."""

    def __init__(self, others: Callable[[], int]) -> None:
        self._others = others
        self._count = 1
        self._at = 0.0  # when so many were there last

    def count(self, connected: bool, now: float) -> int:
        """This one and the others, as they were seen last while the store was there."""
        heard = self._others() + 1
        if not connected:
            self._count, self._at = max(heard, self._count), now
        elif heard >= self._count or now - self._at > _STAYED_S:
            self._count, self._at = heard, now
        return self._count


class Shares:
    """Of a rate a share flows back; of a budget it is given once, of what was left; of places so
    many may be taken at a time."""

    def __init__(self) -> None:
        self._rates: dict[str, RateTable] = {}

    def give(
        self,
        table: LeasedTable,
        lease: Lease,
        need: float,
        least: float,
        balancers: int,
        now: float,
    ) -> None:
        """Have the lease hold more, if there is enough for ``least``."""
        whole = table.limit.counts in WHOLE
        if table.budget:
            if not lease.shared:
                lease.shared = True
                share = max(lease.left, 0.0) / balancers
                lease.left -= share
                lease.held += float(int(share)) if whole else share
            return
        if table.places:
            share = max(float(int(table.amount / balancers)), 1.0)
            amount = min(need, share - lease.spent - max(lease.held, 0.0))
            if amount >= least:
                lease.held += amount
            return
        rate = self._rate(table, balancers)
        there = rate.left(lease.subject, now)
        amount = min(need, float(int(there + 1e-6)) if whole else there)
        lease.may_at = now + rate.wait_s(lease.subject, least, now)
        if amount >= least:
            rate.spend(lease.subject, amount, now)
            lease.held += amount

    def given(self, table: LeasedTable, lease: Lease, now: float) -> float:
        """What of a rate was, and has not flowed back: the store is to be told."""
        rate = self._rates.get(table.limit.name)
        return rate.burst - rate.left(lease.subject, now) if rate is not None else 0.0

    def settled(self, table: LeasedTable, lease: Lease, given: float, now: float) -> None:
        """The store was told so much."""
        rate = self._rates.get(table.limit.name)
        if rate is not None:
            rate.give_back(lease.subject, given, now)

    def keep(self, limits: Container[str]) -> None:
        """Forget all others."""
        self._rates = {name: each for name, each in self._rates.items() if name in limits}

    def _rate(self, table: LeasedTable, balancers: int) -> RateTable:
        limit = table.limit
        found = self._rates.get(limit.name)
        amount = table.amount / balancers
        if found is None or found.amount != amount:
            burst = table.burst / balancers
            burst = max(burst, 1.0) if limit.counts in WHOLE else burst
            period_s = table.each_s * table.amount
            found = self._rates[limit.name] = RateTable(amount, period_s, burst)
        return found
