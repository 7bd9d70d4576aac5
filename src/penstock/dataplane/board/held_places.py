"""Places of limits on concurrent requests, as each worker has them: whoever gives out without
asking their owner sees what others have, so that none is given twice.

A worker writes what it has before it reads what others have, with a barrier between the two
(``fence``), as with endpoints' places: of two that take the last one at the same moment both may
give way, never none. What finds no room in the table is not seen (``ledger``).
"""

from typing import Final

from xxhash import xxh3_64_intdigest

from penstock.dataplane.board.fence import fence
from penstock.dataplane.board.layout import LEDGER_CELLS, LEDGER_PLACES, LG_PLACES, W_HAS_PLACES
from penstock.dataplane.board.ledger import find, own
from penstock.dataplane.board.memory import Board, as_cell

_MOST_HASHES: Final = 1024  # remembered


class HeldPlaces:
    """What one worker has, and what it sees of all others that have the board: those of a version
    before, that finish, too."""

    def __init__(self, board: Board, worker: int) -> None:
        self._board: Board = board
        self._worker: int = worker
        self._hashes: dict[tuple[str, str], int] = {}

    def hold(self, limit: str, subject: str, places: float) -> None:
        """This worker has so many, in use or not."""
        hashed = self._hash(limit, subject)
        at = find(self._board, self._worker, hashed)
        if at < 0 and places > 0.0:
            at = own(self._board, self._worker, hashed, sums=False)
            self._board.cells[self._board.worker(self._worker) + W_HAS_PLACES] = 1
        if at >= 0:
            self._board.cells[at + LG_PLACES] = round(max(places, 0.0))

    def others(self, limit: str, subject: str) -> float:
        """How many all other workers have, with what this one has told before."""
        fence()
        hashed = self._hash(limit, subject)
        cells = self._board.cells
        found = 0
        for worker in self._board.seen_workers():
            if worker != self._worker:
                at = find(self._board, worker, hashed)
                if at >= 0:
                    found += cells[at + LG_PLACES]
        return float(found)

    def _hash(self, limit: str, subject: str) -> int:
        key = (limit, subject)
        hashed = self._hashes.get(key, 0)
        if hashed == 0:
            if len(self._hashes) >= _MOST_HASHES:
                self._hashes.clear()
            named = f"{len(limit)}\0{limit}\0{subject}"
            hashed = self._hashes[key] = as_cell(xxh3_64_intdigest(named.encode()) or 1)
        return hashed


def forget_places(board: Board, worker: int) -> None:
    """It ended, and has none."""
    has_places = board.worker(worker) + W_HAS_PLACES
    if board.cells[has_places] == 0:
        return  # to clear what it never wrote would take memory for it
    board.cells[has_places] = 0
    first = board.ledger(worker)
    for place in range(LEDGER_PLACES):
        board.cells[first + place * LEDGER_CELLS + LG_PLACES] = 0
