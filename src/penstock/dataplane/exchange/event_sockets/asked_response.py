"""One response that is asked for by an event: from its message to the settled ticket.

→ inspect                              inspection.py: the message is the body of a POST
→ admit → eligible → pick → ticket     dispatch.py
→ send                                 routed_response.py, pinned_response.py
→ settle                               here, with the last event
"""

from typing import Final

from mypy_extensions import trait

from penstock.core.ticket import ABANDONED, CLIENT_GONE, DONE
from penstock.dataplane.board.layout import P_CLIENT_GONE, P_CUT
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.body import RequestBody
from penstock.dataplane.exchange.clearance import Clearance, ClearanceOwner
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.entry import Entry
from penstock.dataplane.exchange.event_sockets.answered_events import AnsweredEvents
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.telling import Told, tell_end
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.http1 import RequestHead
from penstock.wire.response_events import EngineEvent, error_event

_TELLS_NOTHING: Final = frozenset(("client_gone", "crashed"))
PATIENCE_S: Final = 1  # of an error that says when to ask again


@trait
class ResponseOwner:
    """The client's WebSocket."""

    def pass_event(self, event: bytes) -> None:
        """Have the client get an event."""
        raise NotImplementedError

    def on_response_over(self, response: "AskedResponse") -> None:
        """It is settled, and nobody else is told."""
        raise NotImplementedError


