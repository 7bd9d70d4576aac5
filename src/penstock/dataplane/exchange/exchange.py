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

from penstock.core.policy.support.own import own_failure
from penstock.core.ticket import ABANDONED, CLIENT_GONE, DONE, GARBAGE, TIMEOUT
from penstock.dataplane.board.layout import (
    P_CLIENT_GONE,
    P_CUT,
    W_FIXED,
    W_UNROUTED,
)
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answer_handling import PASSED_ON, REPLACED, AnswerHandling
from penstock.dataplane.exchange.answer_stages import AnswerStages
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.body import MAX_REPLAY_BYTES, RequestBody
from penstock.dataplane.exchange.clearance import Clearance, ClearanceOwner
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.endpoint_picking.call import PickingCall
from penstock.dataplane.exchange.entry import Entry
from penstock.dataplane.exchange.failover import (
    Failover,
    may_be_sent_again,
)
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.gathering import Gathering, GatheringOwner
from penstock.dataplane.exchange.grpc_call import GrpcCall
from penstock.dataplane.exchange.inspection import Inspection
from penstock.dataplane.exchange.log_line import log_line
from penstock.dataplane.exchange.mirror import start_mirror
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.own_answers import OwnAnswers
from penstock.dataplane.exchange.own_call import OwnCall, begun_stream, streams
from penstock.dataplane.exchange.relaying import TunnelOwner, changed_protocol
from penstock.dataplane.exchange.split.split_prompt import SplitOwner, SplitPrompt, split_of
from penstock.dataplane.exchange.steady import SteadyAnswer, watched
from penstock.dataplane.exchange.steady_owner import SteadyOwner
from penstock.dataplane.exchange.streamed_call import CallOwner, StreamedCall
from penstock.dataplane.exchange.tracing import RequestTrace
from penstock.dataplane.exchange.turns import Turns
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.record.tracer import Tracer
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.dataplane.tunnel.relay import CUT, Relay
from penstock.wire.http1 import Field, RequestHead, ResponseHead
from penstock.wire.openai import OTHER
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
    SteadyOwner,
    CallOwner,
    SplitOwner,
):
    """From a parsed head to the settled ticket."""

    # Defaults stand in the class body: set one by one they cost more than the rest of __init__.
    pool_plan: PoolPlan | None = None
    clearance: Clearance | None = None  # of one that is asked who asks, or whose body is read
    dispatch: Dispatch | None = None  # of one that goes to an endpoint
    own_call: OwnCall | None = None  # of one that is answered here
    streamed: StreamedCall | None = None  # likewise, as it comes
    call: GrpcCall | None = None  # of one that is a gRPC call to an endpoint
    split: SplitPrompt | None = None  # of one whose prompt may be computed elsewhere
    turns: Turns | None = None  # since somebody had to be waited for
    handling: AnswerHandling | None = None  # of an answer that may not simply pass
    stages: AnswerStages | None = None  # of its body, if it needs any
    trace: RequestTrace | None = None  # where traces are on
    steady: SteadyAnswer | None = None  # of one whose tokens are watched
    answered: ResponseHead | None = None  # the endpoint's final head that was passed on
    relay: Relay | None = None  # since the protocol was changed
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

    # --- route, inspect, admit --------------------------------------------------------------

    def start(self, data: bytes, complete: bool) -> None:
        """Begin, with what of the body came along with the head."""
        plan = self.plan
        body = self.body
        body.first = data
        body.size = len(data)
        body.complete = complete
        if plan.guarded and not self._cleared().lets_in(self.front):
            return
        self._begin(data, complete)

    def _begin(self, data: bytes, complete: bool) -> None:
        """Of one that may ask here; with what of the body came so far."""
        plan = self.plan
        body = self.body
        if not plan.choices:
            self._answer_here(data, complete)
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
            self._give(self.own().maintenance(pool.maintenance), "refused")
            return
        dispatch = Dispatch(self.context, self, pool, pool_plan.request, self.request_id)
        self.dispatch = dispatch
        dispatch.home = pool_plan.home
        dispatch.priority = pool_plan.priority
        if pool.request_s > 0.0:
            dispatch.expires_at = self.began + pool.request_s
        if plan.is_grpc:
            self.call = GrpcCall(plan.grpc_kind)
            if plan.grpc_timeout_s > 0.0:
                dispatch.expire_by(self.began + plan.grpc_timeout_s)
        if plan.mirror is not None and env.random() < plan.mirror_share:
            body.copy_to(start_mirror(self.context, plan.mirror, self.head, self.request_id))
        if pool_plan.may_tell_more and not self._cleared().begin(
            dispatch, pool_plan, pool.learning, body
        ):
            return
        clearance = self.clearance
        if clearance is None or clearance.reserves(dispatch, pool_plan):
            self._ask_for_place(dispatch)

    def _cleared(self) -> Clearance:
        clearance = self.clearance
        if clearance is None:
            clearance = self.clearance = Clearance(
                self.context, self, self.head, self.plan, self.request_id
            )
        return clearance

    def has_ended(self) -> bool:
        return self.ended != ""

    def on_let_in(self) -> None:
        self._begin(self.body.kept(), self.body.complete)

    def on_body_awaited(self) -> None:
        if self.head.expects_continue:
            self.front.send_continue()

    def on_cleared(self) -> None:
        if self.dispatch is not None:
            self._ask_for_place(self.dispatch)

    def on_kept_out(self, told: Answer) -> None:
        self._give(self.own().as_page(told), "refused")

    def on_listed(self, body: bytes) -> None:
        self._give(answers.json_answer(200, body), "fixed")

    # --- admit, eligible, pick, ticket (Dispatch) -------------------------------------------

    def _ask_for_place(self, dispatch: Dispatch) -> None:
        """Where those are bounded, no earlier than its body would fill it."""
        pool_plan = self.pool_plan
        if pool_plan is not None and pool_plan.asks_all:
            Gathering(self, pool_plan, self.request_id).begin(self.context.env)
            return
        if pool_plan is not None and dispatch.pool.watches and self.steady is None:
            self.steady = watched(
                self.context,
                self,
                self.front,
                self.body,
                dispatch,
                pool_plan,
                self.inspection(),
                is_call=self.call is not None,
            )
        if self.body.complete or not self._awaits_body(dispatch):
            dispatch.begin()
            return
        self._whose_turns().buffering = True
        if self.head.expects_continue:
            self.front.send_continue()

    def _awaits_body(self, dispatch: Dispatch) -> bool:
        """Of one whose length is not told, nobody knows whether the client waits for an answer
        before it sends the rest."""
        return self.body.size < min(self.head.content_length, dispatch.pool.request_buffer)

    def on_attempt_made(self, attempt: Attempt) -> None:
        pool_plan = self.pool_plan
        if pool_plan is not None and pool_plan.pool.prefill_pool is not None:
            split = self.split or self._split(pool_plan)
            if split is not None and split.holds(attempt):
                return
        self.begin_attempt(attempt)

    def _split(self, pool_plan: PoolPlan) -> SplitPrompt | None:
        inspection = self.inspection()
        if self.dispatch is not None and inspection is not None and self.body.complete:
            self.split = split_of(
                self.context, self, self.dispatch, pool_plan, self.head, inspection
            )
        return self.split

    def needs_prompt(self) -> bool:
        return self.status == 0 and not self.ended

    def on_prompt_lost(self, attempt: Attempt) -> None:
        if self.steady is not None:
            self.steady.forget(attempt)

    def on_prompt_failed(self, why: str) -> None:
        if not self.needs_prompt():
            return
        self._give_up(ABANDONED)
        self.why = why
        self._refuse(503, "no endpoint computes the prompt")

    def begin_attempt(self, attempt: Attempt) -> None:
        pool_plan = self.pool_plan
        once = pool_plan is None or not (self.body.complete and pool_plan.repeats_sent)
        if self.turns is not None:
            self.turns.forget_row()
        if self.steady is not None:
            self.steady.begin(attempt, self.context.env.now)
        if self.context.tracer is not None:
            self._traced(self.context.tracer).begin(attempt)
        attempt.begin(self.context.env.now, once)
        if attempt.is_connecting():
            self._await_connection(attempt)

    def _await_connection(self, attempt: Attempt) -> None:
        """Unless another attempt took its place meanwhile."""
        dispatch = self.dispatch
        if dispatch is not None and dispatch.attempt is attempt:
            self._take_turns()

    def on_waiting(self) -> None:
        if not self.ended:
            self._take_turns()

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self._refuse(503, why, retry_after_s, "overloaded")

    def on_no_endpoint(self, why: str, retry_after_s: int) -> None:
        self._refuse(503, why, retry_after_s)

    def proxy_header(self) -> ProxyHeader:
        header = self.front.proxy_header()
        header.unique_id = self.request_id
        return header

    # --- send -------------------------------------------------------------------------------

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
        inspection = clearance.inspection if clearance is not None else None
        legible = False
        if inspection is not None:
            legible = inspection.adapt(endpoint, attempt.ticket) or self.steady is not None
        elif endpoint.slots is not None and pool_plan.api != OTHER:
            endpoint.give_slot(attempt.ticket)
        body = self.body
        complete = body.complete
        if inspection is not None and inspection.completes:
            head = pool_plan.forwarded_to_completions(endpoint)
        else:
            head = pool_plan.forwarded(endpoint, legible)
        if clearance is not None and clearance.entry is not None and clearance.entry.told:
            head = head.with_fields(clearance.entry.told)
        if self.trace is not None:
            head = self.trace.told(head, attempt)
        if body.other_length >= 0:
            head = head.for_other_body(body.other_length, body.decoded)
        kept = body.kept()
        if self.split is not None:
            head, kept = self.split.sent(head, kept)
        attempt.sent = True
        if complete:  # the row of the table that is the common one
            stream.arm(endpoint.connector.settings.first_byte_s)
        taken = stream.send_request(head, self.request_id, kept, complete)
        if not complete:
            self._whose_turns().awaits_continue = not kept and self._continue_is_due(pool_plan)
            self._take_turns()
            return
        if body.room and not may_be_sent_again(self.context, pool_plan, inspection, endpoint):
            self._forget_body()
            if taken:
                body.give_room_back(self.context)
        if turns is not None and turns.client_full:
            self._take_turns()

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """More of the request's body, in the framing that goes to the endpoint."""
        body = self.body
        if self.own_call is not None:
            self._serve(self.own_call, data, complete)
            return
        if self.streamed is not None:
            self.streamed.take(data, complete)
            return
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        body.add(data, complete, self.status == 0)
        clearance = self.clearance
        if clearance is not None and clearance.awaits_body:
            clearance.take_body(data, complete)
            return
        turns = self._whose_turns()
        if turns.buffering and dispatch is not None:
            if not self._awaits_body(dispatch):
                turns.buffering = False
                dispatch.begin()
            return
        if attempt is None or not attempt.sent or attempt.stream is None:
            self._take_turns()
            return
        if body.size > MAX_REPLAY_BYTES and body.replayable:
            self._forget_body()
            body.give_room_back(self.context)
        turns.awaits_continue = False
        attempt.stream.send_more(data, complete)
        self._take_turns()

    def _continue_is_due(self, pool_plan: PoolPlan) -> bool:
        """Whether a client that waits for 100 is to get it from the endpoint."""
        if pool_plan.inspects or pool_plan.skims or self.body.size > 0:
            return False
        return self.head.expects_continue

    def on_attempt_drained(self, attempt: Attempt) -> None:
        body = self.body
        if not body.complete:
            self._take_turns()
        elif body.room and not body.replayable:
            body.give_room_back(self.context)

    def _forget_body(self) -> None:
        self.body.forget()
        clearance = self.clearance
        if clearance is not None and clearance.inspection is not None:
            clearance.inspection.drop()

    # --- relay ------------------------------------------------------------------------------

    def on_attempt_interim(self, attempt: Attempt, head: ResponseHead) -> None:
        """Passed on to clients that can take it; 100 only to one that waits for it."""
        pool_plan = self.pool_plan
        waits = pool_plan is not None and self._continue_is_due(pool_plan)
        if self.head.minor == 0 or (head.status == 100 and not waits):
            return
        self.front.interim(head)
        if head.status == 100:
            self.front.continue_body()
            self._whose_turns().awaits_continue = False
            self._take_turns()

    def frame_attempt(self, attempt: Attempt, head: ResponseHead) -> bool:
        pool_plan = self.pool_plan
        dispatch = self.dispatch
        if pool_plan is None or dispatch is None:
            return False  # nobody wants it any more
        if pool_plan.passes_answers and head.status < 400:
            self.handling = None
            return self.front.frame(head, False)
        handling = AnswerHandling(
            self.context,
            self.head,
            pool_plan,
            self.failover(),
            self.own(),
            self.call,
            attempt,
            head,
        )
        steady = self.steady
        if steady is not None and steady.keeps(attempt, head):
            steady.hold(attempt, handling)
            return False
        self.handling = handling
        return handling.frame(self.front)

    def on_attempt_answered(
        self, attempt: Attempt, head: ResponseHead, body: bytes, complete: bool
    ) -> None:
        attempt.ticket.status = head.status
        steady = self.steady
        if steady is not None and steady.holds(attempt):
            steady.on_head(attempt, body, complete)
            return
        if steady is not None:
            if self.status:  # another answer is under way, of which this is to be the rest
                why = f"it answered {head.status} to the request for the rest of an answer"
                self.break_off(attempt, DONE, why)
                return
            if not steady.is_answer(attempt, head):
                return
        handling = self.handling
        broken = ""
        if handling is None:
            attempt.ticket.first_byte(self.context.env.now)
        elif not self.passes_on(handling, attempt, body, complete):
            return
        else:
            body = handling.begin(body, complete)
            head = handling.head
            broken = handling.broken
        self._respond(attempt, head, body, complete and not broken, broken)

    def begin_answer(
        self, attempt: Attempt, handling: AnswerHandling, body: bytes, complete: bool, broken: str
    ) -> None:
        self.handling = handling
        self._respond(attempt, handling.head, body, complete and not broken, broken)

    def _respond(
        self, attempt: Attempt, head: ResponseHead, body: bytes, complete: bool, broken: str
    ) -> None:
        """The client gets this answer, from its head on."""
        pool_plan = self.pool_plan
        assert pool_plan is not None
        now = self.context.env.now
        status = head.status
        handling = self.handling
        steady = self.steady
        if steady is not None:
            if not steady.spoke:
                steady.win(attempt)
            if self.turns is not None:
                self.turns.forget_row()
        self.first_byte_at = now
        self.status = status
        self.answered = head
        cookie = b""
        decoded = False
        if handling is not None:
            self.stages = handling.stages
            cookie, decoded = handling.cookie, handling.decoded
        front = self.front
        clearance = self.clearance
        if clearance is not None and clearance.entry is not None:
            front.tell(clearance.entry.lines(self.plan.family(pool_plan)))
            clearance.entry.follow(self.stages.reading() if self.stages is not None else None)
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
        if broken:
            self._break_off(attempt, broken)
        elif not taken:
            self._await_client()

    def passes_on(
        self, handling: AnswerHandling, attempt: Attempt, body: bytes, complete: bool
    ) -> bool:
        """Whether nothing takes its place."""
        verdict = handling.judge(self.began, body, complete)
        answer = handling.answer
        if verdict == REPLACED and answer is not None:
            attempt.drop()
            self.why = handling.why
            if handling.counts:
                self.first_byte_at = self.context.env.now
            self._give(answer, "refused" if handling.refuses else "done")
        return verdict == PASSED_ON

    def on_attempt_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        steady = self.steady
        if steady is not None and steady.holds(attempt):
            steady.on_body(attempt, data, complete)
            return
        stages = self.stages
        if stages is not None:
            data = stages.pass_on(data, complete, self.context.env.now)
            if stages.broken:
                self._break_off(attempt, stages.broken)
                return
        self.pass_body(attempt, data, complete)

    def pass_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        steady = self.steady
        if steady is not None:
            data = steady.follow(attempt, data, complete)
            failed = steady.fails()
            if failed:
                if data:
                    self.front.send_body(data)
                self.break_off(attempt, GARBAGE, f"the answer tells an error: {failed}")
                return
        if data and not self.front.send_body(data) and not complete:
            self._await_client()
        if complete:
            now = self.context.env.now
            attempt.settle(DONE, now)
            self._end(now, "done")
            self.front.finish()

    def _await_client(self) -> None:
        """It takes no more for now."""
        self._whose_turns().client_full = True
        self._take_turns()

    def on_attempt_trailers(self, attempt: Attempt, fields: list[Field]) -> None:
        if self.call is not None:
            self.call.note(attempt.ticket, fields)
        self.front.trailers(fields)

    def on_attempt_without_message(
        self, attempt: Attempt, head: ResponseHead, trailers: list[Field]
    ) -> bool:
        call = self.call
        dispatch = self.dispatch
        pool_plan = self.pool_plan
        if call is None or dispatch is None or pool_plan is None or not pool_plan.repeats_calls:
            return False
        attempt.ticket.status = head.status
        call.note(attempt.ticket, trailers)
        return self.failover().repeats_call(attempt, call, trailers, call.status)

    def on_client_drained(self) -> None:
        if self.streamed is not None:
            self.streamed.on_drained()
            return
        if self.turns is not None:
            self.turns.client_full = False
        if self.status:
            self._take_turns()

    def limit_answer(self, most: int) -> None:
        """Read at most so much of the answer at a time; at 0, for now nothing of it."""
        if self.streamed is not None:
            self.streamed.limit(most)
            return
        turns = self._whose_turns()
        full = most <= 0
        if not full:
            if self.stages is not None:
                most = min(most, self.stages.most_at_once())
            turns.read_bytes = most
            dispatch = self.dispatch
            attempt = dispatch.attempt if dispatch is not None else None
            if attempt is not None and attempt.sent and attempt.stream is not None:
                attempt.stream.limit_reading(most)
        if full != turns.client_full:
            turns.client_full = full
            self._take_turns()

    def _whose_turns(self) -> Turns:
        turns = self.turns
        if turns is None:
            turns = self.turns = Turns(self.context.env, self.front, self.body)
        return turns

    def _take_turns(self) -> None:
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        answered = self.status != 0 and (self.steady is None or not self.steady.waits())
        clearance = self.clearance
        reading = clearance is not None and clearance.awaits_body
        self._whose_turns().take(attempt, answered, reading)

    # --- a change of protocol ---------------------------------------------------------------

    def on_attempt_switched(self, attempt: Attempt, head: ResponseHead, rest: bytes) -> None:
        """From here on bytes are relayed, of which nothing is understood."""
        pool_plan = self.pool_plan
        dispatch = self.dispatch
        upgrade = pool_plan.upgrade if pool_plan is not None else None
        assert pool_plan is not None
        assert dispatch is not None
        assert upgrade is not None
        now = self.context.env.now
        attempt.ticket.status = head.status
        attempt.ticket.first_byte(now)
        pool_plan.pool.counters.record(_FIRST_BYTE, now - self.began)
        self.first_byte_at = now
        self.status = head.status
        self.answered = head
        cookie = dispatch.cookie(pool_plan.cookie)
        front = self.front
        client = front.switch(head, upgrade.protocol, pool_plan.rules, self.request_id, cookie)
        received = front.take_received()
        relay = changed_protocol(
            self, self.context, pool_plan.pool, attempt, client, is_websocket=upgrade.is_websocket
        )
        self.relay = relay
        relay.begin(received, rest)

    def on_tunnel_ended(self, ended: str, why: str) -> None:
        self.why = why
        self._end(self.context.env.now, ended)
        self.relay = None

    def on_attempt_unable(self, attempt: Attempt, reason: str) -> None:
        """No other is asked: endpoints of one pool can do the same, as they are configured."""
        attempt.settle(ABANDONED, self.context.env.now)
        self.why = f"endpoint {attempt.endpoint.name}: {reason}"
        self._refuse(501, "the endpoint cannot do what the request asks for")

    # --- failures ---------------------------------------------------------------------------

    def on_attempt_failed(
        self, attempt: Attempt, stream: EndpointStream | None, outcome: int, reason: str
    ) -> None:
        dispatch = self.dispatch
        pool_plan = self.pool_plan
        assert dispatch is not None
        assert pool_plan is not None
        now = self.context.env.now
        steady = self.steady
        if steady is not None and steady.runs_beside(attempt):
            steady.lose(attempt, outcome)
            return
        if self.status:
            if steady is not None and steady.resume(attempt, outcome):
                return
            self.why = reason
            if steady is not None and steady.why_cut:
                self.why = f"{reason}; nobody goes on with it: {steady.why_cut}"
            attempt.settle(outcome, now)
            dispatch.pool.counters.bump(P_CUT)
            self._end(now, "cut")
            self.front.cut(False)
            return
        if outcome == ABANDONED:
            attempt.settle(outcome, now)
            self._refuse(503, reason)
            return
        held = steady is not None and steady.forget(attempt)
        if self.failover().goes_on(attempt, stream, outcome, self.head.method, held):
            return
        # The log has endpoint and reason; addresses and certificates are no client's business.
        self.why = f"endpoint {attempt.endpoint.name}: {reason}"
        if outcome == TIMEOUT or (stream is not None and stream.ran_out_of_time()):
            self._refuse(504, "the endpoint did not answer in time")
        else:
            self._refuse(502, "the endpoint failed before it answered")

    def _break_off(self, attempt: Attempt, reason: str) -> None:
        """What comes cannot be passed on."""
        self.break_off(attempt, GARBAGE, reason)

    def break_off(self, attempt: Attempt, outcome: int, reason: str) -> None:
        attempt.give_up()
        self.on_attempt_failed(attempt, None, outcome, reason)

    def inspection(self) -> Inspection | None:
        """Of one whose body may tell more."""
        return self.clearance.inspection if self.clearance is not None else None

    def failover(self) -> Failover:
        dispatch = self.dispatch
        pool_plan = self.pool_plan
        assert dispatch is not None
        assert pool_plan is not None
        return Failover(dispatch, pool_plan, self.body, self.inspection())

    def take_over(self, handling: AnswerHandling) -> None:
        clearance = self.clearance
        if clearance is not None and clearance.entry is not None:
            before = self.stages.reading() if self.stages is not None else None
            after = handling.stages.reading() if handling.stages is not None else None
            clearance.entry.go_on(before, after)
        self.handling = handling
        self.stages = handling.stages
        if self.turns is not None:
            self.turns.forget_row()
            self._take_turns()

    def end_whole(self, attempt: Attempt, outcome: int, data: bytes) -> None:
        now = self.context.env.now
        attempt.settle(outcome, now)
        if data:
            self.front.send_body(data)
        self._end(now, "done")
        self.front.finish()

    def takes_none(self) -> bool:
        return self.turns is not None and self.turns.client_full

    # --- answers of our own -----------------------------------------------------------------

    def own(self) -> OwnAnswers:
        """Answers of our own to this request."""
        return OwnAnswers(self.head, self.plan, self.pool_plan, self.request_id)

    def _answer_here(self, data: bytes, complete: bool) -> None:
        """A redirect, a fixed response, a gRPC call, or a refusal: no route, an ambiguous path, a
        loop."""
        plan = self.plan
        if plan.service and streams(plan):
            self._stream_here(data, complete)
            return
        if plan.service:
            self.own_call = OwnCall(self.context, plan, self.head)
            self._serve(self.own_call, data, complete)
            return
        refused = plan.message != ""
        self.context.counters.bump(W_UNROUTED if refused else W_FIXED)
        self._give(self.own().without_endpoint(), "refused" if refused else "fixed")

    def _serve(self, call: OwnCall, data: bytes, complete: bool) -> None:
        """More of a gRPC call that is answered here."""
        self.body.complete = complete
        answer = call.take(data, complete)
        if answer is not None:
            self.context.counters.bump(W_FIXED)
            self._give(answer, "fixed")

    def _stream_here(self, data: bytes, complete: bool) -> None:
        """A gRPC call that is answered here as it comes."""
        self.context.counters.bump(W_FIXED)
        self.status = 200
        self.front.answer(begun_stream(), self.request_id, self.own().edits())
        call = PickingCall(self.context, self, self.front, self.plan, self.head)
        self.streamed = call
        call.take(data, complete)

    def on_call_over(self) -> None:
        self._note_end(self.context.env.now, "fixed")
        self.front.finish()

    def _refuse(self, status: int, message: str, retry_after_s: int = 1, kind: str = "") -> None:
        """An error of our own; the message is the log's reason too, unless there is one."""
        if self.status:  # nobody goes on with an answer that was cut
            self.why = message
            if self.pool_plan is not None:
                self.pool_plan.pool.counters.bump(P_CUT)
            self._end(self.context.env.now, "cut")
            self.front.cut(False)
            return
        if self.plan.listed and not self.plan.listed_to_keys and status >= 500:
            self._give(self.own().model_list(), "done")
            return
        self._give(self.own().refusal(status, message, retry_after_s, kind), "refused")

    def on_gathered(self, status: int, body: bytes) -> None:
        if not body:
            self._refuse(502, "no endpoint answered")
            return
        clearance = self.clearance
        if clearance is not None and clearance.entry is not None and status == 200:
            body = clearance.entry.shown(body)
        self._give(answers.json_answer(status, body), "done")

    def _give(self, answer: Answer, ended: str) -> None:
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
        if self.relay is not None:
            self.relay.close(CUT)
            return
        try:
            self._give_up(ABANDONED)
        finally:
            if self.status == 0:
                self.front.close_after()
                own = own_failure(sys.exc_info()[1])
                if own:
                    self.why = own  # for the log; no client's business
                    self._refuse(500, "the policy of the pool failed; see the standard error")
                else:
                    self._refuse(500, "internal error; see the balancer's standard error")
            else:
                self._end(self.context.env.now, "crashed")
                self.front.cut(True)

    def _give_up(self, outcome: int) -> None:
        """Stop the attempt under way, if there is one."""
        if self.streamed is not None:
            self.streamed.gone(outcome)
        if self.split is not None:
            self.split.give_up(outcome)
        if self.clearance is not None:
            self.clearance.give_up()
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        if attempt is not None:
            attempt.give_up()
            attempt.settle(outcome, self.context.env.now)
        if self.steady is not None:
            self.steady.give_up(outcome)

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
            self.body.end(self.context)
        if self.handling is not None:
            self._end_handling(self.handling)
        log = self.context.log
        # What is streamed beside it has a line of its own.
        if log.enabled and self.streamed is None and log.shape.wants(self.status, ended):
            log.write(log_line(self._outcome(), now, log.shape))
        if self.context.tracer is not None:
            self._tell_trace(self._traced(self.context.tracer), now)
        if self.steady is not None:
            self.steady.end()
            self.steady = None
        # They know this exchange: no cycle is left for the collector.
        if dispatch is not None:
            dispatch.waiter = None
            self.dispatch = None
        if self.clearance is not None:
            self.clearance.end()
            self.clearance = None
        self.streamed = None
        self.split = None
        self.trace = None

    def _traced(self, tracer: Tracer) -> RequestTrace:
        trace = self.trace
        if trace is None:
            trace = self.trace = RequestTrace(tracer, self.plan)
        return trace

    def _tell_trace(self, trace: RequestTrace, now: float) -> None:
        if trace.wants(self.status, self.ended, now - self.began):
            trace.tell(self._outcome(), now, self.context.log.shape)

    def _settle(self, entry: Entry) -> None:
        """What it reserved of its limits."""
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        sent = dispatch is not None and (
            dispatch.attempt_number > 1 or (attempt is not None and attempt.sent)
        )
        if self.pool_plan is not None and self.pool_plan.asks_all:
            sent = self.status == 200
        reading = self.stages.reading() if self.stages is not None else None
        size = self.body.size
        relay = self.relay
        if relay is not None:
            size += relay.bytes_from_client + relay.bytes_from_endpoint
        elif self.status:
            size += self.front.response_bytes()
        entry.settle(sent, self.status, reading, size)

    def _end_handling(self, handling: AnswerHandling) -> None:
        self.handling = None
        stages = handling.stages
        if stages is not None:
            self.why = self.why or stages.failure()
            stages.end(self.context)

    def _outcome(self) -> Outcome:
        """What the log tells of it."""
        outcome = Outcome(self.head, self.plan, self.request_id, self.began, self.ended)
        outcome.status = self.status
        outcome.response_bytes = self.front.response_bytes() if self.status else 0
        outcome.parse_s = self.parse_s
        outcome.first_byte_at = self.first_byte_at
        outcome.why = self.why
        if self.dispatch is not None:
            outcome.take_dispatch(self.dispatch)
        clearance = self.clearance
        if clearance is not None:
            clearance.tell(outcome)
        if self.relay is not None:
            outcome.take_relay(self.relay)
        if self.split is not None:
            outcome.prefill = self.split.computed_by()
            outcome.why = self.why or self.split.why
        if self.answered is not None:
            outcome.endpoints_id = self.answered.request_id
        if self.stages is not None:
            outcome.answer = self.stages.reading()
        if self.steady is not None:
            outcome.resumed = self.steady.resumed()
            outcome.hedged = self.steady.hedged()
        if self.call is not None:
            outcome.grpc_status = self.call.status
        elif self.own_call is not None:
            outcome.grpc_status = self.own_call.status
        return outcome
