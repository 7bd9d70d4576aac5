"""Lines of an admission queue: who stands in one, how fast they leave, and how lines compare."""

from typing import Final

from penstock.core.admission.codel import CoDel
from penstock.core.admission.scheduler import QueueEntry

_PACE_SAMPLES: Final = 20.0  # that the mean pace is taken over
_FEWEST_LEFT: Final = 64  # that left a line before it is made shorter


class Line:
    """Those of one importance and tenant that can use the same. Some of them may have left.

    By when they are due, and then by arrival: one that comes back is before those that came after
    it.
    """

    def __init__(self, importance: int, needs: str, tenant: str) -> None:
        self.importance: int = importance
        self.needs: str = needs
        self.tenant: str = tenant
        self.weight: float = 1.0  # of the tenant, as its newest request has it
        self.length: int = 0  # without those that left
        self._entries: list[QueueEntry] = []
        self._first: int = 0  # those before it left

    def join(self, entry: QueueEntry) -> None:
        line = self._entries
        low = self._first
        high = len(line)
        if high > low and not _goes_before(entry, line[high - 1]):
            low = high
        while low < high:
            middle = (low + high) // 2
            if _goes_before(entry, line[middle]):
                high = middle
            else:
                low = middle + 1
        line.insert(low, entry)
        self.weight = entry.weight
        self.length += 1

    def first(self) -> QueueEntry:
        """Whose deadline is next. There must be one."""
        line = self._entries
        while not line[self._first].queued:
            self._first += 1
        if self._first > _FEWEST_LEFT and 2 * self._first > len(line):
            del line[: self._first]
            self._first = 0
        return line[self._first]

    def last(self) -> QueueEntry:
        """The one at the end. There must be one."""
        line = self._entries
        while not line[-1].queued:
            line.pop()
        return line[-1]

    def forget_those_that_left(self) -> None:
        self._entries = [entry for entry in self._entries if entry.queued]
        self._first = 0


class Flow:
    """Those that can use the same, of any importance: how many, and how fast they leave."""

    def __init__(self, codel: CoDel | None) -> None:
        self.length: int = 0
        self.pace_s: float = 0.0  # mean time between two that leave; 0: not known
        self.codel: CoDel | None = codel
        self._last_left_at: float = -1.0

    def join(self) -> None:
        """One more waits."""
        if self.length == 0:
            self._last_left_at = -1.0  # an empty queue says nothing about the pace
        self.length += 1

    def served(self, now: float) -> None:
        """One left to be served."""
        if self._last_left_at >= 0.0:
            between_s = now - self._last_left_at
            if self.pace_s == 0.0:
                self.pace_s = between_s
            else:
                self.pace_s += (between_s - self.pace_s) / _PACE_SAMPLES
        self._last_left_at = now


class Rank:
    """Where one that waits stands: by class, its tenant's turn, and time; the least goes first."""

    def __init__(self, importance: int, turn: float, late: float, entry: QueueEntry) -> None:
        self.importance: int = importance
        self.turn: float = turn
        self.late: float = late
        self.entry: QueueEntry = entry


def rank_order(rank: Rank) -> tuple[int, float, float, int]:
    return rank.importance, rank.turn, rank.late, rank.entry.number


def _goes_before(one: QueueEntry, other: QueueEntry) -> bool:
    if one.due != other.due:
        return one.due < other.due
    return one.number < other.number
