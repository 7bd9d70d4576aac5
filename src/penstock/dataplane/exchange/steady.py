"""An answer whose attempts are watched: until its first token another endpoint can be asked in
place of the first, or beside it, while the client hears nothing; from then on its tokens are timed.

Made only where the pool says so, and where the request may be repeated. Streamed answers of
language models are held back until their first token. They come without framing, which is put on
here when it is known which attempt answers. Of all other answers the first byte counts.
"""

from typing import Final

from penstock.core.snapshot import Resume
from penstock.core.ticket import ABANDONED, DONE, GARBAGE, TIMEOUT
from penstock.dataplane.board.layout import P_LATE_TOKENS
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answer_handling import AnswerHandling
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.continuation import Continuation, continuation_of
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.failover import streams_harmlessly
from penstock.dataplane.exchange.first_token import FirstToken
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.held_answer import HeldAnswer
from penstock.dataplane.exchange.id_wishes import wishes_of
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.passing_answer import PassingAnswer
from penstock.dataplane.exchange.steady_owner import SteadyOwner
from penstock.dataplane.exchange.token_alarm import TokenAlarm, TokenAwaiter
from penstock.dataplane.exchange.two_at_once import TwoAtOnce, count_vain
from penstock.dataplane.exchange.yielding import Yielding
from penstock.dataplane.llm.answer_reading import streams_events, streams_lines
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.http1 import ResponseHead

_SOON_S: Final = 1.0  # when the client is looked at again that takes nothing
_ERRORS: Final = 400  # statuses from here on are no answer, as long as another may come


