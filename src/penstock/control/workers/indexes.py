"""Which worker indexes of a board are whose, while supervisors follow each other on it.

A board has twice as many as there are workers. Those of an upgrade take the half that is free; the
old ones keep theirs until they have finished. What workers count at present is summed over all that
run, so that limits hold over both; when the old ones are gone, theirs are summed no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from penstock.control.workers.ended import forget_running
from penstock.control.workers.takeover import Process, is_running
from penstock.dataplane.board.memory import Board

HALVES: Final = 2


@dataclass
class Leaving:
    """Workers of another supervisor, which finish what they have."""

    first: int
    end: int
    processes: tuple[Process, ...]


class WorkerIndexes:
    """``first`` up to, without, ``end`` are our own."""

    def __init__(self, board: Board, first: int, workers: int) -> None:
        self.first = first
        self.end = first + workers
        self._board = board
        self._leaving: list[Leaving] = []
        self._lent: tuple[int, int] | None = None

    @property
    def leaving(self) -> list[Leaving]:
        """Of predecessors that have not finished yet."""
        return list(self._leaving)

    def counted(self) -> tuple[int, int]:
        """From the first up to, without, the last index that counts at present."""
        ranges = [(self.first, self.end), *((each.first, each.end) for each in self._leaving)]
        if self._lent is not None:
            ranges.append(self._lent)
        return min(first for first, _ in ranges), max(end for _, end in ranges)

    def lend(self, workers: int) -> tuple[int, int] | None:
        """Indexes for a successor's workers; None where not so many are free."""
        taken = [(self.first, self.end), *((each.first, each.end) for each in self._leaving)]
        for first in range(self._board.workers - workers + 1):
            if all(first + workers <= begin or first >= end for begin, end in taken):
                self._lent = (first, first + workers)
                return self._lent
        return None

    def came_to_nothing(self, processes: Sequence[Process]) -> tuple[int, int] | None:
        """The successor is dead; its workers, if there are any left, finish. What it was lent."""
        lent = self._lent
        if lent is not None:
            self._leaving.append(Leaving(*lent, tuple(processes)))
            self._lent = None
        return lent

    def inherit(self, leaving: Sequence[Leaving]) -> None:
        """Those that run beside ours: a predecessor's, and those that it inherited."""
        self._leaving += leaving

    def are_now(self, before: Sequence[Process], now: Sequence[Process]) -> None:
        """Some of these processes may have been restarted meanwhile."""
        for each in self._leaving:
            if each.processes == tuple(before):
                each.processes = tuple(now)

    def look(self) -> bool:
        """Forget what those count who are gone by now; whether that changed what is counted."""
        gone = [each for each in self._leaving if not any(map(is_running, each.processes))]
        for each in gone:
            self._leaving.remove(each)
            for index in range(each.first, each.end):
                forget_running(self._board, index)
        return bool(gone)
