"""Places of less important requests over all workers, for one that waits here.

Who would wait is called on the board. Each other worker answers whom it would have lose its place,
this one takes the best of these and of its own, and the worker that has it gives it up, if it has
no token yet even then. So one place is given up for one that waits, without a lock, and the worker
whose request lost it counts that. The place goes to whoever is first in line over all workers.

One call of a worker stands at a time. It is decided when all have answered, or ``_ANSWER_S`` after
it was made, with the next thing that happens here: a worker that hangs holds up others no longer.
"""

from collections import deque
from typing import Final

from mypy_extensions import trait

from penstock.core.admission.giving_way import Places
from penstock.core.admission.scheduler import QueueEntry
from penstock.core.admission.waiter import Waiter
from penstock.core.endpoint import Endpoint
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.place_calls import GIVEN, GONE, OFFERED, Call, Offer, PlaceCells
from penstock.dataplane.pool.live_endpoint import LiveEndpoint

_ANSWER_S: Final = 0.005
_GIVING_S: Final = 1.0  # until a worker that was told to give a place up is waited for no more
_KEPT_S: Final = 0.1  # as long as a place that was given up is left to whom it was given up for
_MOST_CALLS: Final = 3  # for one that waits, where what was offered was gone
_MOST_WANTED: Final = 256


@trait
class PlaceOwner:
    """The gate whose places they are."""

    def waits_for(self, waiter: Waiter) -> Places | None:
        """What one that waits has to get one of; None: it needs nobody's place."""
        raise NotImplementedError

    def least_of(self, importance: int, places: Places) -> Waiter | None:
        """Whom a request of this importance takes the place of."""
        raise NotImplementedError

    def give_up(self, waiter: Waiter) -> None:
        """Have it lose its place, and wait again."""
        raise NotImplementedError


class CalledPlaces(Places):
    """What a call of another worker says of places that are good for it."""

    def __init__(self, cells: PlaceCells, worker: int) -> None:
        super().__init__(None)
        self._cells: PlaceCells = cells
        self._worker: int = worker

    def has(self, endpoint: Endpoint) -> bool:
        return isinstance(endpoint, LiveEndpoint) and self._cells.is_called(
            self._worker, endpoint.row
        )


