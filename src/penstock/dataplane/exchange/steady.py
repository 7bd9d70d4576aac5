"""A streamed answer of a language model that is watched token by token: it is held back until its
first one, so that another endpoint can be asked in its endpoint's place, and timed from then on.

Made only where the pool says so, and where the request may be repeated. Its endpoint's bytes come
without framing, which is put on here when it is known which attempt answers.
"""

from typing import Final

from mypy_extensions import trait

from penstock.core.pool.pool import ROOM
from penstock.core.ticket import ABANDONED, TIMEOUT
from penstock.dataplane.board.layout import P_LATE_TOKENS, P_VAIN_TOKENS
from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answer_handling import AnswerHandling
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.failover import Failover
from penstock.dataplane.io.loop import Alarm
from penstock.dataplane.llm.answer_reading import streams_events
from penstock.wire.chunked import LAST_CHUNK, encode_chunk
from penstock.wire.http1 import ResponseHead

_SOON_S: Final = 1.0  # when the client is looked at again that takes nothing


@trait
class SteadyOwner:
    """The exchange."""

    def passes_on(
        self, handling: AnswerHandling, attempt: Attempt, body: bytes, complete: bool
    ) -> bool:
        """Whether nothing takes an answer's place, whose head came."""
        raise NotImplementedError

    def begin_answer(
        self, attempt: Attempt, handling: AnswerHandling, body: bytes, complete: bool, broken: str
    ) -> None:
        """The client gets this one from here on. ``body``: framed by ``frame_bare``."""
        raise NotImplementedError

    def frame_bare(self, head: ResponseHead) -> bool:
        """Whether a body without a length goes to the client in the chunks of HTTP/1.1."""
        raise NotImplementedError

    def break_off(self, attempt: Attempt, outcome: int, reason: str) -> None:
        """Give up an attempt that failed in its answer."""
        raise NotImplementedError

    def failover(self) -> Failover:
        """What may follow an attempt."""
        raise NotImplementedError

    def takes_none(self) -> bool:
        """Whether the client takes no more for now."""
        raise NotImplementedError


class HeldAnswer:
    """Of an attempt that has no token yet. ``data`` is what the client would have got of it."""

    def __init__(self, handling: AnswerHandling) -> None:
        self.handling: AnswerHandling = handling
        self.data: list[bytes] = []
        self.complete: bool = False

    def has_begun(self) -> bool:
        """Whether a token came; or there will be none."""
        stages = self.handling.stages
        reading = stages.reading() if stages is not None else None
        return self.complete or reading is None or reading.meter.begun


