"""The queues of all workers for one pool as one: whose turn it is, and who has to be woken.

Each worker shows the heads of its queue on the board. Who has a head and room for it takes the
place if no head of another worker that needs the same goes before it; else it wakes that worker
and leaves the place. Whoever frees a place while others wait wakes the first of them. Places are
counted, not passed: that two take the last one is found out by ``LiveEndpoint.is_overfull``,
whatever the order was, so the bound of an endpoint depends on nothing here.

A worker that left a place for another's head and finds it free ``_YIELD_S`` later passes over that
head from then on: one that cannot use it (its circuit breaker is open, it hangs, it died) holds up
nobody for longer.
"""

from typing import Final

from penstock.core.admission.lines import Rank
from penstock.core.admission.queue import AdmissionQueue
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.queue_heads import Head, QueueHeads

_YIELD_S: Final = 0.1  # a worker that a processor serves answers within a few milliseconds
_MOST_KNOWN: Final = 256


class _Left:
    """A place was left for this head."""

    def __init__(self, head: Head, at: float) -> None:
        self.head: Head = head
        self.at: float = at


class SharedQueue:
    """One worker's part."""

    def __init__(self, queue: AdmissionQueue, board: Board, row: int, worker: int) -> None:
        self.heads: QueueHeads = QueueHeads(board, row, worker)
        self.shown: int = 0  # heads
        self.queue: AdmissionQueue = queue
        self._board: Board = board
        self._worker: int = worker
        # By worker and need: for whom a place was left, and heads that did not use theirs.
        self._left: dict[tuple[int, int], _Left] = {}
        self._unable: dict[tuple[int, int], Head] = {}

    def show(self, now: float) -> bool:
        """Show who goes on next here; True when others have to be told that somebody waits."""
        before = self.shown
        if self.queue.length == 0:
            if before:
                self.heads.clear()
                self.shown = 0
            return False
        self.shown = self.heads.show(self.queue.ranked(now))
        return before == 0

    def wake_all(self) -> None:
        """Somebody waits here, after nobody did."""
        board = self._board
        for worker in range(board.first_index, board.end_index):
            if worker != self._worker:
                board.wakers.wake(worker)

    def goes_first(self, rank: Rank, now: float) -> bool:
        """Whether one that waits here takes the place that it has found; who goes before it
        elsewhere is woken."""
        own = self.heads.head_of(rank)
        best: Head | None = None
        for head in self.heads.others():
            if head.needs != own.needs or not head.goes_before(own):
                continue
            if self._is_unable(head, now):
                continue
            if best is None or head.goes_before(best):
                best = head
        if best is None:
            return True
        key = (best.worker, best.needs)
        known = self._left.get(key)
        if known is None or not known.head.is_same(best):
            self._left[key] = _Left(best, now)
            self._board.wakers.wake(best.worker)
        return False

    def no_room(self) -> None:
        """The places that were left for others are taken."""
        if self._left:
            self._left.clear()

    def _is_unable(self, head: Head, now: float) -> bool:
        """Whether a place was left for it, long enough, and it did not take it."""
        key = (head.worker, head.needs)
        unable = self._unable.get(key)
        if unable is not None and unable.is_same(head):
            return True
        left = self._left.get(key)
        if left is None or not left.head.is_same(head) or now - left.at <= _YIELD_S:
            return False
        if len(self._unable) >= _MOST_KNOWN:
            self._unable.clear()
        self._unable[key] = head
        return True

    def waits_elsewhere(self, needs: str, importance: int) -> bool:
        """Whether one as important as this waits elsewhere for the same."""
        hashed = self.heads.hash_of(needs)
        for head in self.heads.others():
            if head.needs == hashed and head.importance <= importance:
                return True
        return False

    def wake_first(self) -> bool:
        """A place is free: wake who goes first of each need. False when nobody waits elsewhere."""
        firsts: dict[int, Head] = {}
        for head in self.heads.others():
            known = firsts.get(head.needs)
            if known is None or head.goes_before(known):
                firsts[head.needs] = head
        for worker in {head.worker for head in firsts.values()}:
            self._board.wakers.wake(worker)
        return len(firsts) > 0
