"""A bounded queue of requests with deadlines, priorities, and endpoints that each can use.

Requests that can use the same endpoints wait in one line, so one that waits for a busy model does
not delay one that waits for another. More important requests leave first. Equally important ones
leave in order of arrival, or newest first while the queue is over ``lifo_above`` of its capacity:
under overload, the newest are those whose clients still wait (adaptive LIFO; B. Maurer, "Fail at
scale", ACM Queue 2015).

A request that cannot be served by its deadline at the recent pace is turned away at once. When the
queue is full, the newest of the least important requests gives way to a more important one, and the
newest of the longest line to one of a shorter line. With CoDel, requests that waited too long are
dropped when they would leave.

O(log n) per request, and O(lines) to find which one leaves next.
"""

from collections import deque
from heapq import heappop, heappush
from math import inf
from typing import Final

from penstock.core.admission.codel import CoDel
from penstock.core.admission.scheduler import QueueEntry, Scheduler

_PACE_SAMPLES: Final = 20.0  # that the mean pace is taken over
_FEWEST_SWEPT: Final = 64
_MOST_FLOWS: Final = 256  # remembered while nobody waits in them


class _Line:
    """Those of one importance that can use the same, in order. Some of them may have left."""

    def __init__(self, importance: int, needs: str) -> None:
        self.importance: int = importance
        self.needs: str = needs
        self.length: int = 0  # without those that left
        self._entries: deque[QueueEntry] = deque()

    def join(self, entry: QueueEntry) -> None:
        """By its number: one that comes back is before those that came after it."""
        line = self._entries
        at = len(line)
        while at > 0 and line[at - 1].number > entry.number:
            at -= 1
        if at == len(line):
            line.append(entry)
        elif at == 0:
            line.appendleft(entry)
        else:
            line.insert(at, entry)
        self.length += 1

    def first(self) -> QueueEntry:
        """The oldest. There must be one."""
        line = self._entries
        while not line[0].queued:
            line.popleft()
        return line[0]

    def last(self) -> QueueEntry:
        """The newest. There must be one."""
        line = self._entries
        while not line[-1].queued:
            line.pop()
        return line[-1]

    def forget_those_that_left(self) -> None:
        self._entries = deque([entry for entry in self._entries if entry.queued])


class _Flow:
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


