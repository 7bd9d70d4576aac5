"""Admission of a live pool: the gate of core/admission, with exchanges that wait in front of it.

Every worker has its own; who goes first of those that wait in all of them is ``shared_queue``'s.
What it decides is counted on the board.
"""

from math import ceil
from typing import Final

from mypy_extensions import mypyc_attr, trait

from penstock.core import snapshot
from penstock.core.admission.gate import Gate
from penstock.core.admission.giving_way import Places, places_for, who_gives_way
from penstock.core.admission.preemption import Holders
from penstock.core.admission.queue import AdmissionQueue, queue_of
from penstock.core.admission.scheduler import QueueEntry
from penstock.core.admission.wait_sums import WaitSums
from penstock.core.admission.waiter import Waiter
from penstock.core.endpoint import Endpoint
from penstock.core.pool.pool import ROOM
from penstock.dataplane.board.counters import PoolCounters
from penstock.dataplane.board.layout import (
    P_LIMIT_MILLI,
    P_PREEMPTED,
    P_QUEUED,
    P_REFUSED,
    P_WAITING,
)
from penstock.dataplane.board.ledger import BoardLedger
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.pool_peers import PoolPeers
from penstock.dataplane.io.loop import Flushable, Loop, report_bug
from penstock.dataplane.pool.place_calls import PlaceCalls, PlaceOwner
from penstock.dataplane.pool.shared_queue import SharedQueue

_QUEUE_PHASE: Final = 0  # as in board.PHASES
_MOST_RETRY_AFTER_S: Final = 60


@mypyc_attr(allow_interpreted_subclasses=True)
@trait
class AdmittedExchange:
    """An exchange as a pool's gate sees it."""

    def room(self) -> int:
        """Whether an endpoint takes it now: ROOM, NO_ROOM or NOBODY of ``core.pool``."""
        raise NotImplementedError

    def cost(self) -> float:
        """What it is thought to use, as its tenant is charged."""
        raise NotImplementedError

    def cached(self) -> int:
        """Most tokens of its prompt that an endpoint with room holds."""
        raise NotImplementedError

    def usable(self) -> list[Endpoint]:
        """The endpoints that it can use, with room or without."""
        raise NotImplementedError

    def held(self) -> Endpoint | None:
        """Its endpoint, if it may give its place there away and be sent again."""
        raise NotImplementedError

    def on_preempted(self) -> None:
        """A more important one gets its place: end the attempt, and wait again."""
        raise NotImplementedError

    def on_admitted(self) -> None:
        """It waited for a place, and may go on."""
        raise NotImplementedError

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        """It gets no place; ``retry_after_s``: when one may be free."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed while it was told: give up, and leave nobody waiting."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
@trait
class AdmissionOwner:
    """The pool whose gate it is."""

    def note(self, kind: str, message: str, endpoint: str = "") -> None:
        """Have it logged."""
        raise NotImplementedError


class ExchangeWaiter(Waiter):
    """An exchange's place."""

    def __init__(self, exchange: AdmittedExchange, importance: int, expires_at: float) -> None:
        super().__init__(importance, expires_at)
        self.exchange: AdmittedExchange = exchange


