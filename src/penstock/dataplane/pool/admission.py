"""Admission of a live pool: the gate of core/admission, with exchanges that wait in front of it.

Every worker has its own. What it decides is counted on the board.
"""

from math import ceil
from typing import Final

from mypy_extensions import trait

from penstock.core import snapshot
from penstock.core.admission.gate import Gate, Waiter
from penstock.core.env import Env
from penstock.dataplane.board.counters import PoolCounters
from penstock.dataplane.board.layout import P_LIMIT_MILLI, P_QUEUED, P_REFUSED, P_WAITING
from penstock.dataplane.io.loop import report_bug

_QUEUE_PHASE: Final = 0  # as in board.PHASES
_MOST_RETRY_AFTER_S: Final = 60


@trait
class AdmittedExchange:
    """An exchange as a pool's gate sees it."""

    def room(self) -> int:
        """Whether an endpoint takes it now: ROOM, NO_ROOM or NOBODY of ``core.pool``."""
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


class Admission(Gate):
    """A pool's gate in one worker; only pools that configure any of it have one."""

    def __init__(
        self,
        spec: snapshot.Admission,
        name: str,
        counters: PoolCounters,
        owner: AdmissionOwner,
        env: Env,
    ) -> None:
        super().__init__(spec, env)
        self.replaced: bool = False  # by a reload, with requests that it let in still under way
        self._name: str = name
        self._counters: PoolCounters = counters
        self._owner: AdmissionOwner = owner

    def on_sweep(self) -> None:
        """Four times a second."""
        change = self.observe()
        if change is not None:
            let_in = f"requests of priority {change.level} and more important are let in"
            self._owner.note("pool.shedding", f"{let_in}: {change.reason}")

    def room(self, waiter: Waiter) -> int:
        return _exchange_of(waiter).room()

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

    def on_waited(self, seconds: float) -> None:
        self._counters.record(_QUEUE_PHASE, seconds)

    def on_change(self) -> None:
        if self.replaced:
            return
        counters = self._counters
        counters.values[P_WAITING] = self.waiting()
        if self.limit is not None:
            counters.values[P_LIMIT_MILLI] = int(self.limit.limit * 1000.0)
        counters.changed = True


def _exchange_of(waiter: Waiter) -> AdmittedExchange:
    assert isinstance(waiter, ExchangeWaiter)
    return waiter.exchange
