"""Admission of a live pool: the gate of core/admission, with exchanges that wait in front of it.

Every worker has its own. What it decides is counted on the board.
"""

from math import ceil
from typing import TYPE_CHECKING, Final

from penstock.core import snapshot
from penstock.core.admission.gate import Ending, Gate, Place
from penstock.core.env import Env
from penstock.dataplane.board.layout import P_LIMIT_MILLI, P_QUEUED, P_REFUSED, P_WAITING
from penstock.dataplane.io.loop import report_bug

if TYPE_CHECKING:
    from penstock.dataplane.exchange.settlement import Settlement
    from penstock.dataplane.pool.live_pool import LivePool

_QUEUE_PHASE: Final = 0  # as in board.PHASES
_MOST_RETRY_AFTER_S: Final = 60
# Ends that tell nothing about the endpoints: the client's doing, or ours.
_TELLS_NOTHING: Final = frozenset(("client_gone", "bad_request", "crashed"))


class ExchangePlace(Place):
    """An exchange's place."""

    def __init__(self, exchange: "Settlement", importance: int, expires_at: float) -> None:
        super().__init__(importance, expires_at)
        self.exchange: Settlement = exchange


class Admission(Gate):
    """A pool's gate in one worker; only pools that configure any of it have one."""

    def __init__(self, spec: snapshot.Admission, pool: "LivePool", env: Env) -> None:
        super().__init__(spec, env)
        self._pool: LivePool = pool

    def on_sweep(self) -> None:
        """Four times a second."""
        change = self.observe()
        if change is not None:
            let_in = f"requests of priority {change.level} and more important are let in"
            self._pool.note("pool.shedding", f"{let_in}: {change.reason}")

    def room(self, place: Place) -> int:
        return _exchange_at(place).room()

    def on_admitted(self, place: Place) -> None:
        exchange = _exchange_at(place)
        try:
            exchange.on_admitted()
        except Exception:  # noqa: BLE001 - that request's bug must not end the others that wait
            report_bug("while a request left the queue")
            exchange.on_crash()

    def on_turned_away(self, place: Place, reason: int, why: str) -> None:
        self._pool.counters.bump(P_REFUSED + reason)
        retry_after_s = min(max(ceil(self.expected_wait_s(place)), 1), _MOST_RETRY_AFTER_S)
        why = f"pool {self._pool.name} is overloaded: {why}"
        _exchange_at(place).on_turned_away(why, retry_after_s)

    def on_queued(self) -> None:
        self._pool.counters.bump(P_QUEUED)

    def on_waited(self, seconds: float) -> None:
        self._pool.counters.record(_QUEUE_PHASE, seconds)

    def on_change(self) -> None:
        if self._pool.admission is not self:
            return  # replaced by a reload, with requests that it let in still under way
        counters = self._pool.counters
        counters.values[P_WAITING] = self.waiting()
        if self.limit is not None:
            counters.values[P_LIMIT_MILLI] = int(self.limit.limit * 1000.0)
        counters.changed = True


def ending_of(exchange: "Settlement", place: Place, now: float) -> Ending:
    """What an exchange that ended tells of the endpoints."""
    came = exchange.first_byte_at > 0.0
    status = exchange.status
    return Ending(
        told=exchange.ended not in _TELLS_NOTHING and not exchange.cut_by_us,
        came=came,
        whole=exchange.ended == "done",
        timed_out=status == 504 and not came,
        status=status if came else 0,
        latency_s=(exchange.first_byte_at or now) - place.admitted_at,
    )


def _exchange_at(place: Place) -> "Settlement":
    assert isinstance(place, ExchangePlace)
    return place.exchange
