"""Allowances that several balancers share: what this one holds of them, leased from a store.

It lends out of what it holds, and tells the store what it has spent. Whoever asks the store keeps
the times of leases; here is only how much.
"""

from heapq import nlargest
from typing import Final

from penstock.core.limits.allowances import MOST_SUBJECTS, NEVER, OVERFLOW, Allowances
from penstock.core.limits.windows import PERIODS_S, window_end, window_start
from penstock.core.snapshot import Limit

_KEPT_S: Final = 1.0
_PLACE_KEPT_S: Final = 0.25  # as places.py has it, and so is the patience
_PATIENCE_S: Final = 1.0
_SOON_S: Final = 0.05  # until the store is asked again, where it told nothing


class Lease:
    """What is held of one allowance, and what was known of it when the store answered last."""

    held: float = 0.0  # of a slice; below 0: more was given out
    slice: float = 0.0  # as it was leased
    spent: float = 0.0  # of a budget, in its window, by this balancer: what was given out
    told: float = 0.0  # of that, as the store has it
    found: bool = False  # the store said what this balancer had spent before
    left: float = 0.0  # with the store
    may_at: float = 0.0  # until then that which was refused is not there
    whole_at: float = 0.0  # of a rate
    # Of whoever asks the store, on its own clock.
    until: float = 0.0  # the slice's end
    used_at: float = 0.0
    asked_at: float = -1e9
    answered_at: float = -1e9
    ask_at: float = 0.0  # a refusal is believed until then
    refused: float = 0.0  # so much
    need: float = 0.0  # to be asked for
    least: float = 0.0
    ahead: bool = False  # with more than is needed
    back: float = 0.0  # of a rate, to be given back
    owed: float = 0.0  # of a rate, given out beyond what was held
    shared: bool = False  # its share was given out since the store answered
    known: str = ""  # by which the store's entry is told from another of that name
    whole_ms: float = 0.0  # of a rate, on the store's clock

    def __init__(self, subject: str, start: float, left: float) -> None:
        self.subject: str = subject
        self.start: float = start  # of a budget's window
        self.left = left
        self.others: dict[str, float] = {}  # what other balancers spent of a budget


class LeasedTable(Allowances):
    """Of a budget (times are seconds since 1970), a rate, or places (of any clock). Of places, what
    is ``spent`` of a lease is what was lent of it at present."""

    def __init__(self, limit: Limit, most: int = MOST_SUBJECTS) -> None:
        self.limit: Limit = limit
        self.amount: float = limit.amount
        self.budget: bool = limit.budget
        self.burst: float = limit.burst if limit.burst > 0.0 else limit.amount
        self.places: bool = limit.counts == "concurrent"
        self.each_s: float = 0.0
        if not self.budget and not self.places:
            self.each_s = PERIODS_S[limit.per] / limit.amount
        self.overflowed: int = 0
        self.leases: dict[str, Lease] = {}
        self._most: int = most
        self._start: float = 0.0

    def succeed(self, before: "LeasedTable") -> None:
        """Its amount is another than it was, and what was spent the same."""
        if self.limit.counts == before.limit.counts and self.limit.per == before.limit.per:
            self.leases = before.leases
            self._start = before._start

    def lease(self, subject: str, now: float) -> Lease:
        """That which counts for it."""
        self.turn(now)
        found = self.leases.get(subject)
        if found is None:
            if len(self.leases) >= self._most:
                subject = OVERFLOW
                found = self.leases.get(subject)
                self.overflowed += 1
            if found is None:
                found = self.leases[subject] = Lease(subject, self._start, self.most())
        return found

    def most(self) -> float:
        return self.amount if self.budget else self.burst

    def left(self, subject: str, now: float) -> float:
        return self.lease(subject, now).held

    def remaining(self, subject: str, now: float) -> float:
        lease = self.lease(subject, now)
        return lease.held + lease.left

    def spend(self, subject: str, cost: float, now: float) -> None:
        lease = self.lease(subject, now)
        lease.held -= cost
        lease.spent += cost

    def give_back(self, subject: str, cost: float, now: float) -> None:
        lease = self.lease(subject, now)
        if self.budget or self.places:  # or it was taken in a window that is over
            cost = min(cost, lease.spent)
        lease.held += cost
        lease.spent -= cost

    def wait_s(self, subject: str, cost: float, now: float) -> float:
        if cost > self.most():
            return NEVER
        lease = self.lease(subject, now)
        return 0.0 if lease.held >= cost else max(lease.may_at - now, _SOON_S)

    def whole_s(self, subject: str, now: float) -> float:
        lease = self.lease(subject, now)
        if self.budget:
            return window_end(self.limit.per, self._start) - now
        if self.places:
            return _PATIENCE_S if lease.spent > 0.0 else 0.0
        return max(lease.whole_at - now, 0.0)

    def keeps_s(self, amount: float) -> float:
        if self.places:
            return _PLACE_KEPT_S
        return _KEPT_S if self.budget else amount * self.each_s

    def most_taken(self, most: int) -> list[str]:
        taken = {subject: -(each.held + each.left) for subject, each in self.leases.items()}
        return nlargest(most, taken, key=taken.__getitem__)

    def turn(self, now: float) -> None:
        """Nothing of a window that is over is held or known."""
        if self.budget:
            start = window_start(self.limit.per, now)
            if start > self._start:  # a clock that is set back begins no window anew
                self._start = start
                self.leases = {}
