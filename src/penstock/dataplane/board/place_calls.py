"""Calls for a place: one worker says for whom it wants one, others what they would give up for it.

A call stands in cells of the worker that calls, an offer in those of the worker that makes it. What
both go by, the call's number, is written last.
"""

from typing import Final

from penstock.dataplane.board.layout import (
    CALLED_CELLS,
    OF_CALL,
    OF_COUNTER,
    OF_IMPORTANCE,
    OF_SINCE_US,
    OF_STATE,
    OFFER_CELLS,
    OFFERS,
    Q_CALL,
    Q_CALL_IMPORTANCE,
    Q_CALL_TAKES,
    Q_CALLED,
    Q_OFFERS,
)
from penstock.dataplane.board.memory import Board

OFFERED: Final = 0
GIVEN: Final = 1
GONE: Final = 2  # it had its first token meanwhile

_BITS: Final = 62  # of a cell: an unboxed number in compiled code
_ALL: Final = (1 << _BITS) - 1
_NUMBERS: Final = 1 << 40


class Call:
    """What another worker wants a place for."""

    def __init__(self, worker: int, number: int, importance: int, takes: int) -> None:
        self.worker: int = worker
        self.number: int = number
        self.importance: int = importance
        self.takes: int = takes  # the worker whose offer is taken; -1: that is not decided


class Offer:
    """Who would lose its place, as worker ``worker`` has it; ``importance`` 0: nobody."""

    def __init__(
        self, worker: int, importance: int, counter: int, since_us: int, state: int = OFFERED
    ) -> None:
        self.worker: int = worker
        self.importance: int = importance
        self.counter: int = counter  # its tenant's, x 1000
        self.since_us: int = since_us  # that it has had the place
        self.state: int = state

    def yields_before(self, other: "Offer") -> bool:
        """As ``core.admission.preemption`` has it; workers' numbers decide between equals."""
        if self.importance != other.importance:
            return self.importance > other.importance
        if self.counter != other.counter:
            return self.counter > other.counter
        if self.since_us != other.since_us:
            return self.since_us > other.since_us
        return self.worker < other.worker


class PlaceCells:
    """Of one pool, as seen by one worker."""

    def __init__(self, board: Board, row: int, worker: int) -> None:
        self._board: Board = board
        self._cells: memoryview = board.cells
        self._row: int = row
        self._worker: int = worker
        self._own_at: int = board.queue(row, worker)
        self.close()

    def others(self) -> list[int]:
        """The other workers that run."""
        board = self._board
        return [
            worker for worker in range(board.first_index, board.end_index) if worker != self._worker
        ]

    # --- the own call -----------------------------------------------------------------------

    def open(self, number: int, importance: int, rows: list[int] | None) -> None:
        """Call for a place at an endpoint in one of these rows; None: at any."""
        cells = self._cells
        at = self._own_at
        bits = [_ALL if rows is None else 0] * CALLED_CELLS
        if rows is not None:
            for row in rows:
                place = row % (CALLED_CELLS * _BITS)
                bits[place // _BITS] |= 1 << place % _BITS
        for each in range(CALLED_CELLS):
            cells[at + Q_CALLED + each] = bits[each]
        cells[at + Q_CALL_IMPORTANCE] = importance
        cells[at + Q_CALL_TAKES] = 0
        cells[at + Q_CALL] = number % _NUMBERS + 1

    def take(self, worker: int) -> None:
        """That worker is to give up what it offered."""
        self._cells[self._own_at + Q_CALL_TAKES] = worker + 1

    def close(self) -> None:
        """No place is wanted any more."""
        self._cells[self._own_at + Q_CALL] = 0

    def offer_of(self, worker: int) -> Offer | None:
        """What that worker said to the own call; None: nothing yet."""
        cells = self._cells
        at = self._offer_at(worker, self._worker)
        if cells[at + OF_CALL] != self._told(self._worker, cells[self._own_at + Q_CALL]):
            return None
        return Offer(
            worker,
            cells[at + OF_IMPORTANCE],
            cells[at + OF_COUNTER],
            cells[at + OF_SINCE_US],
            cells[at + OF_STATE],
        )

    # --- calls of others --------------------------------------------------------------------

    def call_of(self, worker: int) -> Call | None:
        """What that worker calls for."""
        cells = self._cells
        at = self._board.queue(self._row, worker)
        number = cells[at + Q_CALL]
        if number == 0:
            return None
        takes = cells[at + Q_CALL_TAKES] - 1
        return Call(worker, number, cells[at + Q_CALL_IMPORTANCE], takes)

    def is_called(self, worker: int, row: int) -> bool:
        """Whether a place at the endpoint in that row is good for what that worker calls for."""
        place = row % (CALLED_CELLS * _BITS)
        at = self._board.queue(self._row, worker) + Q_CALLED
        return bool(self._cells[at + place // _BITS] >> place % _BITS & 1)

    def answered(self, call: Call) -> int:
        """How the own offer to that call stands; -1: it was not answered."""
        at = self._offer_at(self._worker, call.worker)
        if self._cells[at + OF_CALL] != self._told(call.worker, call.number):
            return -1
        state: int = self._cells[at + OF_STATE]
        return state

    def offer(self, call: Call, offer: Offer) -> None:
        """Say to that call who would lose its place here."""
        cells = self._cells
        at = self._offer_at(self._worker, call.worker)
        cells[at + OF_CALL] = 0
        cells[at + OF_IMPORTANCE] = offer.importance
        cells[at + OF_COUNTER] = offer.counter
        cells[at + OF_SINCE_US] = offer.since_us
        cells[at + OF_STATE] = offer.state
        cells[at + OF_CALL] = self._told(call.worker, call.number)

    def settle(self, call: Call, state: int) -> None:
        """What was offered is GIVEN or GONE."""
        self._cells[self._offer_at(self._worker, call.worker) + OF_STATE] = state

    def _offer_at(self, worker: int, caller: int) -> int:
        """Workers whose numbers are the same modulo OFFERS share a slot: who finds another's
        answer there has none."""
        return self._board.queue(self._row, worker) + Q_OFFERS + caller % OFFERS * OFFER_CELLS

    def _told(self, caller: int, number: int) -> int:
        """A call as offers name it."""
        return number << 16 | caller
