"""A bounded queue of requests with classes, tenants, deadlines, and endpoints that each can use.

Requests of a tenant that can use the same endpoints wait in one line, so one that waits for a busy
model does not delay one that waits for another. More important requests leave first, of equals
those of the tenant that was given least for its weight (``tenant_shares``), of a tenant those with
the earliest deadline, then in order of arrival; or newest first while the queue is over
``lifo_above`` of its capacity: under overload, the newest are those whose clients still wait
(adaptive LIFO; B. Maurer, "Fail at scale", ACM Queue 2015).

A class of which nobody went on for ``patience_s``, though one waited all that time, has one go
before all others. So what is more important starves nobody for longer, and what is less important
gets no more than one place in that time against it.

A request that cannot be served by its deadline at the recent pace is turned away at once. When the
queue is full, the newest of the least important requests gives way to a more important one, and the
newest of the line that is longest for its tenant's weight to one of a shorter line. With CoDel,
requests that waited too long are dropped when they would leave.

O(log n) per request, and O(lines) to find which one leaves next.
"""

from heapq import heappop, heappush
from math import inf
from typing import Final

from penstock.core import snapshot
from penstock.core.admission.codel import CoDel
from penstock.core.admission.ledger import Ledger
from penstock.core.admission.lines import Flow, Line, Rank, rank_order
from penstock.core.admission.peers import Peers
from penstock.core.admission.scheduler import QueueEntry, Scheduler
from penstock.core.admission.tenant_shares import TenantShares, account_of

_FEWEST_SWEPT: Final = 64
_MOST_FLOWS: Final = 256  # remembered while nobody waits in them
PROMOTED: Final = -1  # the class of one whose own was passed over for too long