class PlaceCalls:
    """One worker's part."""

    def __init__(self, owner: PlaceOwner, board: Board, row: int, worker: int) -> None:
        self.cells: PlaceCells = PlaceCells(board, row, worker)
        self._owner: PlaceOwner = owner
        self._board: Board = board
        self._worker: int = worker
        self._wanted: deque[Waiter] = deque()
        self._current: Waiter | None = None  # for whom the call stands
        self._calls: int = 0  # made for it
        self._number: int = 0
        self._since: float = 0.0
        self._taken: int = -1  # the worker that was told to give a place up
        # Who gave its place up here, for which call, and until when that has time to use it.
        self._gave: Waiter | None = None
        self._gave_to: Call | None = None
        self._gave_until: float = 0.0

    def want(self, waiter: Waiter) -> None:
        """One that came waits, and may take another's place."""
        if len(self._wanted) < _MOST_WANTED:
            self._wanted.append(waiter)

    def withdraw(self) -> None:
        """The settings changed."""
        self._wanted.clear()
        self._end()

    # --- for those that wait here -----------------------------------------------------------

    def go_on(self, now: float) -> None:
        """Whatever can be done for those that want a place."""
        while True:
            waiter = self._current
            if waiter is None:
                if not self._wanted:
                    return
                self._call_for(self._wanted.popleft(), now)
            elif waiter.entry is None:
                self._end()  # it goes on, or its client left
            elif self._taken >= 0:
                if not self._was_given(waiter, now):
                    return
            elif not self._decide(waiter, now):
                return

    def _call_for(self, waiter: Waiter, now: float) -> None:
        places = self._owner.waits_for(waiter) if waiter.entry is not None else None
        if places is None:
            self._calls = 0
            return
        usable = places.usable
        rows = (
            [each.row for each in usable if isinstance(each, LiveEndpoint)]
            if usable is not None
            else None
        )
        self._current = waiter
        self._since = now
        self._number = max(self._number + 1, int(now * 1e6))  # no number of a dead worker before it
        self._calls += 1
        self.cells.open(self._number, waiter.importance, rows)
        for worker in self.cells.others():
            self._board.wakers.wake(worker)

    def _decide(self, waiter: Waiter, now: float) -> bool:
        """Take the best of what was offered; False while answers are waited for."""
        best: Offer | None = None
        silent = 0
        for worker in self.cells.others():
            offer = self.cells.offer_of(worker)
            if offer is None:
                silent += 1
            elif offer.importance > waiter.importance and (
                best is None or offer.yields_before(best)
            ):
                best = offer
        if silent > 0 and now - self._since < _ANSWER_S:
            return False
        places = self._owner.waits_for(waiter)
        if places is None:
            self._end()
            return True
        own = self._owner.least_of(waiter.importance, places)
        if own is not None and (best is None or _as_offer(own, self._worker).yields_before(best)):
            self._end()
            self._owner.give_up(own)
        elif best is not None:
            self._taken = best.worker
            self.cells.take(best.worker)
            self._board.wakers.wake(best.worker)
            return False
        else:
            self._end()
            self._forget_like(waiter)
        return True

    def _forget_like(self, waiter: Waiter) -> None:
        """Nobody gives way to it: to those that came after it and are no more important neither."""
        self._wanted = deque(
            [
                other
                for other in self._wanted
                if other.needs != waiter.needs or other.importance < waiter.importance
            ]
        )

    def _was_given(self, waiter: Waiter, now: float) -> bool:
        """Whether what was taken came, or does not come any more."""
        offer = self.cells.offer_of(self._taken)
        if offer is not None and offer.state != GONE:
            # A call stands until the place is used, and that place is kept meanwhile.
            patience_s = _GIVING_S if offer.state == OFFERED else _KEPT_S
            if now - self._since < patience_s:
                return False
        again = offer is not None and offer.state == GONE and self._calls < _MOST_CALLS
        calls = self._calls
        self._end()
        if again:
            self._calls = calls
            self._wanted.appendleft(waiter)
        return True

    def _end(self) -> None:
        self._current = None
        self._calls = 0
        self._taken = -1
        self.cells.close()

    # --- for those that wait elsewhere ------------------------------------------------------

    def answer(self, now: float) -> None:
        """What other workers call for: say what would be given up, and give up what was taken."""
        for worker in self.cells.others():
            call = self.cells.call_of(worker)
            if call is None:
                continue
            state = self.cells.answered(call)
            if state == -1:
                chosen = self._least_for(call)
                offer = Offer(self._worker, 0, 0, 0)
                if chosen is not None:
                    offer = _as_offer(chosen, self._worker)
                self.cells.offer(call, offer)
                self._board.wakers.wake(worker)
            elif state == OFFERED and call.takes == self._worker:
                self._give(call, now)

    def _give(self, call: Call, now: float) -> None:
        chosen = self._least_for(call)
        if chosen is None:
            self.cells.settle(call, GONE)
        else:
            self.cells.settle(call, GIVEN)
            self._gave = chosen
            self._gave_to = call
            self._gave_until = now + _KEPT_S
            self._owner.give_up(chosen)
        self._board.wakers.wake(call.worker)

    def _least_for(self, call: Call) -> Waiter | None:
        return self._owner.least_of(call.importance, CalledPlaces(self.cells, call.worker))

    def is_kept_from(self, entry: QueueEntry, now: float) -> bool:
        """Whether one that waits here has given its place to another, who had no time to use it:
        those that need other things are in no line with it, and would not go first."""
        gave = self._gave
        given_to = self._gave_to
        if gave is None or given_to is None:
            return False
        call = self.cells.call_of(given_to.worker)
        if now >= self._gave_until or call is None or call.number != given_to.number:
            self._gave = None
            return False
        return entry is gave.entry


def _as_offer(waiter: Waiter, worker: int) -> Offer:
    return Offer(
        worker,
        waiter.importance,
        round(waiter.counter * 1000.0),
        round(waiter.admitted_at * 1e6),
    )
