"""A bounded queue that knows its requests' deadlines and importance.

Important requests leave first, equally important ones in order of arrival, or newest first while
the queue is over ``lifo_above`` of its capacity: under overload the newest are those whose clients
still wait (adaptive LIFO). A request that cannot be served by its deadline at the pace of late is
turned away at once; when the queue is full, the newest of the least important gives way to a more
important one; with CoDel, requests that stood too long are dropped as they would leave.
Source: B. Maurer, "Fail at scale", ACM Queue 2015, for adaptive LIFO.

O(log n) per request.
"""

from collections import deque
from heapq import heappop, heappush
from typing import Final

from penstock.core.admission.codel import CoDel

_PACE_SAMPLES: Final = 20.0  # that the mean pace is taken over
_FEWEST_SWEPT: Final = 64


class Waiting:
    """A request in the queue: what waits, until when, and how important it is (0 most)."""

    def __init__(self, item: object, deadline: float, importance: int = 0) -> None:
        self.item: object = item
        self.deadline: float = deadline
        self.importance: int = importance
        self.queued_at: float = 0.0
        self.queued: bool = False


class AdmissionQueue:
    """Holds requests until they may go on. Times are seconds on any monotonic clock."""

    def __init__(
        self, capacity: int, *, lifo_above: float = 1.0, codel: CoDel | None = None
    ) -> None:
        self._capacity: int = capacity
        self._lifo_above: float = lifo_above * capacity
        self._codel: CoDel | None = codel
        self._lines: dict[int, deque[Waiting]] = {}  # by importance; may hold some that left
        self._counts: dict[int, int] = {}  # how many of a line still wait
        self._deadlines: list[tuple[float, int, Waiting]] = []  # a heap, may hold some that left
        self._number: int = 0
        self._turned_away: list[Waiting] = []
        self.length: int = 0
        self._last_left_at: float = -1.0
        self.pace_s: float = 0.0  # mean time between requests that leave; 0: not known

    def push(self, waiting: Waiting, now: float) -> Waiting | None:
        """Queue it. Returns who is turned away for that: nobody, a less important one, or it."""
        if now + self.expected_wait_s(waiting.importance) > waiting.deadline:
            return waiting
        gives_way: Waiting | None = None
        if self.length >= self._capacity:
            gives_way = self._least_important()
            if gives_way is None or gives_way.importance <= waiting.importance:
                return waiting
            self.remove(gives_way)
        self._join(waiting, now)
        return gives_way

    def pop(self, now: float) -> Waiting | None:
        """The request to go on next; None when nobody waits whose deadline has not passed."""
        for importance in sorted(self._lines):
            line = self._lines[importance]
            while line:
                waiting = line.pop() if self.length > self._lifo_above else line.popleft()
                if not waiting.queued:
                    continue
                self._leave(waiting)
                if waiting.deadline < now or self._is_dropped(waiting, now):
                    self._turned_away.append(waiting)
                    continue
                self._note_pace(now)
                return waiting
        return None

    def remove(self, waiting: Waiting) -> bool:
        """Take one out whose client left; False when it does not wait here any more."""
        if not waiting.queued:
            return False
        self._leave(waiting)
        return True

    def turned_away(self, now: float) -> list[Waiting]:
        """Those whose deadline has passed or whom CoDel dropped, since this was last asked."""
        while self._deadlines and (self._deadlines[0][0] < now or not self._deadlines[0][2].queued):
            waiting = heappop(self._deadlines)[2]
            if waiting.queued:
                self._leave(waiting)
                self._turned_away.append(waiting)
        turned_away = self._turned_away
        self._turned_away = []
        return turned_away

    def expected_wait_s(self, importance: int = 0) -> float:
        """How long one of this importance would wait at the pace of late; for ``Retry-After``."""
        ahead = 0
        for other, count in self._counts.items():
            if other <= importance:
                ahead += count
        return ahead * self.pace_s

    def _join(self, waiting: Waiting, now: float) -> None:
        waiting.queued = True
        waiting.queued_at = now
        line = self._lines.get(waiting.importance)
        if line is None:
            line = deque()
            self._lines[waiting.importance] = line
        line.append(waiting)
        self._counts[waiting.importance] = self._counts.get(waiting.importance, 0) + 1
        self._number += 1
        heappush(self._deadlines, (waiting.deadline, self._number, waiting))
        if self.length == 0:
            self._last_left_at = -1.0  # an idle queue says nothing about the pace
        self.length += 1

    def _leave(self, waiting: Waiting) -> None:
        waiting.queued = False
        self.length -= 1
        self._counts[waiting.importance] -= 1
        if len(self._deadlines) > 2 * self.length + _FEWEST_SWEPT:
            self._sweep()

    def _sweep(self) -> None:
        """Forget those that left; they are at most half of what is kept, so this is O(1) each."""
        self._deadlines = [entry for entry in self._deadlines if entry[2].queued]
        self._deadlines.sort()
        for importance in list(self._lines):
            line = deque([waiting for waiting in self._lines[importance] if waiting.queued])
            if line:
                self._lines[importance] = line
            else:
                del self._lines[importance]
                del self._counts[importance]

    def _least_important(self) -> Waiting | None:
        """The newest of the least important that wait."""
        for importance in sorted(self._lines, reverse=True):
            line = self._lines[importance]
            while line:
                if line[-1].queued:
                    return line[-1]
                line.pop()
        return None

    def _is_dropped(self, waiting: Waiting, now: float) -> bool:
        codel = self._codel
        return codel is not None and codel.drops(now - waiting.queued_at, now, self.length == 0)

    def _note_pace(self, now: float) -> None:
        if self._last_left_at >= 0.0:
            between_s = now - self._last_left_at
            if self.pace_s == 0.0:
                self.pace_s = between_s
            else:
                self.pace_s += (between_s - self.pace_s) / _PACE_SAMPLES
        self._last_left_at = now