class SteadyAnswer(Alarm):
    """Of one exchange."""

    spoke: bool = False  # an attempt of it has a token, and goes to the client
    _patient: bool = False  # no other endpoint may be asked
    _held: HeldAnswer | None = None
    _holder: Attempt | None = None  # of the answer that is held
    _bare: bool = False  # it comes unframed
    _in_chunks: bool = False  # and goes on so
    _events: int = 0  # of it, when looked at last
    _token_at: float = 0.0  # when its last one came
    _passing: HeldAnswer | None = None

    def __init__(
        self, context: Context, owner: SteadyOwner, dispatch: Dispatch, first_token_s: float
    ) -> None:
        self._context: Context = context
        self._owner: SteadyOwner | None = owner
        self._dispatch: Dispatch = dispatch
        timeouts = dispatch.pool.spec.timeouts
        self._first_token_s: float = first_token_s
        # A client that is in a hurry says nothing of the endpoint.
        hurried = first_token_s < timeouts.first_token_s or timeouts.first_token_s == 0.0
        self._late_outcome: int = ABANDONED if hurried else TIMEOUT
        self._token_s: float = timeouts.token_s

    # --- before the first token -------------------------------------------------------------

    def begin(self, now: float) -> None:
        """An attempt begins."""
        self._held = self._holder = None
        if self._first_token_s > 0.0 and not self._patient:
            self._context.loop.set_alarm(self, now + self._first_token_s)

    def keeps(self, attempt: Attempt, head: ResponseHead) -> bool:
        """Whether an answer with that head is held until its first token."""
        return streams_events(head)

    def hold(self, attempt: Attempt, handling: AnswerHandling) -> None:
        """It is, from here on."""
        handling.frame_bare()
        self._held = HeldAnswer(handling)
        self._holder = attempt

    def holds(self, attempt: Attempt) -> bool:
        return attempt is self._holder

    def on_head(self, attempt: Attempt, body: bytes, complete: bool) -> None:
        """The head of an answer that is held came, with what of the body came along."""
        held = self._held
        owner = self._owner
        if held is None or owner is None:
            return
        handling = held.handling
        if not owner.passes_on(handling, attempt, body, complete):
            return
        self._hold_more(attempt, held, handling.begin(body, complete), complete, handling.broken)

    def on_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        """More of it."""
        held = self._held
        if held is None:
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
        if data:
            held.data.append(data)
        held.complete = complete
        if broken or held.has_begun():
            self._speak(attempt, held, broken)

    def _speak(self, attempt: Attempt, held: HeldAnswer, broken: str) -> None:
        owner = self._owner
        if owner is None:
            return
        self._held = self._holder = None
        self._passing = held
        self.spoke = True
        self._bare = True
        self._in_chunks = owner.frame_bare(held.handling.head)
        data = self._framed(b"".join(held.data), held.complete)
        held.data = []
        self._token_at = self._context.env.now
        self._await_token()
        owner.begin_answer(attempt, held.handling, data, held.complete, broken)

    def is_held(self) -> bool:
        """Whether nothing of an answer went to the client."""
        return not self.spoke

    # --- from then on -----------------------------------------------------------------------

    def follow(self, data: bytes, complete: bool) -> bytes:
        """What goes to the client for the next bytes of the answer that it gets."""
        if not self._bare:
            return data
        held = self._passing
        if held is not None and self._token_s > 0.0:
            stages = held.handling.stages
            reading = stages.reading() if stages is not None else None
            if reading is not None and reading.meter.events != self._events:
                self._events = reading.meter.events
                self._token_at = self._context.env.now
        return self._framed(data, complete)

    def _framed(self, data: bytes, complete: bool) -> bytes:
        if not self._in_chunks:
            return data
        framed = encode_chunk(data) if data else b""
        return framed + LAST_CHUNK if complete else framed

    def _await_token(self) -> None:
        due_at = self._token_at + self._token_s if self._token_s > 0.0 else 0.0
        self._context.loop.set_alarm(self, due_at)

    # --- time -------------------------------------------------------------------------------

    def ring(self, now: float) -> None:
        owner = self._owner
        attempt = self._dispatch.attempt
        if owner is None or attempt is None or attempt.is_settled():
            return
        if owner.takes_none():  # it is not the endpoint that is waited for
            self._token_at = now
            self._context.loop.set_alarm(self, now + _SOON_S)
        elif not self.spoke:
            self._give_up_late(owner, attempt)
        elif now < self._token_at + self._token_s:
            self._await_token()
        else:
            self._dispatch.pool.counters.bump(P_LATE_TOKENS)
            owner.break_off(attempt, TIMEOUT, f"no token came for {self._token_s:g} s")

    def _give_up_late(self, owner: SteadyOwner, attempt: Attempt) -> None:
        """No token came in time. Where nobody else can be asked, waiting goes on: it is the best
        that there is."""
        dispatch = self._dispatch
        pool = dispatch.pool
        pool.counters.bump(P_LATE_TOKENS)
        request = dispatch.request
        tried = [attempt.endpoint, *dispatch.tries().tried]
        failover = owner.failover()
        if (
            not pool.is_left(request.model, tried)
            or pool.room(request, tried) != ROOM
            or not failover.may_replace_late(attempt, self._late_outcome)
        ):
            self._patient = True
            return
        self._held = self._holder = None
        self.count_vain(attempt)
        failover.replace_late(attempt, self._late_outcome)

    def count_vain(self, attempt: Attempt) -> None:
        """Its prompt was computed for nobody."""
        ticket = attempt.ticket
        tokens = ticket.prefill_tokens or ticket.request.prompt_tokens
        self._dispatch.pool.counters.add(P_VAIN_TOKENS, tokens)

    # --- its end ----------------------------------------------------------------------------

    def end(self) -> None:
        """The exchange ended."""
        self._context.loop.set_alarm(self, 0.0)
        self._owner = None
        self._held = self._holder = self._passing = None