class SteadyAnswer(TokenAwaiter, Yielding):
    """Of one exchange."""

    spoke: bool = False  # an attempt of it goes to the client
    _passing: PassingAnswer | None = None  # of which the client has something, and which was held
    why_cut: str = ""  # nobody goes on with the answer that was cut
    _continuation: Continuation | None = None

    def __init__(
        self,
        context: Context,
        owner: SteadyOwner,
        front: Front,
        body: RequestBody,
        dispatch: Dispatch,
        inspection: Inspection | None,
        plan: PoolPlan,
    ) -> None:
        self._context: Context = context
        self._owner: SteadyOwner | None = owner
        self._front: Front = front
        self._inspection: Inspection | None = inspection
        self._alarm: TokenAlarm = TokenAlarm(
            self, context.loop, dispatch.pool.spec.timeouts.token_s
        )
        self._dispatch: Dispatch = dispatch
        self._body: RequestBody = body
        self._generates: bool = streams_harmlessly(plan, inspection)  # of a language model
        # As they were when ids were asked for: a reload must not show those to the client.
        self._resume: Resume | None = dispatch.pool.spec.resume
        if self._generates and inspection is not None and dispatch.pool.asks_ids:
            inspection.ids = wishes_of(inspection.prompt)
        self._held: dict[Attempt, HeldAnswer] = {}
        # What goes on from an answer that one endpoint has can be asked of no other.
        bound = dispatch.request.continues != 0
        rules = dispatch.pool.hedge if not bound else None
        self._two: TwoAtOnce | None = None
        if rules is not None:
            self._two = TwoAtOnce(rules, dispatch, body, inspection)
        first_token_s = plan.first_token_s
        within_s = first_token_s if self._generates and not bound else 0.0
        self._first: FirstToken = FirstToken(dispatch, first_token_s, within_s)

    # --- before the first token -------------------------------------------------------------

    def begin(self, attempt: Attempt, now: float) -> None:
        """An attempt begins."""
        two = self._two
        if self.spoke or (two is not None and two.other is not None):
            return  # it is the second of two, or goes on
        self._first.begin(now)
        if two is not None:
            two.begin(attempt, now)
        self._set_alarm()

    def _set_alarm(self) -> None:
        at = self._first.due_at
        two = self._two
        if two is not None and two.ask_at > 0.0 and (at == 0.0 or two.ask_at < at):
            at = two.ask_at
        self._alarm.ring_at(at)

    def keeps(self, attempt: Attempt, head: ResponseHead) -> bool:
        """Whether an answer with that head is held until its first token."""
        going_on = self._continuation
        if going_on is not None and going_on.awaits_template():
            return head.status < _ERRORS
        inspection = self._inspection
        prompt = inspection.prompt if inspection is not None else None
        if prompt is not None and prompt.tells_lines():
            return self._generates and streams_lines(head)
        return self._generates and streams_events(head)

    def hold(self, attempt: Attempt, handling: AnswerHandling) -> None:
        """It is, from here on."""
        handling.frame_bare()
        self._held[attempt] = HeldAnswer(handling)

    def holds(self, attempt: Attempt) -> bool:
        return attempt in self._held

    def forget(self, attempt: Attempt) -> bool:
        """It failed; whether some of its answer was held, of which the client got nothing."""
        return self._held.pop(attempt, None) is not None

    def on_head(self, attempt: Attempt, body: bytes, complete: bool) -> None:
        """The head of an answer that is held came, with what of the body came along."""
        held = self._held.get(attempt)
        owner = self._owner
        if held is None or owner is None:
            return
        if self._is_template(attempt, body, complete):
            return
        handling = held.handling
        if not owner.passes_on(handling, attempt, body, complete):
            return
        self._hold_more(attempt, held, handling.begin(body, complete), complete, handling.broken)

    def on_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        """More of it."""
        held = self._held.get(attempt)
        if held is None or self._is_template(attempt, data, complete):
            return
        broken = ""
        stages = held.handling.stages
        if stages is not None:
            data = stages.pass_on(data, complete, self._context.env.now)
            broken = stages.broken
        self._hold_more(attempt, held, data, complete, broken)

    def _hold_more(
        self, attempt: Attempt, held: HeldAnswer, data: bytes, complete: bool, broken: str
    ) -> None:
        held.keep(data, complete)
        owner = self._owner
        if owner is None:
            return
        if not broken and held.has_token():
            self._speak(owner, attempt, held, broken)
        elif (broken or complete) and self._is_one_of_two():
            attempt.give_up()
            self.lose(attempt, GARBAGE if broken else DONE)
        elif broken or complete:
            self._speak(owner, attempt, held, broken)

    def _speak(self, owner: SteadyOwner, attempt: Attempt, held: HeldAnswer, broken: str) -> None:
        if self.spoke:
            self._go_on(owner, attempt, held, broken)
            return
        self.win(attempt)
        held.handling.renew_cookie()
        in_chunks = self._front.frame(held.handling.head, True)
        self._continuation = continuation_of(owner, self._dispatch, self._inspection, self._resume)
        data = held.take()
        resuming = self._continuation.resuming if self._continuation is not None else None
        complete = held.complete
        if resuming is not None:
            data = resuming.pass_on(data, complete)
            complete = complete and not resuming.is_failing()
        now = self._context.env.now
        passing = self._passing = PassingAnswer(self._alarm, held, now, in_chunks=in_chunks)
        data = passing.framed(data, complete)
        owner.begin_answer(attempt, held.handling, data, complete, broken)
        if resuming is not None and resuming.is_failing():
            owner.pass_body(attempt, b"", held.complete)

    def _go_on(self, owner: SteadyOwner, attempt: Attempt, held: HeldAnswer, broken: str) -> None:
        """Its first token, or its end, is that of the rest of an answer."""
        self._held = {}
        continuation = self._continuation
        passing = self._passing
        if continuation is None or passing is None:
            return
        continuation.goes_on = False
        passing.go_on(held, self._context.env.now)
        if broken:
            owner.break_off(attempt, GARBAGE, broken)
            return
        reading = held.reading()
        if reading is not None and continuation.resuming is not None:
            reading.go_on_from(continuation.resuming.answered(), passing.began)
        continuation.tell(attempt)
        continuation.tell_way(attempt)
        owner.take_over(held.handling)
        data = held.take()
        owner.pass_body(attempt, data, held.complete)

    # --- its place is wanted -----------------------------------------------------------------

    def may_yield(self) -> bool:
        body = self._body
        return (
            self._generates
            and not self.spoke
            and not self._is_one_of_two()
            and body.complete
            and body.replayable
        )

    def yield_place(self) -> None:
        self._held = {}
        self._first.due_at = 0.0
        self._alarm.ring_at(0.0)
        if self._two is not None:
            self._two.ask_at = 0.0
        attempt = self._dispatch.attempt
        if attempt is not None:
            if attempt.sent:
                count_vain(self._dispatch, attempt)
            attempt.give_up()
            attempt.settle(ABANDONED, self._context.env.now)

    # --- two at once ------------------------------------------------------------------------

    def is_answer(self, attempt: Attempt, head: ResponseHead) -> bool:
        """Whether an answer with that head, which is not held, goes to the client. One that tells
        an error does not as long as another may come."""
        if not self._is_one_of_two():
            return True
        if head.status < _ERRORS:
            self.win(attempt)
            return True
        attempt.give_up()
        self.lose(attempt, DONE)
        return False

    def runs_beside(self, attempt: Attempt) -> bool:
        """Whether another attempt runs, so that the end of this one is not the answer's."""
        return self._is_one_of_two() and not self.spoke

    def _is_one_of_two(self) -> bool:
        return self._two is not None and self._two.other is not None

    def lose(self, attempt: Attempt, outcome: int) -> None:
        """Of two this one ended without an answer; the other goes on alone."""
        dispatch = self._dispatch
        attempt.settle(outcome, self._context.env.now)
        self._held.pop(attempt, None)
        dispatch.tries().tried.append(attempt.endpoint)
        if self._two is not None:
            self._two.lose(attempt)

    def win(self, attempt: Attempt) -> None:
        """The client gets the answer of this one; the other is given up at once."""
        self.spoke = True
        self._first.due_at = 0.0
        self._alarm.ring_at(0.0)
        self._held = {}
        waiter = self._dispatch.waiter
        if waiter is not None and waiter.gate is not None:
            waiter.gate.begun(waiter)
        if self._two is not None:
            self._two.win(attempt, attempt.ticket.status < _ERRORS, self._context.env.now)

    def give_up(self, outcome: int) -> None:
        """The exchange ends: what runs beside the dispatch's own attempt is stopped as well."""
        if self._two is not None:
            self._two.give_up(outcome, self._context.env.now)

    # --- from then on -----------------------------------------------------------------------

    def follow(self, attempt: Attempt, data: bytes, complete: bool) -> bytes:
        """What goes to the client for the next bytes of the answer that it gets."""
        passing = self._passing
        if passing is None:
            return data
        passing.note_tokens(self._context.env.now)
        continuation = self._continuation
        if continuation is not None and continuation.resuming is not None:
            resuming = continuation.resuming
            data = resuming.pass_on(data, complete)
            if resuming.is_failing():
                if not continuation.is_possible(attempt):
                    data += continuation.let_be(resuming)
                    self.why_cut = resuming.why
                else:
                    complete = False
        return passing.framed(data, complete)

    def fails(self) -> str:
        """The error that the engine told in place of the rest, where another goes on with it."""
        continuation = self._continuation
        return continuation.failure() if continuation is not None else ""

    def waits(self) -> bool:
        """Whether an attempt that is to go on with the answer has no token yet."""
        return self._continuation is not None and self._continuation.goes_on

    # --- going on with a cut answer ---------------------------------------------------------

    def resume(self, attempt: Attempt, outcome: int) -> bool:
        """The attempt whose answer the client gets failed. Whether another goes on with it, or it
        was whole already; else it is cut, ``why_cut``."""
        continuation = self._continuation
        resuming = continuation.resuming if continuation is not None else None
        owner = self._owner
        passing = self._passing
        if continuation is None or resuming is None or owner is None or passing is None:
            return False
        self._held = {}
        if not continuation.goes_on:
            end = continuation.missing_end(resuming, passing.reading())
            if end is not None:
                owner.end_whole(attempt, outcome, passing.framed(end, True))
                return True
        if not continuation.is_possible(attempt):
            self.why_cut = resuming.why
            return False
        passing.cut()
        now = self._context.env.now
        alarm = self._alarm
        alarm.await_token(now + max(self._first.within_s - alarm.token_s, 0.0))
        continuation.begin(resuming, attempt, outcome)
        return True

    def _is_template(self, attempt: Attempt, data: bytes, complete: bool) -> bool:
        """Whether that is of the prompt that an engine makes of a chat."""
        going_on = self._continuation
        return going_on is not None and going_on.takes_template(attempt, data, complete)

    # --- time -------------------------------------------------------------------------------

    def ring(self, now: float) -> None:
        """A deadline passed, or a second endpoint may be asked."""
        alarm = self._alarm
        owner = self._owner
        attempt = self._dispatch.attempt
        if owner is None or attempt is None or attempt.is_settled():
            return
        if owner.takes_none():  # it is not the endpoint that is waited for
            alarm.token_at = now
            alarm.ring_at(now + _SOON_S)
        elif not self.spoke:
            self._ring_for_first(owner, attempt, now)
        elif alarm.is_early(now):
            alarm.await_token(alarm.token_at)
        else:
            self._dispatch.pool.counters.bump(P_LATE_TOKENS)
            owner.break_off(attempt, TIMEOUT, f"no token came for {alarm.token_s:g} s")

    def on_crash(self) -> None:
        if self._owner is not None:
            self._owner.on_crash()

    def _ring_for_first(self, owner: SteadyOwner, attempt: Attempt, now: float) -> None:
        two = self._two
        if two is not None and 0.0 < two.ask_at <= now:
            two.ask_beside(attempt, now)
        first = self._first
        if 0.0 < first.due_at <= now and not self.spoke:
            first.due_at = 0.0
            failover = owner.failover()
            if self._is_one_of_two():  # looked at again when one is left
                first.due_at = now + _SOON_S
            elif first.is_given_up(attempt, failover):
                self._held = {}
                count_vain(self._dispatch, attempt)
                failover.replace_late(attempt, first.outcome)
        if not self.spoke and self._owner is not None:
            self._set_alarm()

    def resumed(self) -> int:
        """How often another endpoint went on with it."""
        return self._continuation.times() if self._continuation is not None else 0

    def hedged(self) -> bool:
        """Whether a second endpoint was asked beside the first."""
        return self._two is not None and self._two.ran()

    # --- its end ----------------------------------------------------------------------------

    def end(self) -> None:
        """The exchange ended."""
        self._alarm.end()
        self._owner = None
        self._dispatch.yielding = None
        self._held = {}
        self._passing = None
        self._two = None
        if self._continuation is not None:
            self._continuation.end()
            self._continuation = None