class AdmissionQueue(Scheduler):
    """Holds requests until they may go on. Times are seconds on any monotonic clock."""

    def __init__(
        self,
        capacity: int,
        *,
        lifo_above: float = 1.0,
        codel: CoDel | None = None,
        patience_s: float = inf,
        shares: TenantShares | None = None,
    ) -> None:
        self._capacity: int = capacity
        # At 1 never, not even when some have come back to a full queue.
        self._lifo_above: float = lifo_above * capacity if lifo_above < 1.0 else inf
        self._codel: CoDel | None = codel
        self._patience_s: float = patience_s
        self.shares: TenantShares = shares if shares is not None else TenantShares()
        self.peers: Peers | None = None  # who let others wait, of the same ``capacity``
        self.shared: bool = False  # others wait elsewhere for the same places
        self._lines: dict[tuple[int, str, str], Line] = {}  # none is empty
        self._flows: dict[str, Flow] = {}  # by what is needed
        self._accounts: dict[int, dict[str, int]] = {}  # of each class: how many of each wait
        self._deadlines: list[tuple[float, int, QueueEntry]] = []  # a heap, may hold some that left
        self._pushed: int = 0
        self._number: int = 0
        self._turned_away: list[QueueEntry] = []
        self.length: int = 0

    def waiting(self) -> int:
        return self.length

    def freed(self, now: float) -> None:
        """Nothing changes here: who is next does not depend on places, and the gate asks anew."""

    def push(self, entry: QueueEntry, now: float, *, kept: bool = False) -> QueueEntry | None:
        gives_way: QueueEntry | None = None
        if entry.number == 0 and not kept:
            wait_s = self.expected_wait_s(entry.importance, entry.needs, entry.tenant, entry.weight)
            if now + wait_s > entry.deadline:
                return entry
            if self._in_all() >= self._capacity:
                gives_way = self._who_gives_way(entry)
                if gives_way is entry:
                    return entry
                self.remove(gives_way)
        if entry.queued_at == 0.0:
            entry.queued_at = now
        if entry.number == 0:
            self._number += 1
            entry.number = self._number
        if not entry.account:
            entry.account = account_of(entry.importance, entry.tenant)
        new = entry.number == self._number and not kept
        self._join(entry)
        if self.peers is not None and new and self._is_overfull(self.peers):
            self._leave(entry)
            return entry
        return gives_way

    def _in_all(self) -> int:
        """How many wait, here and at the peers."""
        return self.length + (self.peers.waiting() if self.peers is not None else 0)

    def _is_overfull(self, peers: Peers) -> bool:
        """Whether one that was let wait, and others elsewhere at the same moment, are too many
        together."""
        if self._in_all() + peers.count() <= self._capacity:
            return False
        peers.meet()
        return self._in_all() > self._capacity

    def _serves_newest(self) -> bool:
        return self._lifo_above < inf and self._in_all() > self._lifo_above

    def heads(self) -> list[QueueEntry]:
        newest = self._serves_newest()
        return [line.last() if newest else line.first() for line in self._lines.values()]

    def next_in_line(self, now: float) -> list[QueueEntry]:
        """Who may go on next, best first: one of each line, for what the first need may be full."""
        if len(self._lines) < 2:
            return self.heads()
        return [rank.entry for rank in self.ranked(now)]

    def ranked(self, now: float) -> list[Rank]:
        """Where those who may go on next stand, best first."""
        ranks = [self.rank(entry) for entry in self.heads()]
        ranks.sort(key=rank_order)
        if self._patience_s < inf and (
            self.shared or (ranks and ranks[0].importance < ranks[-1].importance)
        ):
            starved = self._starved(now)
            for rank in ranks:
                if rank.importance in starved:
                    starved.remove(rank.importance)
                    rank.entry.promoted = True
                    rank.importance = PROMOTED
            ranks.sort(key=rank_order)
        return ranks

    def rank(self, entry: QueueEntry) -> Rank:
        """Where one that waits stands."""
        entry.promoted = False
        newest = self._serves_newest()
        turn = self.shares.turn(entry.account, entry.cached, entry.weight)
        return Rank(entry.importance, turn, -float(entry.number) if newest else entry.due, entry)

    def _starved(self, now: float) -> set[int]:
        """The classes that were patient for long enough."""
        since: dict[int, float] = {}
        for line in self._lines.values():
            waits = line.first().queued_at
            since[line.importance] = min(waits, since.get(line.importance, waits))
        return {
            importance
            for importance, waits in since.items()
            if now - max(waits, self.shares.last_of_class(importance)) > self._patience_s
        }

    def take(self, entry: QueueEntry, now: float) -> bool:
        """Take one out to be served; False when its deadline has passed or CoDel drops it, and it
        is among those turned away."""
        flow = self._flows[entry.needs]
        self._leave(entry)
        codel = flow.codel
        late = entry.deadline < now
        if late or (
            codel is not None and codel.drops(now - entry.queued_at, now, flow.length == 0)
        ):
            self._turned_away.append(entry)
            return False
        shares = self.shares
        shares.goes_on(entry.importance, entry.account, now)
        shares.charge(entry.account, entry.cost, entry.weight)
        return True

    def charge(self, account: str, cost: float, weight: float) -> None:
        self.shares.charge(account, cost, weight)

    def counter(self, account: str) -> float:
        return self.shares.counter(account)

    def served(self, needs: str, now: float) -> None:
        """One that was taken out is being served: the pace follows."""
        flow = self._flows.get(needs)
        if flow is not None:
            flow.served(now)

    def remove(self, entry: QueueEntry) -> bool:
        """Take one out whose client left; False when it does not wait here any more."""
        if not entry.queued:
            return False
        self._leave(entry)
        return True

    def remove_all(self) -> list[QueueEntry]:
        """Empty the queue; the most important first, and equals in order."""
        found = [each for _, _, each in self._deadlines if each.queued]
        found.sort(key=lambda each: (each.importance, each.number))
        for entry in found:
            entry.queued = False
        self._lines = {}
        self._flows = {}
        self._accounts = {}
        self._deadlines = []
        self._count(0)
        return found

    def turned_away(self, now: float) -> list[QueueEntry]:
        """Those whose deadline has passed or whom CoDel dropped, since this was last asked."""
        while self._deadlines and (self._deadlines[0][0] < now or not self._deadlines[0][2].queued):
            entry = heappop(self._deadlines)[2]
            if entry.queued:
                self._leave(entry)
                self._turned_away.append(entry)
        turned_away = self._turned_away
        if turned_away:
            self._turned_away = []
        return turned_away

    def expected_wait_s(
        self, importance: int = 0, needs: str = "", tenant: str = "", weight: float = 1.0
    ) -> float:
        """How long one of this importance and tenant that needs this would wait at the pace of
        late."""
        flow = self._flows.get(needs)
        if flow is None or flow.pace_s == 0.0:
            return 0.0
        ahead = 0.0
        own = self._lines.get((importance, needs, tenant))
        turns = ((own.length if own is not None else 0) + 1) / weight
        for line in self._lines.values():
            if line.needs != needs or line.importance > importance:
                continue
            if line.importance < importance or line is own:
                ahead += line.length
            else:  # another tenant has as many turns until then, for its weight
                ahead += min(line.length, turns * line.weight)
        return ahead * flow.pace_s

    def waits_before(self, importance: int, needs: str) -> bool:
        """Whether one waits that needs the same and is as important."""
        for line in self._lines.values():
            if line.importance <= importance and line.needs == needs:
                return True
        return False

    def _join(self, entry: QueueEntry) -> None:
        entry.queued = True
        waiting = self._accounts.get(entry.importance)
        if waiting is None:
            waiting = self._accounts[entry.importance] = {}
        if entry.account not in waiting:
            self.shares.begins(entry.importance, entry.account, list(waiting))
        waiting[entry.account] = waiting.get(entry.account, 0) + 1
        key = (entry.importance, entry.needs, entry.tenant)
        line = self._lines.get(key)
        if line is None:
            line = Line(entry.importance, entry.needs, entry.tenant)
            self._lines[key] = line
        line.join(entry)
        flow = self._flows.get(entry.needs)
        if flow is None:
            flow = Flow(self._codel.another() if self._codel is not None else None)
            self._flows[entry.needs] = flow
        flow.join()
        self._pushed += 1
        heappush(self._deadlines, (entry.deadline, self._pushed, entry))
        self._count(self.length + 1)

    def _count(self, length: int) -> None:
        self.length = length
        if self.peers is not None:
            self.peers.wait(length)

    def _leave(self, entry: QueueEntry) -> None:
        entry.queued = False
        self._count(self.length - 1)
        waiting = self._accounts[entry.importance]
        left = waiting[entry.account] - 1
        if left > 0:
            waiting[entry.account] = left
        elif len(waiting) > 1:
            del waiting[entry.account]
        else:
            del self._accounts[entry.importance]
        key = (entry.importance, entry.needs, entry.tenant)
        line = self._lines[key]
        line.length -= 1
        if line.length == 0:
            del self._lines[key]
        self._flows[entry.needs].length -= 1
        if len(self._deadlines) > 2 * self.length + _FEWEST_SWEPT:
            self._sweep()

    def _sweep(self) -> None:
        """Forget those that left; they are at most half of what is kept, so this is O(1) each."""
        self._deadlines = [timed for timed in self._deadlines if timed[2].queued]
        self._deadlines.sort()
        for line in self._lines.values():
            line.forget_those_that_left()
        if len(self._flows) > _MOST_FLOWS:
            self._flows = {needs: flow for needs, flow in self._flows.items() if flow.length > 0}

    def _who_gives_way(self, newcomer: QueueEntry) -> QueueEntry:
        """Of the least important the newest in the line that is longest for its weight, unless the
        newcomer is less important still, or equally and of a line that is as long."""
        longest: Line | None = None
        for line in self._lines.values():
            if longest is None or (line.importance, line.length / line.weight) > (
                longest.importance,
                longest.length / longest.weight,
            ):
                longest = line
        if longest is None or longest.importance < newcomer.importance:
            return newcomer
        if longest.importance == newcomer.importance:
            own = self._lines.get((newcomer.importance, newcomer.needs, newcomer.tenant))
            length = (own.length if own is not None else 0) + 1
            if longest.length / longest.weight <= length / newcomer.weight:
                return newcomer
        return longest.last()


def queue_of(spec: snapshot.Queue, ledger: Ledger | None = None) -> AdmissionQueue:
    """The queue that a pool's settings ask for. ``ledger``: where tenants' counters are kept."""
    codel = None
    if spec.codel is not None:
        codel = CoDel(spec.codel.target_s, spec.codel.interval_s)
    return AdmissionQueue(
        spec.length,
        lifo_above=spec.newest_first_above,
        codel=codel,
        patience_s=spec.patience_s if spec.patience_s > 0.0 else inf,
        shares=TenantShares(ledger, spec.prefix_credit),
    )