class AskedResponse(AttemptOwner, ClearanceOwner, Told):
    """Begun with its message; ended once, however that ends."""

    ended: str = ""  # how, in one word, for the log
    why: str = ""
    status: int = 0  # that its client is told, as HTTP would have it; 0 until then
    dispatch: Dispatch | None = None
    clearance: Clearance | None = None
    pinned: LiveEndpoint | None = None  # whose WebSocket it is asked for on, and nowhere else
    begun: bool = False  # by its engine, unasked
    asked_by: str = ""  # the name of its client's event
    heard: int = -1  # see ``RequestBody.heard``
    sent: bool = False  # to any endpoint

    def __init__(
        self,
        context: Context,
        owner: ResponseOwner,
        head: RequestHead,
        plan: Plan,
        lane: str,
        message: bytes,
    ) -> None:
        """``head``: of the POST that would ask for the same."""
        self.context: Context = context
        self.owner: ResponseOwner | None = owner
        self.head: RequestHead = head
        self.plan: Plan = plan
        self.lane: str = lane
        self.pool_plan: PoolPlan = plan.choices[0]
        self.body: RequestBody = RequestBody(message, True)
        self.request_id: bytes = context.new_request_id()
        self.began: float = context.env.now
        self.events: AnsweredEvents = AnsweredEvents(context, self.pool_plan.pool, self.began)

    # --- clear, admit ------------------------------------------------------------------------

    def begin(self, shown: Entry | None) -> None:
        """``shown``: who asks, as the handshake told."""
        pool_plan = self.pool_plan
        pool = pool_plan.pool
        pool.counters.came()
        if not self.body.take_room(self.context, self.body.size):
            self.refuse(503, "no memory is left to read prompts", PATIENCE_S, "overloaded")
            return
        clearance = Clearance(self.context, self, None, self.head, self.plan, self.request_id)
        self.clearance = clearance
        if shown is not None and not self._is_let_in(clearance, shown):
            return
        maintenance = pool.maintenance
        if maintenance is not None:
            self.why = "an operator set the pool aside (maintenance)"
            told = maintenance.text or "down for maintenance"
            self.refuse(503, told, maintenance.retry_after_s, "maintenance")
            return
        dispatch = Dispatch(self.context, self, pool, pool_plan.request, self.request_id)
        dispatch.home = pool_plan.home
        dispatch.priority = pool_plan.priority
        dispatch.pinned = self.pinned
        if pool.request_s > 0.0:
            dispatch.expires_at = self.began + pool.request_s
        self.dispatch = dispatch
        learning = pool.learning
        if learning is None:  # its kind was changed
            self.on_no_endpoint("the pool serves language models no longer", 0)
            return
        self.body.heard = self.heard
        if clearance.begin(dispatch, pool_plan, learning, self.body) and clearance.reserves(
            dispatch, pool_plan
        ):
            self.ask_for_place(dispatch)

    def _is_let_in(self, clearance: Clearance, shown: Entry) -> bool:
        """Whether whoever asked for the WebSocket may still ask."""
        pool_plan = self.pool_plan
        if self.plan.auth is not None and shown.record is not None:
            entry = Entry(self.context, self.plan, self.request_id)
            entry.record = shown.record
            entry.caller = shown.caller
            clearance.entry = entry
        elif not clearance.knows_key(pool_plan):
            return False
        if clearance.entry is not None:
            clearance.entry.told = shown.told
        clearance.name_caller(pool_plan)
        return True

    def has_ended(self) -> bool:
        return self.ended != ""

    def on_cleared(self) -> None:
        if self.dispatch is not None:
            self.ask_for_place(self.dispatch)

    def ask_for_place(self, dispatch: Dispatch) -> None:
        """It may have one."""
        if self.begun:
            dispatch.pick()  # there is nothing to wait for any more
        else:
            dispatch.begin()

    def on_waiting(self) -> None:
        """Somebody else is to tell whether it goes on, or it was turned away."""

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self.refuse(503, why, retry_after_s, "overloaded")

    def on_no_endpoint(self, why: str, retry_after_s: int) -> None:
        self.refuse(503, why, retry_after_s)

    # --- sent, answered -----------------------------------------------------------------------

    def attempt(self) -> Attempt | None:
        """The one that is under way, or was the last."""
        return self.dispatch.attempt if self.dispatch is not None else None

    def inspection(self) -> Inspection | None:
        """What was understood of its message."""
        return self.clearance.inspection if self.clearance is not None else None

    def forget(self) -> None:
        """Nothing is sent again."""
        self.body.forget()
        self.body.give_room_back(self.context)
        if self.clearance is not None:
            self.clearance.drop()

    def take_first(self, attempt: Attempt, event: EngineEvent) -> None:
        """The answer begins: nothing is sent again from here on."""
        self.events.begin(attempt, event, self.inspection())
        self.note_begun()

    def note_begun(self) -> None:
        """The client gets an answer."""
        events = self.events
        self.status = events.status
        clearance = self.clearance
        if clearance is not None and clearance.entry is not None:
            clearance.entry.follow(events.reading())
        self.forget()

    def finish(self, attempt: Attempt, message: bytes) -> None:
        """The last event came; ``message``: what of it the client is to get yet."""
        self.why = self.why or self.events.failure
        attempt.settle(DONE, self.context.env.now)
        self._over("done", message)

    # --- ends -------------------------------------------------------------------------------

    def refuse(self, status: int, message: str, retry_after_s: int = 0, kind: str = "") -> None:
        """An error of our own in the place of an answer."""
        told = answers.refusal(
            status,
            message,
            request_id=self.request_id,
            retry_after_s=retry_after_s,
            kind=kind,
        )
        self.give(told, "refused")

    def give(self, answer: Answer, ended: str) -> None:
        """The same, with an answer that would be given over HTTP."""
        self.why = self.why or answer.why
        self.status = answer.status
        self.close(answer, ended)

    def close(self, told: Answer, ended: str) -> None:
        """End with that."""
        headers = [each for each in told.headers if each[0].lower() != "content-type"]
        event = error_event(told.status, told.body, headers, self.lane, self.asked_by)
        self.events.size += len(event)
        self._over(ended, event)

    def _over(self, ended: str, event: bytes) -> None:
        owner = self.owner
        self._end(ended)
        if owner is not None:
            if event:
                owner.pass_event(event)
            owner.on_response_over(self)

    def give_up(self, outcome: int, ended: str, why: str = "") -> None:
        """Its client left, or we end it: nobody is told."""
        if self.ended:
            return
        self.why = why
        if outcome == CLIENT_GONE:
            self.pool_plan.pool.counters.bump(P_CLIENT_GONE)
        elif self.status and outcome != DONE:
            self.pool_plan.pool.counters.bump(P_CUT)
        try:
            self._stop(outcome)
        finally:
            self._end(ended)

    def on_crash(self) -> None:
        """A bug showed."""
        if self.ended:
            return
        try:
            self._stop(ABANDONED)
        finally:
            why = "internal error; see the balancer's standard error"
            self.status = 500
            self.close(answers.refusal(500, why, request_id=self.request_id), "crashed")

    def _stop(self, outcome: int) -> None:
        """Have the endpoint stop."""
        if self.clearance is not None:
            self.clearance.give_up()
        self.let_go()
        attempt = self.attempt()
        if attempt is not None:
            attempt.give_up()
            attempt.settle(outcome, self.context.env.now)

    def let_go(self) -> None:
        """Of what it is asked for on."""

    def _end(self, ended: str) -> None:
        """Metrics and the log line; the last thing that happens to each."""
        self.ended = ended
        now = self.context.env.now
        self.pool_plan.pool.counters.ended(self.status, now - self.began)
        dispatch = self.dispatch
        if dispatch is not None:
            dispatch.leave(
                told=ended not in _TELLS_NOTHING,
                whole=ended == "done",
                timed_out=self.status == 504 and self.events.first_byte_at == 0.0,
                status=self.status,
                at=self.events.first_byte_at,
            )
        self.body.end(self.context)
        clearance = self.clearance
        if clearance is not None:
            size = self.head.content_length + self.events.size
            clearance.settle(self.sent, self.status, self.events.reading(), size)
        context = self.context
        if context.log.enabled or context.tracer is not None:
            plan, began, status = self.plan, self.began, self.status
            tell_end(self, context, plan, None, status, ended, began, has_line=True)
        # They know this response: no cycle is left for the collector.
        if dispatch is not None:
            dispatch.waiter = None
            self.dispatch = None
        if clearance is not None:
            clearance.end()
            self.clearance = None
        self.owner = None

    def outcome(self) -> Outcome:
        outcome = Outcome(self.head, self.plan, self.request_id, self.began, self.ended)
        outcome.status = self.status
        outcome.response_bytes = self.events.size
        outcome.first_byte_at = self.events.first_byte_at
        outcome.why = self.why
        outcome.over_websocket = True
        if self.dispatch is not None:
            outcome.take_dispatch(self.dispatch)
        if self.clearance is not None:
            self.clearance.tell(outcome)
        outcome.answer = self.events.reading()
        return outcome