class Admission(Gate, Flushable, PlaceOwner):
    """A pool's gate in one worker; only pools that configure any of it have one."""

    def __init__(
        self,
        spec: snapshot.Admission,
        name: str,
        counters: PoolCounters,
        owner: AdmissionOwner,
        loop: Loop,
        board: Board,
        row: int,
        worker: int,
    ) -> None:
        """``row`` is the pool's on the board."""
        self._waits: AdmissionQueue | None = None
        ledger = BoardLedger(board, worker, name, loop.env)
        self._ledger: BoardLedger = ledger
        self._sums: WaitSums = WaitSums(ledger, spec.priorities)
        if spec.queue is not None:
            self._waits = queue_of(spec.queue, ledger)
        super().__init__(spec, loop.env, self._waits)
        self.replaced: bool = False  # by a reload, with requests that it let in still under way
        self._name: str = name
        self._counters: PoolCounters = counters
        self._owner: AdmissionOwner = owner
        self._loop: Loop = loop
        self._to_flush: bool = False
        self._place_free: bool = False
        peers = PoolPeers(board, row, worker, repr(spec.limit))
        self._peers: PoolPeers = peers
        self.shared: SharedQueue | None = None
        if self._waits is not None:
            self.shared = SharedQueue(self._waits, board, row, worker)
        self._calls: PlaceCalls | None = None
        if self.holders is not None:
            self._calls = PlaceCalls(self, board, row, worker)
        self._board: Board = board
        self.count_workers()

    def count_workers(self) -> None:
        """Queue and limit are those of all workers there are."""
        peers = self._peers if not self._alone() and not self.replaced else None
        if self._waits is not None:
            self._waits.peers = peers
        if self.limit is not None:
            self.limit.peers = peers
        if peers is not None:
            peers.wait(self.waiting())
            peers.run(self.limit.in_flight if self.limit is not None else 0)

    def replace(self) -> None:
        """The settings changed: requests that it let in are still under way, and count no more."""
        self.replaced = True
        self.count_workers()
        if self._calls is not None:
            self._calls.withdraw()

    # --- with other workers -----------------------------------------------------------------

    def on_woken(self) -> None:
        """Another worker has somebody who waits, or freed a place."""
        shared = self.shared
        if shared is None or self.replaced:
            return
        self._ledger.read_anew()
        others_wait = shared.heads.others_wait()
        if others_wait and not self.others_wait:
            self._place_free = True  # one may have been freed before this was known
            self._flush_later()
        self._set_others_wait(others_wait)
        if self._calls is not None:
            self._calls.answer(self.env.now)
        if self.waiting() > 0:
            self._flush_later()

    def _set_others_wait(self, others_wait: bool) -> None:
        self.others_wait = others_wait
        if self._waits is not None:
            self._waits.shared = others_wait

    def goes_first(self, entry: QueueEntry) -> bool:
        shared = self.shared
        if shared is None or self._waits is None:
            return True
        now = self.env.now
        if self._calls is not None and self._calls.is_kept_from(entry, now):
            return False
        for rank in self._waits.ranked(now):
            if rank.entry is entry:
                if shared.goes_first(rank, now):
                    return True
                self._flush_later()  # what is shown may be old, which the other goes by
                return False
        return True

    def waits_elsewhere(self, waiter: Waiter) -> bool:
        shared = self.shared
        return shared is not None and shared.waits_elsewhere(waiter.needs, waiter.importance)

    def on_place_free(self) -> None:
        self._place_free = True
        self._flush_later()

    def _flush_later(self) -> None:
        if not self._to_flush:
            self._to_flush = True
            self._loop.flush_after_batch(self)

    def has_to_flush(self) -> bool:
        """Whether it asked to be called after this batch."""
        return self._to_flush

    def flush(self) -> None:
        """After a batch: show who waits here, and wake whom it concerns."""
        shared = self.shared
        if shared is not None and not self.replaced:
            try:
                self._share(shared)
            except Exception:  # noqa: BLE001 - a bug here must not end the worker's loop
                report_bug(f"in the queue of pool {self._name}")
        self._to_flush = False  # at last: what is asked for meanwhile was done

    def _share(self, shared: SharedQueue) -> None:
        if self.others_wait and self.waiting() > 0:
            self.go_on()
        if shared.show(self.env.now):
            shared.wake_all()
            self._set_others_wait(shared.heads.others_wait())
            self.go_on()  # into what became free before others knew
            shared.show(self.env.now)
        if self._calls is not None:
            self._calls.go_on(self.env.now)
        if self._place_free:
            self._place_free = False
            if self.others_wait:
                self._set_others_wait(shared.wake_first())

    def on_sweep(self) -> None:
        """Four times a second."""
        limit = self.limit
        if limit is not None and limit.peers is not None:
            before = limit.limit
            limit.catch_up()
            if limit.limit != before:
                self.on_change()
        change = self.observe()
        if change is not None:
            let_in = f"requests of priority {change.level} and more important are let in"
            self._owner.note("pool.shedding", f"{let_in}: {change.reason}")
        if self.shared is not None and not self.replaced and not self._alone():
            self._set_others_wait(self.shared.heads.others_wait())
            if self._calls is not None:
                self._calls.answer(self.env.now)
            self._place_free = self.others_wait
            if self.others_wait or self.waiting() > 0:
                self._flush_later()

    def room(self, waiter: Waiter) -> int:
        found = _exchange_of(waiter).room()
        if found != ROOM and self.others_wait and self.shared is not None:
            self.shared.no_room()
        return found

    def on_limit_full(self) -> None:
        if self.others_wait and self.shared is not None:
            self.shared.no_room()

    def cost(self, waiter: Waiter) -> float:
        return _exchange_of(waiter).cost()

    def cached(self, waiter: Waiter) -> float:
        return float(_exchange_of(waiter).cached())

    def held(self, waiter: Waiter) -> Endpoint | None:
        return _exchange_of(waiter).held()

    def usable(self, waiter: Waiter) -> list[Endpoint]:
        return _exchange_of(waiter).usable()

    # --- places of less important ones --------------------------------------------------------

    def preempt_for(self, waiter: Waiter, holders: Holders) -> None:
        if self._calls is None or self._alone():
            super().preempt_for(waiter, holders)
        else:
            self._calls.want(waiter)
            self._flush_later()

    def waits_for(self, waiter: Waiter) -> Places | None:
        return places_for(self, waiter, self.limit)

    def least_of(self, importance: int, places: Places) -> Waiter | None:
        if self._waits is None or self.holders is None:
            return None
        return who_gives_way(self, self._waits, self.holders, importance, places)

    def give_up(self, waiter: Waiter) -> None:
        self.give_way(waiter)

    def on_preempted(self, waiter: Waiter) -> None:
        self._counters.bump(P_PREEMPTED)
        exchange = _exchange_of(waiter)
        try:
            exchange.on_preempted()
        except Exception:  # noqa: BLE001 - that request's bug must not end the one that came
            report_bug("while a request gave its place to another")
            exchange.on_crash()

    def on_admitted(self, waiter: Waiter) -> None:
        exchange = _exchange_of(waiter)
        try:
            exchange.on_admitted()
        except Exception:  # noqa: BLE001 - that request's bug must not end the others that wait
            report_bug("while a request left the queue")
            exchange.on_crash()

    def on_turned_away(self, waiter: Waiter, reason: int, why: str) -> None:
        self._counters.bump(P_REFUSED + reason)
        retry_after_s = min(max(ceil(self.expected_wait_s(waiter)), 1), _MOST_RETRY_AFTER_S)
        why = f"overloaded: {why}"
        _exchange_of(waiter).on_turned_away(why, retry_after_s)

    def on_queued(self) -> None:
        self._counters.bump(P_QUEUED)

    def on_waited(self, waiter: Waiter) -> None:
        self._counters.record(_QUEUE_PHASE, waiter.queued_s)
        self._sums.note(waiter.importance, waiter.caller.tenant, waiter.queued_s)

    def on_change(self) -> None:
        if self.replaced:
            return
        counters = self._counters
        counters.values[P_WAITING] = self.waiting()
        if self.limit is not None:
            counters.values[P_LIMIT_MILLI] = int(self.limit.limit * 1000.0)
        counters.changed = True
        if self.shared is not None and not self._alone():
            self._flush_later()

    def _alone(self) -> bool:
        return self._board.end_index - self._board.first_index == 1


def _exchange_of(waiter: Waiter) -> AdmittedExchange:
    assert isinstance(waiter, ExchangeWaiter)
    return waiter.exchange
