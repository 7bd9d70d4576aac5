"""One request and its response: the life of a request, top to bottom.

    accept → parse         client/listener.py, client/http1.py
    → route                route/planner.py, once for each distinct head
    → clear                clearance.py: who asks, what the body asks for, what that takes
    → admit → eligible → pick → ticket       dispatch.py
    → send → relay → settle                  here

The client's side calls ``start``, ``on_request_body``, ``on_client_drained`` and those of "ends";
attempts call the methods of ``AttemptOwner``. Whatever happens, ``_note_end`` runs once. What only
some exchanges need is made when they do.
"""

import sys
from typing import Final

from penstock.core.ticket import ABANDONED, CLIENT_GONE, DONE
from penstock.dataplane.board.layout import P_CLIENT_GONE, P_CUT, W_FIXED, W_UNROUTED
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.answer_handling import AnswerHandling
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.body import MAX_REPLAY_BYTES, RequestBody
from penstock.dataplane.exchange.change_of_protocol import tunnel_of
from penstock.dataplane.exchange.clearance import Clearance, ClearanceOwner
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.entry import Entry
from penstock.dataplane.exchange.event_sockets.client_socket import ClientSocket
from penstock.dataplane.exchange.failover import Failover, is_watched, may_be_sent_again
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.gathering import Gathering, GatheringOwner
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.mirror import start_mirror
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.own_answers import OwnAnswers, crash_told
from penstock.dataplane.exchange.own_call import CallOwner, OwnCall
from penstock.dataplane.exchange.own_services import call_of
from penstock.dataplane.exchange.passage import Passage, PassageOwner
from penstock.dataplane.exchange.relaying import Tunnel, TunnelOwner
from penstock.dataplane.exchange.slots import give_slot
from penstock.dataplane.exchange.split.split_prompt import SplitOwner, SplitPrompt, split_of
from penstock.dataplane.exchange.telling import Told, tell_end
from penstock.dataplane.exchange.tracing import RequestTrace
from penstock.dataplane.exchange.turns import Turns
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.http1 import Field, RequestHead, ResponseHead
from penstock.wire.proxy_protocol import ProxyHeader

# Phases of the histograms, as in board.PHASES.
_CONNECT: Final = 1
_FIRST_BYTE: Final = 2
# Ends that tell nothing about the endpoints: the client's doing, or ours.
_TELLS_NOTHING: Final = frozenset(("client_gone", "bad_request", "crashed"))


