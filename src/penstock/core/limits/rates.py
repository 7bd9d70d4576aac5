"""Rates: so much in so long, for each of many subjects.

GCRA (generic cell rate algorithm; ITU-T I.371, annex A): what was taken flows back all the time, so
there is no window at whose edge twice as much would pass. One number is kept for each subject: when
its allowance is whole again.
"""

from heapq import nlargest
from typing import Final

from penstock.core.limits.allowances import MOST_SUBJECTS, NEVER, OVERFLOW, Allowances

_SWEEP_S: Final = 1.0  # at most this often is a full table looked through
_ROUNDING: Final = 1e-9  # of a burst: sums of floats may be that much off


class RateTable(Allowances):
    """``amount`` in ``period_s``, of which ``burst`` may be taken at once. Times are seconds on any
    clock that does not go back.

    Bounded: a subject leaves only when its allowance is whole again, so that leaving gains it
    nothing; those for which there is no place share one allowance, so that made-up ones gain none.
    """

    def __init__(
        self, amount: float, period_s: float, burst: float = 0.0, most: int = MOST_SUBJECTS
    ) -> None:
        """``burst``: 0.0: the whole amount."""
        self.amount: float = amount
        self.period_s: float = period_s
        self.burst: float = burst if burst > 0.0 else amount
        self.overflowed: int = 0
        self._each_s: float = period_s / amount
        self._depth_s: float = self.burst * self._each_s
        self._most: int = most
        self._whole_at: dict[str, float] = {}
        self._swept_at: float = -1e9

    def __len__(self) -> int:
        return len(self._whole_at)

    def take(self, subject: str, cost: float, now: float) -> float:
        """Take that much; returns 0.0, or how long it is until so much is there, and then nothing
        was taken. ``NEVER``: it is more than may be taken at once."""
        subject = self._place(subject, now)
        whole_at = max(self._whole_at.get(subject, now), now) + cost * self._each_s
        late_s = whole_at - now - self._depth_s
        if late_s > _ROUNDING * self._depth_s:
            return late_s if cost <= self.burst else NEVER
        self._whole_at[subject] = whole_at
        return 0.0

    def wait_s(self, subject: str, cost: float, now: float) -> float:
        if cost > self.burst:
            return NEVER
        whole_at = self._whole_at.get(self._known(subject), now)
        late_s = max(whole_at, now) + cost * self._each_s - now - self._depth_s
        return late_s if late_s > _ROUNDING * self._depth_s else 0.0

    def spend(self, subject: str, cost: float, now: float) -> None:
        subject = self._place(subject, now)
        self._whole_at[subject] = max(self._whole_at.get(subject, now), now) + cost * self._each_s

    def give_back(self, subject: str, cost: float, now: float) -> None:
        subject = self._known(subject)
        whole_at = self._whole_at.get(subject, now)
        if whole_at > now:
            self._whole_at[subject] = whole_at - cost * self._each_s

    def left(self, subject: str, now: float) -> float:
        owed_s = max(self._whole_at.get(self._known(subject), now) - now, 0.0)
        return self.burst - owed_s / self._each_s

    def most(self) -> float:
        return self.burst

    def taken(self, now: float) -> dict[str, float]:
        return {
            subject: (whole_at - now) / self._each_s
            for subject, whole_at in self._whole_at.items()
            if whole_at > now
        }

    def keeps_s(self, amount: float) -> float:
        return amount * self._each_s

    def whole_s(self, subject: str, now: float) -> float:
        return max(self._whole_at.get(self._known(subject), now) - now, 0.0)

    def most_taken(self, most: int) -> list[str]:
        return nlargest(most, self._whole_at, key=self._whole_at.__getitem__)

    def _known(self, subject: str) -> str:
        if subject in self._whole_at or len(self._whole_at) < self._most:
            return subject
        return OVERFLOW

    def _place(self, subject: str, now: float) -> str:
        """Under which name it is kept."""
        kept = self._whole_at
        if subject in kept or len(kept) < self._most:
            return subject
        if now - self._swept_at >= _SWEEP_S:
            self._swept_at = now
            for other in [other for other, whole_at in kept.items() if whole_at <= now]:
                del kept[other]
            if len(kept) < self._most:
                return subject
        self.overflowed += 1
        return OVERFLOW
