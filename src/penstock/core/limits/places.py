"""Places: so many at a time."""

from heapq import nlargest
from typing import Final

from penstock.core.limits.allowances import MOST_SUBJECTS, NEVER, OVERFLOW, Allowances

_KEPT_S: Final = 0.25
_PATIENCE_S: Final = 1.0  # nobody knows when one comes free


class PlaceTable(Allowances):
    """Bounded as ``Allowances`` says: a subject without a request has its places whole."""

    def __init__(self, amount: float, most: int = MOST_SUBJECTS) -> None:
        self.amount: float = amount
        self.overflowed: int = 0
        self._most: int = most
        self._taken: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def most(self) -> float:
        return self.amount

    def left(self, subject: str, now: float) -> float:
        return self.amount - self._taken.get(self._place(subject), 0.0)

    def spend(self, subject: str, cost: float, now: float) -> None:
        place = self._place(subject)
        if place != subject:
            self.overflowed += 1
        self._taken[place] = self._taken.get(place, 0.0) + cost

    def give_back(self, subject: str, cost: float, now: float) -> None:
        own = self._taken.get(subject, 0.0)
        if own > cost:
            self._taken[subject] = own - cost
            return
        self._taken.pop(subject, None)
        if own < cost and OVERFLOW in self._taken:  # it had some from when there was no room
            left = self._taken[OVERFLOW] - (cost - own)
            if left > 0.0:
                self._taken[OVERFLOW] = left
            else:
                del self._taken[OVERFLOW]

    def wait_s(self, subject: str, cost: float, now: float) -> float:
        if cost > self.amount:
            return NEVER
        return 0.0 if self.left(subject, now) >= cost else _PATIENCE_S

    def whole_s(self, subject: str, now: float) -> float:
        return _PATIENCE_S if self._taken.get(self._place(subject), 0.0) > 0.0 else 0.0

    def keeps_s(self, amount: float) -> float:
        return _KEPT_S

    def most_taken(self, most: int) -> list[str]:
        return nlargest(most, self._taken, key=self._taken.__getitem__)

    def _place(self, subject: str) -> str:
        if subject in self._taken or len(self._taken) < self._most:
            return subject
        return OVERFLOW
