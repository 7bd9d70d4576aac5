"""Admission in front of a pool: who goes on at once, who waits, and who is turned away.

The rules are core/admission's state machines; here they are asked in turn, cheapest refusal first,
and told how requests ended. Every worker has its own.
"""

from math import ceil
from typing import TYPE_CHECKING, Final

from penstock.core import snapshot
from penstock.core.admission import ConcurrencyLimit, create_limit
from penstock.core.admission.codel import CoDel
from penstock.core.admission.queue import AdmissionQueue, Waiting
from penstock.core.admission.shedding import PriorityShedding
from penstock.core.admission.success_rate import SuccessRateAdmission
from penstock.core.admission.throttle import ClientThrottle
from penstock.core.env import Env
from penstock.dataplane.board import (
    P_LIMIT_MILLI,
    P_QUEUED,
    P_REFUSED_CODEL,
    P_REFUSED_FULL,
    P_REFUSED_LATE,
    P_REFUSED_SHED,
    P_REFUSED_THROTTLED,
    P_WAITING,
)
from penstock.dataplane.loop import report_bug
from penstock.dataplane.response_sink import ResponseSink

if TYPE_CHECKING:
    from penstock.dataplane.live_pool import LivePool

_QUEUE_PHASE: Final = 0  # as in board.PHASES
_MOST_RETRY_AFTER_S: Final = 60
# An endpoint that answers these took no work (RFC 6585, 4; RFC 9110, 15.6.4).
_NOT_ACCEPTED: Final = frozenset((429, 503))
_OVERLOADED: Final = frozenset((429, 503, 504))
# Ends that tell nothing about the endpoints: the client's doing, or ours.
_TELLS_NOTHING: Final = frozenset(("client_gone", "bad_request", "crashed"))


class Applicant(ResponseSink):
    """What asks to be let in: an exchange."""

    admission: "Admission | None" = None  # where it waits or has a place
    waiting: Waiting | None = None
    admitted_at: float = 0.0
    queued_s: float = 0.0  # before an endpoint was chosen
    first_byte_at: float = 0.0
    status: int = 0  # answered to the client; 0 until then
    ended: str = ""  # how, in one word, for the log

    def on_admitted(self) -> None:
        """It waited, and may go on."""
        raise NotImplementedError

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        """It waited or would have to, and may not go on."""
        raise NotImplementedError


