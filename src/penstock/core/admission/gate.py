"""Admission in front of a pool: which requests go on at once, wait, or are turned away.

The state machines in this folder are asked in turn, the cheapest refusal first, and are told how
requests ended. The owner of a gate (a worker's pool, or a simulated balancer) says whether the
endpoints that a request can use have room, and is told which requests go on and which do not.
"""

from mypy_extensions import mypyc_attr

from penstock.core import snapshot
from penstock.core.admission import limit_of
from penstock.core.admission.giving_way import places_for, who_gives_way
from penstock.core.admission.limit import ConcurrencyLimit
from penstock.core.admission.preemption import Holders
from penstock.core.admission.queue import queue_of
from penstock.core.admission.refusals import DROPPED, FULL, LATE, Ending, Refusals, refusals_of
from penstock.core.admission.scheduler import QueueEntry, Scheduler
from penstock.core.admission.shedding import SheddingChange
from penstock.core.admission.tenant_shares import account_of
from penstock.core.admission.waiter import AbstractGate, Waiter
from penstock.core.env import Env
from penstock.core.pool.pool import NO_ROOM, NOBODY, ROOM


@mypyc_attr(allow_interpreted_subclasses=True)
class Gate(AbstractGate):
    """One pool's, in one balancer. Times are on the Env's clock."""

    def __init__(
        self, spec: snapshot.Admission, env: Env, scheduler: Scheduler | None = None
    ) -> None:
        """``scheduler``: who decides who goes on next, in place of a queue of its own.

        Raises ValueError when the limit named is not known or has no such option.
        """
        self.spec: snapshot.Admission = spec
        self.env: Env = env
        self.limit: ConcurrencyLimit | None = limit_of(spec)
        self._queue: Scheduler | None = None
        self._timeout_s: float = 0.0
        if spec.queue is not None:
            self._queue = scheduler if scheduler is not None else queue_of(spec.queue)
            self._timeout_s = spec.queue.timeout_s
        self._refusals: Refusals | None = refusals_of(spec)
        self._credits: bool = spec.queue is not None and spec.queue.prefix_credit > 0
        self._waits_for_nobody: bool = spec.queue is not None and spec.queue.while_down == "wait"
        # Others wait for the same places elsewhere: who comes, or leaves, asks who goes first.
        self.others_wait: bool = False
        # Who may lose its place to one that is more important, where the pool wants that.
        self.holders: Holders | None = None
        if spec.queue is not None and spec.queue.preemptions > 0:
            self.holders = Holders(spec.queue.preemptions)
        self._going_on: bool = False
        self._again: bool = False

    # --- a request comes --------------------------------------------------------------------

    def admits(self, waiter: Waiter) -> bool:
        """Whether it goes on at once; else it waits here, or was turned away."""
        if self._refusals is not None:
            refusal = self._refusals.of(waiter.importance, self.env)
            if refusal is not None:
                self._turn_away(waiter, refusal.reason, refusal.why)
                return False
        if self._may_go_on(waiter):
            return True
        self._wait(waiter)
        if self.holders is not None and waiter.entry is not None:
            self.preempt_for(waiter, self.holders)
        return False

    def takes_back(self, waiter: Waiter) -> bool:
        """Have a request wait again that was let in and finds no endpoint with room, as others were
        faster. False where it cannot wait; True as well where the queue turned it away."""
        queue = self._queue
        if queue is None or (self.room(waiter) == NOBODY and not self._waits_for_nobody):
            return False
        before = waiter.gate
        if before is not None:
            before.gives_back(waiter)
        if before is not self:
            waiter.number = 0  # the settings changed meanwhile
        self._wait(waiter)
        return True

    def gives_back(self, waiter: Waiter) -> None:
        if self.limit is not None:
            self.limit.forget()
        if self.holders is not None:
            self.holders.leave(waiter)
        self.settle(waiter, 0.0)

    def preempt_for(self, waiter: Waiter, holders: Holders) -> None:
        """Have one that is less important, and has no token yet, wait in the place of one that
        came."""
        places = places_for(self, waiter, self.limit)
        if places is not None and self._queue is not None:
            chosen = who_gives_way(self, self._queue, holders, waiter.importance, places)
            if chosen is not None:
                self.give_way(chosen)

    def give_way(self, chosen: Waiter) -> None:
        """One that was let in waits again. Its place goes to whoever is first in line."""
        chosen.preempted += 1
        if chosen.due == 0.0:
            chosen.due = self._deadline(chosen, chosen.admitted_at)
        self.on_preempted(chosen)
        if chosen.gate is not self:
            return  # a bug ended it
        self.gives_back(chosen)
        self._wait(chosen, kept=True)
        self.go_on()

    def begun(self, waiter: Waiter) -> None:
        if self.holders is not None:
            self.holders.leave(waiter)

    def _deadline(self, waiter: Waiter, since: float) -> float:
        """Until when it may wait."""
        deadline = since + self._timeout_s - waiter.queued_s
        return waiter.expires_at if 0.0 < waiter.expires_at < deadline else deadline

    def _wait(self, waiter: Waiter, *, kept: bool = False) -> None:
        """Queue a request that finds no room, or turn it away."""
        queue = self._queue
        if queue is None:
            why = "as many requests are under way as the pool is found to bear"
            self._turn_away(waiter, FULL, why)
            return
        now = self.env.now
        deadline = self._deadline(waiter, now)
        if waiter.due == 0.0:
            waiter.due = deadline
        entry = QueueEntry(waiter, deadline, waiter.importance, waiter.needs, waiter.number)
        entry.due = waiter.due
        entry.tenant = waiter.caller.tenant
        entry.weight = waiter.caller.weight
        entry.cost = self.cost(waiter)
        entry.queued_at = now - waiter.queued_s
        new = waiter.number == 0 and waiter.queued_s == 0.0
        waiter.entry = entry
        waiter.gate = self
        gives_way = queue.push(entry, now, kept=kept)
        waiter.number = entry.number
        if new and gives_way is not entry:
            self.on_queued()
        if gives_way is not None:
            refused = _waiter_of(gives_way)
            self._leaves_queue(refused, gives_way)
            why = "the queue is full, or too long to be served in time"
            self._turn_away(refused, FULL, why)
        self.on_change()

    # --- a request ends ---------------------------------------------------------------------

    def settle(self, waiter: Waiter, used: float) -> None:
        charged = waiter.charged
        if charged != 0.0 and self._queue is not None:
            waiter.charged = used
            caller = waiter.caller
            account = account_of(waiter.importance, caller.tenant)
            self._queue.charge(account, used - charged, caller.weight)

    def left(self, waiter: Waiter, ending: Ending) -> None:
        waiter.gate = None
        entry = waiter.entry
        queue = self._queue
        if entry is not None:
            self._leaves_queue(waiter, entry)
            if self._refusals is not None:
                self._refusals.waited(waiter.queued_s)
            if queue is not None and queue.remove(entry):
                self.on_change()
            return
        if self.holders is not None:
            self.holders.leave(waiter)
        self._learn(ending)
        if queue is not None:
            queue.freed(self.env.now)
        self.go_on()
        if self.others_wait:
            self.on_place_free()

    def _learn(self, ending: Ending) -> None:
        now = self.env.now
        limit = self.limit
        if limit is not None:
            overloaded = ending.tells_overload()
            if ending.told and (ending.came or overloaded):
                limit.release(ending.latency_s, now, overloaded)
            else:
                limit.forget()  # its client left, or the endpoint broke: that is not load
            self.on_change()
        if self._refusals is not None:
            self._refusals.learn(ending, now)

    # --- requests that wait -----------------------------------------------------------------

    def expected_wait_s(self, waiter: Waiter) -> float:
        """How long another one like it would wait, at the pace of late."""
        if self._queue is None:
            return 0.0
        caller = waiter.caller
        return self._queue.expected_wait_s(
            waiter.importance, waiter.needs, caller.tenant, caller.weight
        )

    def waiting(self) -> int:
        """How many wait."""
        return self._queue.waiting() if self._queue is not None else 0

    def go_on(self) -> None:
        """Let in who waits, as long as there is room, and turn away who waited too long.

        Costs next to nothing while nobody waits. One that is let in may end at once, which calls
        this again: then the loop goes round once more, so that a queue of failures does not become
        a stack of calls.
        """
        queue = self._queue
        if queue is None or queue.waiting() == 0:
            return
        if self._going_on:
            self._again = True
            return
        self._going_on = True
        full: set[str] = set()  # what those need for whom there is no room
        try:
            for _ in range(queue.waiting() + 1):
                waiter = self._next(queue, full)
                if waiter is None:
                    break
                self._again = False
                self.on_admitted(waiter)
                if waiter.entry is not None:
                    full.add(waiter.needs)  # it came back: other workers were faster
                elif not waiter.told:
                    self._note_wait(queue, waiter)
                if self._again:
                    full = set()
        finally:
            self._going_on = False
        self._turn_away_late(queue)

    def observe(self) -> SheddingChange | None:
        """To be called now and then: whoever waited too long is told; what is shed is judged anew,
        and told when it changed."""
        self.go_on()
        return self._refusals.observe(self.env.now) if self._refusals is not None else None

    def dissolve(self, heir: "Gate | None") -> None:
        """The settings changed: those that wait go on in the heir's queue, or at once."""
        queue = self._queue
        if queue is None:
            return
        self._turn_away_late(queue)
        for entry in queue.remove_all():
            waiter = _waiter_of(entry)
            self._leaves_queue(waiter, entry)
            waiter.gate = None
            if heir is not None and heir._queue is not None:
                waiter.number = 0  # the last in another line, but they come in order
                waiter.due = 0.0
                heir._wait(waiter, kept=True)
            else:
                self.on_admitted(waiter)

    def _next(self, queue: Scheduler, full: set[str]) -> Waiter | None:
        """Who goes on next: the first in line of those that an endpoint has room for."""
        limit = self.limit
        if limit is not None and not limit.acquire():
            self.on_limit_full()
            return None
        now = self.env.now
        looking = queue.waiting() > 0
        while looking:
            looking = False
            if self._credits:
                for entry in queue.heads():
                    waiter = _waiter_of(entry)
                    entry.cached = self.cached(waiter)
                    entry.cost = max(self.cost(waiter) - entry.cached, 0.0)
            for entry in queue.next_in_line(now):
                waiter = _waiter_of(entry)
                if entry.needs in full:
                    continue
                if self.room(waiter) != ROOM or (self.others_wait and not self.goes_first(entry)):
                    full.add(entry.needs)
                elif queue.take(entry, now):
                    self._leaves_queue(waiter, entry)
                    waiter.admitted_at = now
                    waiter.charged = entry.cost
                    if self.holders is not None:
                        waiter.promoted = entry.promoted
                        self.holders.join(waiter)
                    self.on_change()
                    return waiter
                else:
                    # It was dropped; another one is first in its line.
                    looking = queue.waiting() > 0
                    break
        if limit is not None:
            limit.forget()
        return None

    def _note_wait(self, queue: Scheduler, waiter: Waiter) -> None:
        """Once for each that waited and goes on."""
        waiter.told = True
        queue.served(waiter.needs, self.env.now)
        if self._refusals is not None:
            self._refusals.waited(waiter.queued_s)
        self.on_waited(waiter)

    def _may_go_on(self, waiter: Waiter) -> bool:
        """Whether one that comes goes on at once; one for which nobody is up does so without a
        place, to be told that."""
        queue = self._queue
        crowded = False
        if queue is not None:
            if queue.waiting() > 0:
                if self._going_on:
                    return False  # its turn has not come
                self.go_on()  # who waits for the same goes first
            room = self.room(waiter)
            if room == NO_ROOM:
                return False
            if room == NOBODY:
                return not self._waits_for_nobody
            crowded = self.others_wait or queue.waiting() > 0
            if crowded and self._waits_its_turn(queue, waiter):
                return False
        if self.limit is not None and not self.limit.acquire():
            return False
        waiter.gate = self
        waiter.admitted_at = self.env.now
        if self.holders is not None:
            self.holders.join(waiter)
        if crowded and queue is not None:
            waiter.charged = self.cost(waiter)
            account = account_of(waiter.importance, waiter.caller.tenant)
            queue.charge(account, waiter.charged, waiter.caller.weight)
        if self._refusals is not None:
            self._refusals.waited(0.0)
        return True

    def _waits_its_turn(self, queue: Scheduler, waiter: Waiter) -> bool:
        """Whether one that needs the same goes before it; here it found no room, so there is none,
        and whose turn it is elsewhere is found out in the queue."""
        if queue.waiting() > 0 and queue.waits_before(waiter.importance, waiter.needs):
            return True
        return self.others_wait and self.waits_elsewhere(waiter)

    def _leaves_queue(self, waiter: Waiter, entry: QueueEntry) -> None:
        """However it goes on. What is left of it in the queue holds the request no more."""
        waiter.entry = None
        waiter.queued_s = self.env.now - entry.queued_at
        entry.item = None

    def _turn_away_late(self, queue: Scheduler) -> None:
        now = self.env.now
        turned_away = queue.turned_away(now)
        if not turned_away:
            return
        for entry in turned_away:
            waiter = _waiter_of(entry)
            self._leaves_queue(waiter, entry)
            waited_s = waiter.queued_s
            if self._refusals is not None:
                self._refusals.waited(waited_s)
            if entry.deadline < now:
                self._turn_away(waiter, LATE, f"it waited {waited_s:.1f} s and found no room")
            else:
                why = f"the queue stands too long; it waited {waited_s:.3f} s"
                self._turn_away(waiter, DROPPED, why)
        self.on_change()

    def _turn_away(self, waiter: Waiter, reason: int, why: str) -> None:
        waiter.gate = None
        self.on_turned_away(waiter, reason, why)


def _waiter_of(entry: QueueEntry) -> Waiter:
    item = entry.item
    assert isinstance(item, Waiter)
    return item