class AdmissionQueue(Scheduler):
    """Holds requests until they may go on. Times are seconds on any monotonic clock."""

    def __init__(
        self, capacity: int, *, lifo_above: float = 1.0, codel: CoDel | None = None
    ) -> None:
        self._capacity: int = capacity
        # At 1 never, not even when some have come back to a full queue.
        self._lifo_above: float = lifo_above * capacity if lifo_above < 1.0 else inf
        self._codel: CoDel | None = codel
        self._lines: dict[tuple[int, str], _Line] = {}  # none is empty
        self._flows: dict[str, _Flow] = {}  # by what is needed
        self._deadlines: list[tuple[float, int, QueueEntry]] = []  # a heap, may hold some that left
        self._pushed: int = 0
        self._number: int = 0
        self._turned_away: list[QueueEntry] = []
        self.length: int = 0

    def waiting(self) -> int:
        return self.length

    def freed(self, now: float) -> None:
        """Nothing changes here: who is next does not depend on places, and the gate asks anew."""

    def push(self, entry: QueueEntry, now: float, *, kept: bool = False) -> QueueEntry | None:
        gives_way: QueueEntry | None = None
        if entry.number == 0 and not kept:
            if now + self.expected_wait_s(entry.importance, entry.needs) > entry.deadline:
                return entry
            if self.length >= self._capacity:
                gives_way = self._who_gives_way(entry)
                if gives_way is entry:
                    return entry
                self.remove(gives_way)
        if entry.queued_at == 0.0:
            entry.queued_at = now
        if entry.number == 0:
            self._number += 1
            entry.number = self._number
        self._join(entry)
        return gives_way

    def next_in_line(self) -> list[QueueEntry]:
        """Who may go on next, best first: one of each line, for what the first need may be full."""
        newest = self.length > self._lifo_above
        found = [line.last() if newest else line.first() for line in self._lines.values()]
        if len(found) > 1:
            found.sort(key=lambda each: (each.importance, -each.number if newest else each.number))
        return found

    def take(self, entry: QueueEntry, now: float) -> bool:
        """Take one out to be served; False when its deadline has passed or CoDel drops it, and it
        is among those turned away."""
        flow = self._flows[entry.needs]
        self._leave(entry)
        codel = flow.codel
        late = entry.deadline < now
        if late or (
            codel is not None and codel.drops(now - entry.queued_at, now, flow.length == 0)
        ):
            self._turned_away.append(entry)
            return False
        return True

    def served(self, needs: str, now: float) -> None:
        """One that was taken out is being served: the pace follows."""
        flow = self._flows.get(needs)
        if flow is not None:
            flow.served(now)

    def remove(self, entry: QueueEntry) -> bool:
        """Take one out whose client left; False when it does not wait here any more."""
        if not entry.queued:
            return False
        self._leave(entry)
        return True

    def remove_all(self) -> list[QueueEntry]:
        """Empty the queue; the most important first, and equals in order."""
        found = [each for _, _, each in self._deadlines if each.queued]
        found.sort(key=lambda each: (each.importance, each.number))
        for entry in found:
            entry.queued = False
        self._lines = {}
        self._flows = {}
        self._deadlines = []
        self.length = 0
        return found

    def turned_away(self, now: float) -> list[QueueEntry]:
        """Those whose deadline has passed or whom CoDel dropped, since this was last asked."""
        while self._deadlines and (self._deadlines[0][0] < now or not self._deadlines[0][2].queued):
            entry = heappop(self._deadlines)[2]
            if entry.queued:
                self._leave(entry)
                self._turned_away.append(entry)
        turned_away = self._turned_away
        if turned_away:
            self._turned_away = []
        return turned_away

    def expected_wait_s(self, importance: int = 0, needs: str = "") -> float:
        """How long one of this importance that needs this would wait at the pace of late."""
        flow = self._flows.get(needs)
        if flow is None or flow.pace_s == 0.0:
            return 0.0
        ahead = 0
        for line in self._lines.values():
            if line.importance <= importance and line.needs == needs:
                ahead += line.length
        return ahead * flow.pace_s

    def waits_before(self, importance: int, needs: str) -> bool:
        """Whether one waits that needs the same and is as important."""
        for line in self._lines.values():
            if line.importance <= importance and line.needs == needs:
                return True
        return False

    def _join(self, entry: QueueEntry) -> None:
        entry.queued = True
        key = (entry.importance, entry.needs)
        line = self._lines.get(key)
        if line is None:
            line = _Line(entry.importance, entry.needs)
            self._lines[key] = line
        line.join(entry)
        flow = self._flows.get(entry.needs)
        if flow is None:
            flow = _Flow(self._codel.another() if self._codel is not None else None)
            self._flows[entry.needs] = flow
        flow.join()
        self._pushed += 1
        heappush(self._deadlines, (entry.deadline, self._pushed, entry))
        self.length += 1

    def _leave(self, entry: QueueEntry) -> None:
        entry.queued = False
        self.length -= 1
        key = (entry.importance, entry.needs)
        line = self._lines[key]
        line.length -= 1
        if line.length == 0:
            del self._lines[key]
        self._flows[entry.needs].length -= 1
        if len(self._deadlines) > 2 * self.length + _FEWEST_SWEPT:
            self._sweep()

    def _sweep(self) -> None:
        """Forget those that left; they are at most half of what is kept, so this is O(1) each."""
        self._deadlines = [timed for timed in self._deadlines if timed[2].queued]
        self._deadlines.sort()
        for line in self._lines.values():
            line.forget_those_that_left()
        if len(self._flows) > _MOST_FLOWS:
            self._flows = {needs: flow for needs, flow in self._flows.items() if flow.length > 0}

    def _who_gives_way(self, newcomer: QueueEntry) -> QueueEntry:
        """Of the longest line of the least important the newest, unless the newcomer is less
        important still, or equally and of a line that is as long."""
        longest: _Line | None = None
        for line in self._lines.values():
            if longest is None or (line.importance, line.length) > (
                longest.importance,
                longest.length,
            ):
                longest = line
        if longest is None or longest.importance < newcomer.importance:
            return newcomer
        if longest.importance == newcomer.importance:
            own = self._lines.get((newcomer.importance, newcomer.needs))
            if longest.length <= (own.length if own is not None else 0) + 1:
                return newcomer
        return longest.last()
