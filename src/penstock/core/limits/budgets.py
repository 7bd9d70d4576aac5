"""Budgets: so much in a day, a week, a month, or for good."""

from heapq import nlargest
from typing import Final

from penstock.core.limits.allowances import MOST_SUBJECTS, NEVER, OVERFLOW, Allowances
from penstock.core.limits.windows import window_end, window_start

_KEPT_S: Final = 1.0


class BudgetTable(Allowances):
    """Times are seconds since 1970. Bounded as ``Allowances`` says: a window that ended makes its
    allowance whole."""

    def __init__(self, amount: float, per: str, most: int = MOST_SUBJECTS) -> None:
        self.amount: float = amount
        self.per: str = per
        self.overflowed: int = 0
        self._most: int = most
        self._start: float = 0.0
        self._spent: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._spent)

    def most(self) -> float:
        return self.amount

    def left(self, subject: str, now: float) -> float:
        self._turn(now)
        return self.amount - self._spent.get(self._place(subject), 0.0)

    def spend(self, subject: str, cost: float, now: float) -> None:
        self._turn(now)
        place = self._place(subject)
        if place != subject:
            self.overflowed += 1
        self._spent[place] = self._spent.get(place, 0.0) + cost

    def give_back(self, subject: str, cost: float, now: float) -> None:
        self._turn(now)
        place = self._place(subject)
        spent = self._spent.get(place)
        if spent is not None:  # else it was taken in a window that is over
            self._spent[place] = max(spent - cost, 0.0)

    def wait_s(self, subject: str, cost: float, now: float) -> float:
        if cost > self.amount:
            return NEVER
        return 0.0 if self.left(subject, now) >= cost else self.whole_s(subject, now)

    def whole_s(self, subject: str, now: float) -> float:
        self._turn(now)
        return window_end(self.per, self._start) - now

    def keeps_s(self, amount: float) -> float:
        return _KEPT_S

    def most_taken(self, most: int) -> list[str]:
        return nlargest(most, self._spent, key=self._spent.__getitem__)

    def saved(self, now: float) -> dict[str, float]:
        """What is spent in this window, by subject."""
        self._turn(now)
        return dict(self._spent)

    def start(self, now: float) -> float:
        """When this window began."""
        self._turn(now)
        return self._start

    def restore(self, start: float, spent: dict[str, float], now: float) -> None:
        """What was saved, unless its window is over."""
        self._turn(now)
        if start == self._start:
            self._spent = dict(spent)

    def _turn(self, now: float) -> None:
        start = window_start(self.per, now)
        if start > self._start:  # a clock that is set back begins no window anew
            self._start = start
            self._spent = {}

    def _place(self, subject: str) -> str:
        if subject in self._spent or len(self._spent) < self._most:
            return subject
        return OVERFLOW
