"""A cut answer with which another endpoint goes on: whether one may, and that it is asked. What is
kept for that is ``resuming.py``."""

from typing import Final

from penstock.core.pool.pool import ROOM
from penstock.core.snapshot import Resume
from penstock.core.ticket import ABANDONED, DONE, GARBAGE
from penstock.dataplane.board.layout import P_RESUMED
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.resuming import Resuming
from penstock.dataplane.exchange.steady_owner import SteadyOwner
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.long_lived import MovableStream
from penstock.dataplane.pool.served_models import most_tokens
from penstock.wire.resume.token_ids import NO_WAY

_MOST_TEMPLATE_BYTES: Final = 16 * 1024 * 1024  # as much as a request's body may have


class Continuation(MovableStream):
    """Of one answer, from its first token on. Nobody goes on since ``resuming`` is None."""

    goes_on: bool = False  # another attempt is to go on, and has no token yet
    _rest: bytes = b""  # the request for it, once another may be asked
    _told: bytes = b""  # of the prompt that an engine makes of a chat
    _answering: LiveEndpoint | None = None  # that knows of it, to have it moved

    def __init__(
        self,
        owner: SteadyOwner,
        dispatch: Dispatch,
        inspection: Inspection,
        resuming: Resuming,
    ) -> None:
        self.resuming: Resuming | None = resuming
        self._owner: SteadyOwner | None = owner
        self._dispatch: Dispatch = dispatch
        self._inspection: Inspection = inspection

    def tell(self, attempt: Attempt | None) -> None:
        """Have its endpoint know that it answers, where answers are moved; None: none does."""
        if self._answering is not None:
            self._answering.long_lived.streams.discard(self)
            self._answering = None
        if attempt is not None and attempt.endpoint.long_lived.moves_streams:
            self._answering = attempt.endpoint
            attempt.endpoint.long_lived.streams.add(self)

    # --- as it passes -----------------------------------------------------------------------

    def tell_way(self, attempt: Attempt) -> None:
        """How its engine was asked to tell token ids."""
        if self.resuming is not None:
            ids = self._inspection.ids
            self.resuming.tell_way(ids.way_of(attempt.endpoint) if ids is not None else NO_WAY)

    def failure(self) -> str:
        """The error that the engine told in place of the rest; "" as long as there is none."""
        resuming = self.resuming
        return resuming.text.failure if resuming is not None else ""

    def let_be(self, resuming: Resuming) -> bytes:
        """Nobody goes on with it: it passes as it comes, and this first."""
        resuming.end()
        self.resuming = None
        return resuming.take_held_back()

    # --- when it is cut ---------------------------------------------------------------------

    def move(self) -> None:
        resuming = self.resuming
        owner = self._owner
        attempt = self._dispatch.attempt
        if resuming is None or owner is None or attempt is None:
            return
        if self.goes_on or attempt.is_settled() or resuming.text.finished:
            return
        resuming.counts = False  # it is asked again if nobody goes on now
        if self.is_possible(attempt):
            owner.break_off(attempt, ABANDONED, "its endpoint is leaving")
        resuming.counts = True

    def missing_end(self, resuming: Resuming, reading: AnswerReading | None) -> bytes | None:
        """What is left to be told of an answer that is whole; None of one that is not."""
        left = b""
        # Its end may have come, and be held until what follows it is known.
        if reading is not None and not reading.meter.failure and reading.meter.finish_reason:
            left = resuming.pass_on(reading.take_held(), False)
        end = resuming.missing_end()
        return left + end if end is not None else None

    def is_possible(self, attempt: Attempt) -> bool:
        """Whether another endpoint goes on; if so, the retry budget has been charged for it, and
        ``begin`` follows. Else ``resuming.why`` says why not."""
        resuming = self.resuming
        if resuming is None:
            return False
        if self._rest:
            return True
        dispatch = self._dispatch
        pool = dispatch.pool
        now = dispatch.context.env.now
        model = dispatch.request.model
        rest = resuming.request_for_rest(most_tokens(pool.spec, model))
        if not rest:
            return False
        tried = [attempt.endpoint]
        if 0.0 < dispatch.expires_at <= now:
            resuming.refuse("deadline", "its time is over")
        elif not pool.is_left(model, tried) or pool.room(dispatch.request, tried) != ROOM:
            resuming.refuse("no_endpoint", "no other endpoint is there for it")
        elif not pool.takes_retry(now):
            resuming.refuse("budget", "the pool's retry budget is used up")
        else:
            self._rest = rest
            return True
        return False

    def begin(self, resuming: Resuming, attempt: Attempt, outcome: int) -> None:
        """Settle the attempt that was cut, and ask another endpoint for the rest."""
        self.goes_on = True
        dispatch = self._dispatch
        inspection = self._inspection
        attempt.settle(outcome, dispatch.context.env.now)
        self.tell(None)
        dispatch.pool.counters.bump(P_RESUMED)
        resuming.begin_again()
        if not resuming.keeps_ids():
            inspection.ids = None
        inspection.go_on_with(self._rest, resuming.rest_api())
        self._rest = self._told = b""
        dispatch.request = inspection.request
        dispatch.tries().tried = [attempt.endpoint]
        dispatch.pick_again()

    def times(self) -> int:
        """How often another endpoint went on with it."""
        return self.resuming.made if self.resuming is not None else 0

    # --- by the prompt that an engine makes of a chat -------------------------------------------

    def awaits_template(self) -> bool:
        """Whether the attempt under way is to tell that, and no rest yet."""
        return self.resuming is not None and self.resuming.asks_template

    def takes_template(self, attempt: Attempt, data: bytes, complete: bool) -> bool:
        """Whether that is more of what it told. Once that is whole, the rest is asked for by it, of
        the same endpoint; where it is no prompt, another endpoint is asked for one."""
        owner = self._owner
        if owner is None or not self.awaits_template():
            return False
        self._told += data
        if complete or len(self._told) > _MOST_TEMPLATE_BYTES:
            told = self._told if complete else b""
            self._told = b""
            if not self._ask_by(told, attempt):
                owner.break_off(attempt, GARBAGE, "it does not tell the prompt of a chat")
        return True

    def _ask_by(self, told: bytes, attempt: Attempt) -> bool:
        resuming = self.resuming
        rest = resuming.take_template(told) if resuming is not None else b""
        if resuming is None or not rest:
            return False
        dispatch = self._dispatch
        inspection = self._inspection
        attempt.settle(DONE, dispatch.context.env.now)
        inspection.go_on_with(rest, resuming.rest_api())
        dispatch.request = inspection.request
        dispatch.attempt_number += 1
        dispatch.try_again_at(attempt.endpoint)
        return True

    def end(self) -> None:
        """The exchange ended."""
        self.tell(None)
        self._owner = None
        if self.resuming is not None:
            self.resuming.end()
            self.resuming = None


def continuation_of(
    owner: SteadyOwner,
    dispatch: Dispatch,
    inspection: Inspection | None,
    settings: Resume | None,
) -> Continuation | None:
    """Of an answer whose first token came, where others go on with it by those settings."""
    pool = dispatch.pool
    if settings is None or inspection is None:
        return None
    resuming = Resuming(settings, dispatch.context, pool.counters, inspection)
    made = Continuation(owner, dispatch, inspection, resuming)
    made.tell(dispatch.attempt)
    if dispatch.attempt is not None:
        made.tell_way(dispatch.attempt)
    return made