class Admission:
    """A pool's admission in one worker; only pools that configure any of it have one."""

    def __init__(self, spec: snapshot.Admission, pool: "LivePool", env: Env) -> None:
        """Raises ValueError when the limit named is not known or has no such option."""
        self.spec: snapshot.Admission = spec
        self._pool: LivePool = pool
        self._env: Env = env
        self._limit: ConcurrencyLimit | None = None
        if spec.limit is not None:
            self._limit = create_limit(spec.limit.name, dict(spec.limit.options))
        self._queue: AdmissionQueue | None = None
        self._timeout_s: float = 0.0
        if spec.queue is not None:
            self._queue = queue_of(spec.queue)
            self._timeout_s = spec.queue.timeout_s
        self._throttle: ClientThrottle | None = None
        if spec.throttle is not None:
            self._throttle = ClientThrottle(spec.throttle.k, spec.throttle.window_s)
        self._success_rate: SuccessRateAdmission | None = None
        if spec.success_rate is not None:
            rate = spec.success_rate
            self._success_rate = SuccessRateAdmission(
                rate.threshold, rate.aggression, rate.window_s, rate.max_refusal, rate.min_rate
            )
        self._shedding: PriorityShedding | None = None
        if spec.shedding is not None:
            self._shedding = PriorityShedding(spec.shedding.levels, spec.shedding.mean_wait_s)
        self._going_on: bool = False
        self._again: bool = False
        self._note_limit()

    # --- a request comes --------------------------------------------------------------------

    def admits(self, exchange: Applicant, priority: int, expires_at: float) -> bool:
        """Whether it goes on at once; else it waits here, or was turned away and has ended."""
        env = self._env
        if self._shedding is not None and not self._shedding.allows(priority):
            why = f"requests of priority {priority} are shed under overload"
            self._turn_away(exchange, P_REFUSED_SHED, why)
            return False
        if self._throttle is not None and not self._throttle.allows(env):
            self._turn_away(exchange, P_REFUSED_THROTTLED, "the endpoints accept too little")
            return False
        if self._success_rate is not None and not self._success_rate.allows(env):
            self._turn_away(exchange, P_REFUSED_THROTTLED, "too many requests fail")
            return False
        queue = self._queue
        if (queue is None or queue.length == 0) and self._takes_place():
            self._let_in(exchange, env.now)
            return True
        self.wait(exchange, priority, expires_at)
        return False

    def wait(self, exchange: Applicant, priority: int, expires_at: float) -> None:
        """Queue a request that finds no room, or turn it away."""
        queue = self._queue
        if queue is None:
            full = "as many requests are under way as the pool is found to bear"
            self._turn_away(exchange, P_REFUSED_FULL, full)
            return
        now = self._env.now
        deadline = now + self._timeout_s
        if 0.0 < expires_at < deadline:
            deadline = expires_at
        waiting = Waiting(exchange, deadline, priority)
        exchange.admission = self
        exchange.waiting = waiting
        turned_away = queue.push(waiting, now)
        if turned_away is not waiting:
            self._pool.counters.bump(P_QUEUED)
        if turned_away is not None:
            full = "the queue is full, or too long to be served in time"
            self._turn_away(_exchange_of(turned_away), P_REFUSED_FULL, full)
        self._note_waiting()

    # --- a request ends ---------------------------------------------------------------------

    def left(self, exchange: Applicant, now: float) -> None:
        """A request that waited or was let in has ended, in whatever way."""
        exchange.admission = None
        waiting = exchange.waiting
        if waiting is not None:
            exchange.waiting = None
            if self._queue is not None and self._queue.remove(waiting):
                self._note_waiting()
            return
        self._learn(exchange, now)
        if self._queue is not None and self._queue.length:
            self.go_on()

    def _learn(self, exchange: Applicant, now: float) -> None:
        status = exchange.status
        silent = exchange.ended in _TELLS_NOTHING
        limit = self._limit
        if limit is not None:
            if silent or (exchange.ended == "refused" and status != 504):
                limit.forget()  # no endpoint was there, or it broke: that is not load
            else:
                # Of a stream the first byte tells of load, its length of what was asked for.
                end = exchange.first_byte_at or now
                dropped = status in _OVERLOADED or exchange.ended == "cut"
                limit.release(end - exchange.admitted_at, now, dropped)
                self._note_limit()
        if silent:
            return
        came_back = exchange.first_byte_at > 0.0
        if self._throttle is not None and came_back and status not in _NOT_ACCEPTED:
            self._throttle.accepted(now)
        if self._success_rate is not None:
            self._success_rate.ended(exchange.ended == "done" and status < 500, now)

    # --- requests that wait -----------------------------------------------------------------

    def go_on(self) -> None:
        """Let in who waits, as long as there is room.

        One that is let in may end at once, which calls this again: then the loop goes round once
        more, so that a queue of failures does not become a stack of calls.
        """
        if self._going_on:
            self._again = True
            return
        queue = self._queue
        if queue is None:
            return
        self._going_on = True
        for _ in range(queue.length + 1):  # those that find no room queue up again
            self._again = False
            if not self._let_in_next(queue) and not self._again:
                break
        self._going_on = False
        self._turn_away_late(queue)

    def holds_any(self) -> bool:
        """Whether requests wait here."""
        return self._queue is not None and self._queue.length > 0

    def on_batch(self) -> None:
        """Take room that other workers made."""
        if self._queue is not None and self._queue.length:
            self.go_on()

    def on_sweep(self, now: float) -> None:
        """Whoever waited too long is told; what is shed is judged anew."""
        shedding = self._shedding
        if shedding is not None:
            change = shedding.observe(now)
            if change is not None:
                self._pool.note(
                    "pool.shedding",
                    f"requests of priority {change.level} and more important are let in: "
                    f"{change.reason}",
                )
        self.on_batch()

    def dissolve(self, heir: "Admission | None") -> None:
        """The settings changed: those that wait go on in the heir's queue, or at once."""
        queue = self._queue
        if queue is None:
            return
        while (waiting := queue.pop(self._env.now)) is not None:
            exchange = _exchange_of(waiting)
            exchange.admission = None
            exchange.waiting = None
            if heir is not None and heir._queue is not None:
                heir.wait(exchange, waiting.importance, waiting.deadline)
            else:
                self._start(exchange)
        self._turn_away_late(queue)

    def _let_in_next(self, queue: AdmissionQueue) -> bool:
        if queue.length == 0 or not self._takes_place():
            return False
        now = self._env.now
        waiting = queue.pop(now)
        if waiting is None:
            if self._limit is not None:
                self._limit.forget()
            return False
        exchange = _exchange_of(waiting)
        exchange.waiting = None
        exchange.queued_s += now - waiting.queued_at
        if self._shedding is not None:
            self._shedding.waited(now - waiting.queued_at)
        self._pool.counters.record(_QUEUE_PHASE, now - waiting.queued_at)
        self._note_waiting()
        self._let_in(exchange, now)
        self._start(exchange)
        return True

    def _start(self, exchange: Applicant) -> None:
        try:
            exchange.on_admitted()
        except Exception:  # noqa: BLE001 - that request's bug must not end the others that wait
            report_bug("while a request left the queue")
            exchange.on_crash()

    def _takes_place(self) -> bool:
        """Take a place under the limit, if there is one and an endpoint has room too."""
        if self._queue is not None and not self._pool.has_room():
            return False
        return self._limit is None or self._limit.acquire()

    def _let_in(self, exchange: Applicant, now: float) -> None:
        exchange.admission = self
        exchange.admitted_at = now

    def give_back(self, exchange: Applicant) -> None:
        """A request that was let in found no endpoint with room: others were faster."""
        exchange.admission = None
        if self._limit is not None:
            self._limit.forget()

    def _turn_away_late(self, queue: AdmissionQueue) -> None:
        now = self._env.now
        for waiting in queue.turned_away(now):
            exchange = _exchange_of(waiting)
            waited_s = now - waiting.queued_at
            exchange.queued_s += waited_s
            if waiting.deadline < now:
                why = f"it waited {waited_s:.1f} s and found no room"
                self._turn_away(exchange, P_REFUSED_LATE, why)
            else:
                why = f"the queue stands too long; it waited {waited_s:.3f} s"
                self._turn_away(exchange, P_REFUSED_CODEL, why)
        self._note_waiting()

    def _turn_away(self, exchange: Applicant, reason: int, why: str) -> None:
        exchange.admission = None
        exchange.waiting = None
        self._pool.counters.bump(reason)
        wait_s = self._queue.expected_wait_s() if self._queue is not None else 0.0
        retry_after_s = min(max(ceil(wait_s), 1), _MOST_RETRY_AFTER_S)
        exchange.on_turned_away(f"pool {self._pool.name} is overloaded: {why}", retry_after_s)

    def _note_waiting(self) -> None:
        if self._queue is not None:
            counters = self._pool.counters
            counters.values[P_WAITING] = self._queue.length
            counters.changed = True

    def _note_limit(self) -> None:
        if self._limit is not None:
            counters = self._pool.counters
            counters.values[P_LIMIT_MILLI] = int(self._limit.limit * 1000.0)
            counters.changed = True


def queue_of(spec: snapshot.Queue) -> AdmissionQueue:
    """The queue that a snapshot describes."""
    codel = None
    if spec.codel is not None:
        codel = CoDel(spec.codel.target_s, spec.codel.interval_s)
    return AdmissionQueue(spec.length, lifo_above=spec.newest_first_above, codel=codel)


def _exchange_of(waiting: Waiting) -> Applicant:
    item = waiting.item
    assert isinstance(item, Applicant)
    return item