class Exchange(
    AttemptOwner,
    ClearanceOwner,
    GatheringOwner,
    TunnelOwner,
    PassageOwner,
    CallOwner,
    SplitOwner,
    Told,
):
    """From a parsed head to the settled ticket."""

    # Defaults stand in the class body: set one by one they cost more than the rest of __init__.
    pool_plan: PoolPlan | None = None
    clearance: Clearance | None = None  # of one that is asked who asks, or whose body is read
    dispatch: Dispatch | None = None  # of one that goes to an endpoint
    own_call: OwnCall | None = None  # of a gRPC call that is answered here
    split: SplitPrompt | None = None  # of one whose prompt may be computed elsewhere
    turns: Turns | None = None  # since somebody had to be waited for
    passage: Passage | None = None  # of an answer that may not simply pass
    trace: RequestTrace | None = None  # where traces are on
    answered: ResponseHead | None = None  # the endpoint's final head that was passed on
    tunnel: Tunnel | None = None  # since the protocol was changed
    status: int = 0  # answered to the client; 0 until then
    ended: str = ""  # how, in one word, for the log
    why: str = ""  # it was refused or cut, in a sentence
    parse_s: float = 0.0  # from its head's first byte until the head was whole
    first_byte_at: float = 0.0
    _cut_by_us: bool = False  # which tells nothing of the endpoint

    def __init__(self, context: Context, front: Front, head: RequestHead, plan: Plan) -> None:
        self.context: Context = context
        self.front: Front = front
        self.head: RequestHead = head
        self.plan: Plan = plan
        self.body: RequestBody = RequestBody(b"", False)
        self.request_id: bytes = plan.request_id or context.new_request_id()
        self.began: float = context.env.now

    # --- route, clear -----------------------------------------------------------------------

    def start(self, data: bytes, complete: bool) -> None:
        """Begin, with what of the body came along with the head."""
        body = self.body
        body.first = data
        body.size = len(data)
        body.complete = complete
        if self.plan.guarded and not self._made_clearance().lets_in(self.front):
            return
        self._begin()

    def _begin(self) -> None:
        """Of one that may ask here."""
        plan = self.plan
        body = self.body
        if not plan.choices:
            self._answer_here()
            return
        env = self.context.env
        pool_plan = plan.choices[0] if len(plan.choices) == 1 else plan.choose(env.random())
        self.pool_plan = pool_plan
        if self.clearance is not None:
            self.clearance.name_caller(pool_plan)
        pool = pool_plan.pool
        pool.counters.requests += 1
        pool.counters.changed = True
        if pool.maintenance is not None:
            self.why = "an operator set the pool aside (maintenance)"
            self.give(self.own().maintenance(pool.maintenance), "refused")
            return
        if pool_plan.routes_each:
            self.status = 101
            entry = self.clearance.entry if self.clearance is not None else None
            socket = ClientSocket(self, self.context, plan, self.head, pool_plan, entry)
            self.tunnel = socket
            socket.begin(self.front, self.request_id)
            return
        dispatch = Dispatch(self.context, self, pool, pool_plan.request, self.request_id)
        self.dispatch = dispatch
        dispatch.home = pool_plan.home
        dispatch.priority = pool_plan.priority
        if pool.request_s > 0.0:
            dispatch.expires_at = self.began + pool.request_s
        if plan.is_grpc and plan.grpc_timeout_s > 0.0:
            dispatch.expire_by(self.began + plan.grpc_timeout_s)
        if plan.mirror is not None and env.random() < plan.mirror_share:
            body.copy_to(start_mirror(self.context, plan.mirror, self.head, self.request_id))
        if pool_plan.may_tell_more and not self._made_clearance().begin(
            dispatch, pool_plan, pool.learning, body
        ):
            return
        if self.clearance is None or self.clearance.reserves(dispatch, pool_plan):
            self._ask_for_place(dispatch, pool_plan)

    def on_cleared(self) -> None:
        if self.pool_plan is None:
            self._begin()
        elif self.dispatch is not None:
            self._ask_for_place(self.dispatch, self.pool_plan)

    def has_ended(self) -> bool:
        return self.ended != ""

    # --- admit, eligible, pick, ticket (Dispatch) -------------------------------------------

    def _ask_for_place(self, dispatch: Dispatch, pool_plan: PoolPlan) -> None:
        """Where those are bounded, no earlier than its body would fill it."""
        if pool_plan.asks_all:
            Gathering(self, pool_plan, self.clearance, self.request_id).begin(self.context.env)
            return
        if dispatch.pool.watches or self.plan.is_grpc:
            self._watch(dispatch, pool_plan)
        # Of one whose length is not told, nobody knows whether the client waits for an answer
        # before it sends the rest.
        most = min(self.head.content_length, dispatch.pool.request_buffer)
        if self.body.complete or self.body.size >= most:
            dispatch.begin()
            return
        self._made_turns().buffers_to = most
        if self.head.expects_continue:
            self.front.send_continue()
        self._take_turns()  # the body was held back if its limits had to be asked for

    def _watch(self, dispatch: Dispatch, pool_plan: PoolPlan) -> None:
        """Have its attempts watched, if it is one for that, or read as a call's."""
        is_call = self.plan.is_grpc
        pool = dispatch.pool
        if pool.watches and is_watched(
            pool, pool_plan, self.body, self._inspection(), is_call=is_call
        ):
            self._made_passage().watch()
        elif is_call:
            self._made_passage()

    def on_waiting(self) -> None:
        if not self.ended:
            self._take_turns()

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self.refuse(503, why, "", retry_after_s, "overloaded")

    def on_no_endpoint(self, why: str, retry_after_s: int) -> None:
        self.refuse(503, why, "", retry_after_s)

    # --- send -------------------------------------------------------------------------------

    def on_attempt_made(self, attempt: Attempt) -> None:
        pool_plan = self.pool_plan
        if pool_plan is not None and pool_plan.pool.prefill_pool is not None:
            if self.split is None and self.body.complete:
                self.split = split_of(
                    self, self.dispatch, pool_plan, self.head, self._inspection(), self.passage
                )
            if self.split is not None and self.split.holds(attempt):
                return
        self.begin_attempt(attempt)

    def begin_attempt(self, attempt: Attempt) -> None:
        pool_plan = self.pool_plan
        once = pool_plan is None or not (self.body.complete and pool_plan.repeats_sent)
        if self.turns is not None:
            self.turns.forget_row()
        if self.passage is not None:
            self.passage.begin(attempt)
        tracer = self.context.tracer
        if tracer is not None:
            trace = self.trace = self.trace or RequestTrace(tracer, self.plan)
            trace.begin(attempt)
        attempt.begin(self.context.env.now, once)
        if attempt.is_connecting():
            dispatch = self.dispatch
            if dispatch is not None and dispatch.attempt is attempt:  # none took its place
                self._take_turns()

    def proxy_header(self) -> ProxyHeader:
        header = self.front.proxy_header()
        header.unique_id = self.request_id
        return header

    def on_attempt_connected(self, attempt: Attempt) -> None:
        """Send the head, with the body so far, in one write."""
        pool_plan = self.pool_plan
        stream = attempt.stream
        assert pool_plan is not None
        assert stream is not None
        endpoint = attempt.endpoint
        if stream.is_first():
            pool_plan.pool.counters.record(_CONNECT, attempt.connect_s)
        stream.begin(attempt, self.head.bodiless, attempt.expires_at, pool_plan.upgrade)
        turns = self.turns
        if turns is not None and turns.read_bytes != READ_BYTES:
            stream.limit_reading(turns.read_bytes)
        clearance = self.clearance
        if clearance is None:
            if endpoint.slots is not None:
                give_slot(pool_plan, endpoint, attempt.ticket)
            head = pool_plan.forwarded(endpoint, False)
        else:
            watched = self.passage is not None and self.passage.steady is not None
            head = clearance.forwarded(pool_plan, attempt, watched=watched)
        if self.trace is not None:
            head = self.trace.told(head, attempt)
        body = self.body
        complete = body.complete
        if body.other_length >= 0:
            head = head.for_other_body(body.other_length, body.decoded)
        elif 0 <= head.content_length != self.head.content_length:
            head = head.for_length(self.head.content_length)  # its plan was another's
        kept = body.kept()
        if self.split is not None:
            head, kept = self.split.sent(head, kept)
        attempt.sent = True
        if complete:  # the row of the table that is the common one
            stream.arm(endpoint.connector.settings.first_byte_s)
        taken = stream.send_request(head, self.request_id, kept, complete)
        if not complete:
            self._made_turns().awaits_continue = not kept and self._continue_is_due(pool_plan)
            self._take_turns()
            return
        if body.room and not may_be_sent_again(
            self.context, pool_plan, self._inspection(), endpoint
        ):
            self._forget_body()
            if taken:
                body.give_room_back(self.context)
        if turns is not None and turns.client_full:
            self._take_turns()

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """More of the request's body, in the framing that goes to the endpoint."""
        body = self.body
        if self.own_call is not None:
            body.complete = complete
            self.own_call.take(data, complete)
            return
        body.add(data, complete, self.status == 0)
        clearance = self.clearance
        if clearance is not None and clearance.awaits_body:
            clearance.take_body(data, complete)
            return
        dispatch = self.dispatch
        turns = self._made_turns()
        if turns.buffers_to > 0 and dispatch is not None:
            if body.size >= turns.buffers_to:
                turns.buffers_to = 0
                dispatch.begin()
            return
        attempt = dispatch.attempt if dispatch is not None else None
        if attempt is not None and attempt.sent and attempt.stream is not None:
            if body.size > MAX_REPLAY_BYTES and body.replayable:
                self._forget_body()
                body.give_room_back(self.context)
            turns.awaits_continue = False
            attempt.stream.send_more(data, complete)
        self._take_turns()

    def on_attempt_drained(self, attempt: Attempt) -> None:
        body = self.body
        if not body.complete:
            self._take_turns()
        elif body.room and not body.replayable:
            body.give_room_back(self.context)

    def _forget_body(self) -> None:
        self.body.forget()
        if self.clearance is not None:
            self.clearance.drop()

    # --- relay ------------------------------------------------------------------------------

    def on_attempt_interim(self, attempt: Attempt, head: ResponseHead) -> None:
        """Passed on to clients that can take it; 100 only to one that waits for it, and none in the
        middle of an answer with which this attempt goes on."""
        if self.status:
            return
        pool_plan = self.pool_plan
        waits = pool_plan is not None and self._continue_is_due(pool_plan)
        if self.head.minor == 0 or (head.status == 100 and not waits):
            return
        self.front.interim(head)
        if head.status == 100:
            self.front.continue_body()
            self._made_turns().awaits_continue = False
            self._take_turns()

    def _continue_is_due(self, pool_plan: PoolPlan) -> bool:
        """Whether a client that waits for 100 is to get it from the endpoint."""
        if pool_plan.inspects or pool_plan.skims or self.body.size > 0:
            return False
        return self.head.expects_continue

    def frame_attempt(self, attempt: Attempt, head: ResponseHead) -> bool:
        pool_plan = self.pool_plan
        if pool_plan is None or self.dispatch is None:
            return False  # nobody wants it any more
        if self.passage is None and pool_plan.passes_answers and head.status < 400:
            return self.front.frame(head, False)
        return self._made_passage().frame(attempt, head)

    def on_attempt_answered(
        self, attempt: Attempt, head: ResponseHead, body: bytes, complete: bool
    ) -> None:
        attempt.ticket.status = head.status
        if self.passage is not None:
            self.passage.on_head(attempt, head, body, complete)
            return
        attempt.ticket.first_byte(self.context.env.now)
        self.respond(attempt, head, None, body, complete)

    def respond(
        self,
        attempt: Attempt,
        head: ResponseHead,
        handling: AnswerHandling | None,
        body: bytes,
        complete: bool,
    ) -> None:
        pool_plan = self.pool_plan
        assert pool_plan is not None
        now = self.context.env.now
        status = head.status
        self.first_byte_at = now
        self.status = status
        self.answered = head
        cookie = b""
        decoded = False
        if handling is not None:
            cookie, decoded = handling.cookie, handling.decoded
        front = self.front
        if self.clearance is not None and self.clearance.entry is not None:
            self.clearance.entry.on_answer(front, pool_plan, self._reading())
        if self.turns is not None and self.passage is not None:
            self.turns.forget_row()
        rules = pool_plan.rules
        taken = front.respond(head, rules, self.request_id, cookie, decoded, body, complete)
        counters = pool_plan.pool.counters
        if complete:
            attempt.settle(DONE, now)
            counters.answered_at_once(status, now - self.began)
            self._note_end(now, "done")
            front.finish()
            return
        counters.record(_FIRST_BYTE, now - self.began)
        self._forget_body()
        if self.body.room:
            self.body.give_room_back(self.context)
        if not taken:
            self._await_client()

    def on_attempt_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        if self.passage is not None:
            passed = self.passage.pass_on(attempt, data, complete)
            if passed is None:
                return
            data = passed
        if data and not self.front.send_body(data) and not complete:
            self._await_client()
        if complete:
            self.end_whole(attempt, DONE)

    def send_on(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        if data and not self.front.send_body(data) and not complete:
            self._await_client()
        if complete:
            self.end_whole(attempt, DONE)

    def end_whole(self, attempt: Attempt, outcome: int) -> None:
        now = self.context.env.now
        attempt.settle(outcome, now)
        self._end(now, "done")
        self.front.finish()

    def on_attempt_trailers(self, attempt: Attempt, fields: list[Field]) -> None:
        if self.passage is not None:
            self.passage.note_trailers(attempt, fields)
        self.front.trailers(fields)

    def on_attempt_without_message(
        self, attempt: Attempt, head: ResponseHead, trailers: list[Field]
    ) -> bool:
        return self.passage is not None and self.passage.repeats_call(attempt, head, trailers)

    def replace(self, handling: AnswerHandling, answer: Answer) -> None:
        self.why = handling.why
        if handling.counts:
            self.first_byte_at = self.context.env.now
        self.give(answer, "refused" if handling.refuses else "done")

    def on_taken_over(self) -> None:
        if self.turns is not None:
            self.turns.forget_row()
            self._take_turns()

    def takes_none(self) -> bool:
        return self.turns is not None and self.turns.client_full

    # --- whose turn it is -------------------------------------------------------------------

    def on_client_drained(self) -> None:
        if self.own_call is not None:
            self.own_call.on_drained()
            return
        if self.turns is not None:
            self.turns.client_full = False
        if self.status:
            self._take_turns()

    def limit_answer(self, most: int) -> None:
        """Read at most so much of the answer at a time; at 0, for now nothing of it."""
        if self.own_call is not None:
            self.own_call.limit(most)
            return
        if self.passage is not None:
            most = min(most, self.passage.most_at_once())
        attempt = self.dispatch.attempt if self.dispatch is not None else None
        if self._made_turns().limit(most, attempt):
            self._take_turns()

    def _await_client(self) -> None:
        """It takes no more for now."""
        self._made_turns().client_full = True
        self._take_turns()

    def _take_turns(self) -> None:
        attempt = self.dispatch.attempt if self.dispatch is not None else None
        answered = self.status != 0 and (self.passage is None or not self.passage.waits())
        reading = self.clearance is not None and self.clearance.awaits_body
        self._made_turns().take(attempt, answered, reading)

    # --- a change of protocol ---------------------------------------------------------------

    def on_attempt_switched(self, attempt: Attempt, head: ResponseHead, rest: bytes) -> None:
        """From here on bytes are relayed, of which nothing is understood."""
        pool_plan = self.pool_plan
        dispatch = self.dispatch
        assert pool_plan is not None
        assert dispatch is not None
        now = self.context.env.now
        attempt.ticket.status = head.status
        attempt.ticket.first_byte(now)
        pool_plan.pool.counters.record(_FIRST_BYTE, now - self.began)
        self.first_byte_at = now
        self.status = head.status
        self.answered = head
        tunnel = self.tunnel = tunnel_of(
            self, self.context, attempt, self.plan, pool_plan, self.head, self.clearance
        )
        tunnel.begin(self.front, dispatch, head, rest)

    def on_tunnel_ended(self, ended: str, why: str) -> None:
        self.why = why
        self._end(self.context.env.now, ended)
        self.tunnel = None

    # --- a prompt that is computed elsewhere ------------------------------------------------

    def needs_prompt(self) -> bool:
        return self.status == 0 and not self.ended

    def on_prompt_failed(self, why: str) -> None:
        if self.needs_prompt():
            self._give_up(ABANDONED)
            self.refuse(503, "no endpoint computes the prompt", why)

    # --- failures ---------------------------------------------------------------------------

    def on_attempt_failed(
        self, attempt: Attempt, stream: EndpointStream | None, outcome: int, reason: str
    ) -> None:
        self._made_passage().on_failed(attempt, stream, outcome, reason)

    def on_attempt_unable(self, attempt: Attempt, reason: str) -> None:
        """No other is asked: endpoints of one pool can do the same, as they are configured."""
        attempt.settle(ABANDONED, self.context.env.now)
        why = f"endpoint {attempt.endpoint.name}: {reason}"
        self.refuse(501, "the endpoint cannot do what the request asks for", why)

    # --- answers of our own -----------------------------------------------------------------

    def own(self) -> OwnAnswers:
        """Answers of our own to this request."""
        return OwnAnswers(self.head, self.plan, self.pool_plan, self.request_id)

    def _answer_here(self) -> None:
        """A redirect, a fixed response, a gRPC call, or a refusal: no route, an ambiguous path, a
        loop."""
        plan = self.plan
        counters = self.context.counters
        if not plan.service:
            refused = plan.message != ""
            counters.bump(W_UNROUTED if refused else W_FIXED)
            self.give(self.own().without_endpoint(), "refused" if refused else "fixed")
            return
        call = self.own_call = call_of(self.context, self, self.front, plan, self.head)
        opening = call.opening()
        if opening is not None:
            counters.bump(W_FIXED)
            self.status = opening.status
            self.front.answer(opening, self.request_id, self.own().edits())
        call.take(self.body.kept(), self.body.complete)

    def on_call_over(self) -> None:
        self._note_end(self.context.env.now, "fixed")
        self.front.finish()

    def refuse(
        self, status: int, message: str, why: str = "", retry_after_s: int = 1, kind: str = ""
    ) -> None:
        """An error of our own, or the end of an answer that was begun. ``why``: for the log, which
        has the message else."""
        if self.status:
            self.why = why or message
            if self.pool_plan is not None:
                self.pool_plan.pool.counters.bump(P_CUT)
            self._end(self.context.env.now, "cut")
            self.front.cut(False)
            return
        self.why = why or self.why
        if self.plan.listed and not self.plan.listed_to_keys and status >= 500:
            self.give(self.own().model_list(), "done")
        else:
            self.give(self.own().refusal(status, message, retry_after_s, kind), "refused")

    def give(self, answer: Answer, ended: str) -> None:
        """Answer with a response of our own, and be done."""
        own = self.own()
        answer = own.kept_protocol(answer)
        self.why = self.why or answer.why
        self.status = answer.status
        self.front.answer(answer, self.request_id, own.edits())
        self._end(self.context.env.now, ended)
        self.front.finish()

    # --- ends -------------------------------------------------------------------------------

    def on_client_gone(self) -> None:
        """The client left: the endpoint's work is stopped at once."""
        if self.pool_plan is not None:
            self.pool_plan.pool.counters.bump(P_CLIENT_GONE)
        self._give_up(CLIENT_GONE)
        self._end(self.context.env.now, "client_gone")

    def cut_off(self, outcome: int, why: str) -> None:
        """We end it, and not because of anything that its endpoint did."""
        self.why = why
        self._cut_by_us = True
        if self.pool_plan is not None and self.status:
            self.pool_plan.pool.counters.bump(P_CUT)
        self._give_up(outcome)
        self._end(self.context.env.now, "cut")

    def abandon(self, status: int, why: str) -> None:
        """The client's request turned out bad while it came; the client side answers ``status``."""
        self._give_up(ABANDONED)
        self.status = status
        self.why = why
        self._end(self.context.env.now, "bad_request")

    def on_crash(self) -> None:
        """A bug showed, ours or of a user's policy: the client is not left waiting."""
        if self.ended:
            return
        if self.tunnel is not None:
            self.tunnel.cut()
            return
        try:
            self._give_up(ABANDONED)
        finally:
            if self.status == 0:
                self.front.close_after()
                message, why = crash_told(sys.exc_info()[1])
                self.refuse(500, message, why)
            else:
                self._end(self.context.env.now, "crashed")
                self.front.cut(True)

    def _give_up(self, outcome: int) -> None:
        """Stop the attempt under way, if there is one."""
        if self.own_call is not None:
            self.own_call.gone(outcome)
        if self.split is not None:
            self.split.give_up(outcome)
        if self.clearance is not None:
            self.clearance.give_up()
        attempt = self.dispatch.attempt if self.dispatch is not None else None
        if attempt is not None:
            attempt.give_up()
            attempt.settle(outcome, self.context.env.now)
        if self.passage is not None:
            self.passage.give_up(outcome)

    def _end(self, now: float, ended: str) -> None:
        """Metrics and the log line; the last thing that happens to every exchange."""
        pool_plan = self.pool_plan
        if pool_plan is not None:
            pool_plan.pool.counters.ended(self.status, now - self.began)
        self._note_end(now, ended)

    def _note_end(self, now: float, ended: str) -> None:
        self.ended = ended
        pool_plan = self.pool_plan
        if pool_plan is not None and pool_plan.changes_models and 200 <= self.status < 300:
            pool_plan.pool.waits.changed()
        dispatch = self.dispatch
        if self.clearance is not None and self.clearance.entry is not None:
            self._settle(self.clearance.entry)
        if dispatch is not None and dispatch.waiter is not None:
            dispatch.leave(
                told=ended not in _TELLS_NOTHING and not self._cut_by_us,
                whole=ended == "done",
                timed_out=self.status == 504 and self.first_byte_at == 0.0,
                status=self.status,
                at=self.first_byte_at,
            )
        if self.body.mirror is not None or self.body.room:
            self.body.end(self.context, refused=ended == "refused")
        if self.passage is not None:
            self.why = self.why or self.passage.failure()
        context = self.context
        if context.log.enabled or context.tracer is not None:
            has_line = self.own_call is None or self.own_call.has_line()
            plan, began = self.plan, self.began
            tell_end(self, context, plan, self.trace, self.status, ended, began, has_line=has_line)
        # They know this exchange: no cycle is left for the collector.
        if self.passage is not None:
            self.passage.end()
            self.passage = None
        if self.clearance is not None:
            self.clearance.end()
            self.clearance = None
        if dispatch is not None:
            dispatch.waiter = None
            self.dispatch = None
        self.own_call = None
        self.split = None
        self.trace = None

    def _settle(self, entry: Entry) -> None:
        """What it reserved of its limits."""
        sent = self.dispatch is not None and self.dispatch.has_sent()
        if self.pool_plan is not None and self.pool_plan.asks_all:
            sent = self.status == 200
        size = self.body.size
        if self.tunnel is not None:
            size += self.tunnel.size()
        elif self.status:
            size += self.front.response_bytes()
        entry.settle(sent, self.status, self._reading(), size)

    def outcome(self) -> Outcome:
        outcome = Outcome(self.head, self.plan, self.request_id, self.began, self.ended)
        outcome.status = self.status
        outcome.response_bytes = self.front.response_bytes() if self.status else 0
        outcome.parse_s = self.parse_s
        outcome.first_byte_at = self.first_byte_at
        outcome.why = self.why
        if self.answered is not None:
            outcome.endpoints_id = self.answered.request_id
        if self.dispatch is not None:
            outcome.take_dispatch(self.dispatch)
        if self.clearance is not None:
            self.clearance.tell(outcome)
        if self.passage is not None:
            self.passage.tell(outcome)
        elif self.own_call is not None:
            outcome.grpc_status = self.own_call.status
        if self.split is not None:
            self.split.tell(outcome)
        if self.tunnel is not None:
            self.tunnel.tell(outcome)
        return outcome

    # --- what is made when it is needed -----------------------------------------------------

    def _made_clearance(self) -> Clearance:
        clearance = self.clearance
        if clearance is None:
            clearance = self.clearance = Clearance(
                self.context, self, self.front, self.head, self.plan, self.request_id
            )
        return clearance

    def _made_turns(self) -> Turns:
        turns = self.turns
        if turns is None:
            turns = self.turns = Turns(self.context.env, self.front, self.body)
        return turns

    def _made_passage(self) -> Passage:
        passage = self.passage
        if passage is None:
            dispatch = self.dispatch
            pool_plan = self.pool_plan
            assert dispatch is not None
            assert pool_plan is not None
            failover = Failover(dispatch, pool_plan, self.body, self._inspection())
            begun = self.status != 0
            passage = self.passage = Passage(
                self, self.own(), failover, self.front, self.clearance, self.began, begun=begun
            )
        return passage

    def _inspection(self) -> Inspection | None:
        return self.clearance.inspection if self.clearance is not None else None

    def _reading(self) -> AnswerReading | None:
        return self.passage.reading() if self.passage is not None else None
