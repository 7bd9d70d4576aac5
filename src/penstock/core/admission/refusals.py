"""What turns requests away before they may wait, asked in turn, and told how requests ended."""

from typing import Final

from penstock.core import snapshot
from penstock.core.admission.shedding import PriorityShedding, SheddingChange
from penstock.core.admission.success_rate import SuccessRateAdmission
from penstock.core.admission.throttle import ClientThrottle
from penstock.core.env import Env
from penstock.core.ticket import is_fault

# Why a request is turned away.
FULL: Final = 0  # no place under the limit, or in the queue
LATE: Final = 1  # it waited until its deadline
DROPPED: Final = 2  # by CoDel
THROTTLED: Final = 3
SHED: Final = 4
REASONS: Final = ("full", "late", "codel", "throttled", "shed")

# An endpoint that answers these took no work (RFC 6585, 4; RFC 9110, 15.6.4).
_NOT_ACCEPTED: Final = frozenset((429, 503))

# An endpoint that answers these has too much to do.
_OVERLOADED: Final = frozenset((429, 503, 504))


class Ending:
    """How a request that was let in ended, as far as it tells of the endpoints."""

    def __init__(
        self, *, told: bool, came: bool, whole: bool, timed_out: bool, status: int, latency_s: float
    ) -> None:
        self.told: bool = told  # anything of them: its client did not leave, nor was it ours
        self.came: bool = came  # an answer began
        self.whole: bool = whole
        self.timed_out: bool = timed_out
        self.status: int = status  # 0 without an answer
        # To the first byte: of a stream it tells of load, its length of what was asked for.
        self.latency_s: float = latency_s

    def tells_overload(self) -> bool:
        """Whether that is what endpoints do that have too much to do."""
        if not self.came:
            return self.timed_out
        return self.timed_out or not self.whole or self.status in _OVERLOADED


class Refusal:
    """One request's: ``reason`` is a number of ``REASONS``, ``why`` for people."""

    def __init__(self, reason: int, why: str) -> None:
        self.reason: int = reason
        self.why: str = why


class Refusals:
    """Shedding, throttle and admission by success rate of one gate, as far as it has them."""

    def __init__(self, spec: snapshot.Admission) -> None:
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

    def of(self, importance: int, env: Env) -> Refusal | None:
        """Why a request of this importance is turned away, if it is; it is counted."""
        if self._shedding is not None and not self._shedding.allows(importance):
            return Refusal(SHED, f"requests of priority {importance} are shed under overload")
        if self._throttle is not None and not self._throttle.allows(env):
            return Refusal(THROTTLED, "the endpoints accept too little")
        if self._success_rate is not None and not self._success_rate.allows(env):
            return Refusal(THROTTLED, "too many requests fail")
        return None

    def waited(self, seconds: float) -> None:
        """A request that was let in left the queue after this time, 0 where it did not wait."""
        if self._shedding is not None:
            self._shedding.waited(seconds)

    def learn(self, ending: Ending, now: float) -> None:
        """A request that was let in has ended so."""
        if not ending.told:
            return
        if self._throttle is not None and ending.came and ending.status not in _NOT_ACCEPTED:
            self._throttle.accepted(now)
        if self._success_rate is not None:
            good = ending.came and ending.whole and not ending.timed_out
            self._success_rate.ended(good and not is_fault(ending.status), now)

    def observe(self, now: float) -> SheddingChange | None:
        """To be called now and then: what is shed is judged anew, and told when it changed."""
        return self._shedding.observe(now) if self._shedding is not None else None


def refusals_of(spec: snapshot.Admission) -> Refusals | None:
    """Those that a pool's settings ask for; None where they ask for none."""
    if spec.throttle is None and spec.success_rate is None and spec.shedding is None:
        return None
    return Refusals(spec)
