"""A cut answer with which another endpoint goes on: whether one may, and that it is asked. What is
kept for that is ``resuming.py``."""

from penstock.core.pool.pool import ROOM
from penstock.dataplane.board.layout import P_RESUMED
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.resuming import Resuming
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.pool.live_endpoint import LiveEndpoint, MovableStream
from penstock.dataplane.pool.served_models import most_tokens


class Continuation:
    """Of one answer, from its first token on. Nobody goes on since ``resuming`` is None."""

    _rest: bytes = b""  # the request for it, once another may be asked
    _answering: LiveEndpoint | None = None  # that knows of it, to have it moved

    def __init__(
        self,
        answer: MovableStream,
        dispatch: Dispatch,
        inspection: Inspection,
        resuming: Resuming,
    ) -> None:
        self.resuming: Resuming | None = resuming
        self._answer: MovableStream | None = answer
        self._dispatch: Dispatch = dispatch
        self._inspection: Inspection = inspection

    def tell(self, attempt: Attempt | None) -> None:
        """Have its endpoint know that it answers, where answers are moved; None: none does."""
        answer = self._answer
        if answer is None:
            return
        if self._answering is not None:
            self._answering.streams.discard(answer)
            self._answering = None
        if attempt is not None and attempt.endpoint.move_streams_s > 0.0:
            self._answering = attempt.endpoint
            attempt.endpoint.streams.add(answer)

    # --- as it passes -----------------------------------------------------------------------

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
        dispatch = self._dispatch
        inspection = self._inspection
        attempt.settle(outcome, dispatch.context.env.now)
        self.tell(None)
        dispatch.pool.counters.bump(P_RESUMED)
        resuming.begin_again()
        inspection.go_on_with(self._rest, resuming.rest_api())
        self._rest = b""
        dispatch.request = inspection.request
        dispatch.tries().tried = [attempt.endpoint]
        dispatch.pick_again()

    def end(self) -> None:
        """The exchange ended."""
        self.tell(None)
        self._answer = None
        if self.resuming is not None:
            self.resuming.end()
            self.resuming = None


def continuation_of(
    answer: MovableStream, dispatch: Dispatch, inspection: Inspection | None
) -> Continuation | None:
    """Of an answer whose first token came, where its pool has others go on with it."""
    pool = dispatch.pool
    settings = pool.spec.resume
    if settings is None or inspection is None:
        return None
    resuming = Resuming(settings, dispatch.context, pool.counters, inspection)
    made = Continuation(answer, dispatch, inspection, resuming)
    made.tell(dispatch.attempt)
    return made
