"""One request and its response: the life of a request, top to bottom.

    accept → parse         client/listener.py, client/http1.py
    → route                route/planner.py, once for each distinct head
    → inspect              inspection.py, while the body comes
    → admit → eligible → pick → ticket → send → relay → settle       here

The client's side calls ``start``, ``on_request_body``, ``on_client_drained`` and those of "ends";
attempts call the methods of ``AttemptOwner``. Whatever happens, ``_note_end`` runs once.
"""

import sys
from typing import Final

from penstock.core.admission.gate import Ending, needs_of
from penstock.core.attempts import Attempts
from penstock.core.endpoint import Endpoint
from penstock.core.policy.support.own import own_failure
from penstock.core.pool.pool import NO_ROOM, ROOM
from penstock.core.request import Request
from penstock.core.ticket import ABANDONED, CLIENT_GONE, DONE, GARBAGE, TIMEOUT, Ticket
from penstock.dataplane.board.layout import (
    P_CLIENT_GONE,
    P_CUT,
    P_NO_ENDPOINT,
    P_REQUESTS,
    P_RETRIES,
    W_FIXED,
    W_UNROUTED,
)
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.http1 import EndpointConnection
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answer_tap import AnswerTap, changes_length, reading_for
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.body import MAX_REPLAY_BYTES, RequestBody
from penstock.dataplane.exchange.failover import is_stale, may_be_sent_again, may_follow
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.gathering import Gathering, GatheringOwner
from penstock.dataplane.exchange.inspection import GO_ON, READ_ON, REFUSE, Inspection
from penstock.dataplane.exchange.log_line import Outcome, log_line
from penstock.dataplane.exchange.mirror import Mirror, start_mirror
from penstock.dataplane.exchange.turn import (
    CONNECTING,
    READING,
    RELAYING,
    SENT,
    WAITING,
    Turn,
    turn_of,
)
from penstock.dataplane.llm.answer_reading import AnswerReading, names_reading_of
from penstock.dataplane.pool.admission import AdmittedExchange, ExchangeWaiter
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.model_waits import ModelsAwaiter
from penstock.dataplane.record.recorder import Watch
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.forwarding import Edit, for_other_body
from penstock.wire.http1 import RequestHead, ResponseHead
from penstock.wire.openai import OTHER

# Phases of the histograms, as in board.PHASES.
_CONNECT: Final = 1
_FIRST_BYTE: Final = 2
# Of an engine asked for its models: it told them, or has no such path and asks for no key.
_LETS_LIST: Final = frozenset((200, 404, 405, 501))
# Ends that tell nothing about the endpoints: the client's doing, or ours.
_TELLS_NOTHING: Final = frozenset(("client_gone", "bad_request", "crashed"))


class Exchange(AttemptOwner, AdmittedExchange, ModelsAwaiter, GatheringOwner):
    """From a parsed head to the settled ticket."""

    # Defaults stand in the class body: set one by one they cost more than the rest of __init__.
    pool_plan: PoolPlan | None = None
    request: Request | None = None  # what the policy may know
    inspection: Inspection | None = None  # of one whose body may tell more
    attempt: Attempt | None = None  # the last one
    attempts: Attempts | None = None  # made when the first one fails or is passed over
    attempt_number: int = 0  # of the attempt under way or made last; 0 before the first
    tap: AnswerTap | None = None  # of an answer that is read along
    answered: ResponseHead | None = None  # the endpoint's final head that was passed on
    mirror: Mirror | None = None
    waiter: ExchangeWaiter | None = None  # of one that has passed or awaits a pool's admission
    status: int = 0  # answered to the client; 0 until then
    ended: str = ""  # how, in one word, for the log
    why: str = ""  # it was refused or cut, in a sentence
    parse_s: float = 0.0  # from its head's first byte until the head was whole
    first_byte_at: float = 0.0
    _expires_at: float = 0.0
    _chunked: bool = False  # pieces of the answer come in chunks
    _turn: Turn | None = None  # the row that was applied last
    _client_full: bool = False  # bytes wait for it to take them
    _awaits_continue: bool = False  # its body, for the 100 of the endpoint
    _inspecting: bool = False  # no endpoint is chosen before more of the body is there
    _keeps_cookie: bool = False  # its endpoint is full, and it goes elsewhere this once
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
        if not plan.choices:
            self._answer_here()
            return
        env = self.context.env
        pool_plan = plan.choices[0] if len(plan.choices) == 1 else plan.choose(env.random())
        self.pool_plan = pool_plan
        pool = pool_plan.pool
        pool.counters.values[P_REQUESTS] += 1
        pool.counters.changed = True
        if pool.request_s > 0.0:
            self._expires_at = self.began + pool.request_s
        if plan.mirror is not None and env.random() < plan.mirror_share:
            self.mirror = start_mirror(self.context, plan.mirror, self.head, self.request_id)
            if self.mirror is not None:
                self.mirror.feed(data, complete)
        self.request = pool_plan.request
        if pool_plan.may_tell_more and not self._inspect(pool_plan, data, complete):
            return
        if pool_plan.asks_all:
            Gathering(self, pool_plan, self.request_id).begin(env)
            return
        self._admit(pool_plan)

    def _inspect(self, pool_plan: PoolPlan, data: bytes, complete: bool) -> bool:
        """Read what the body tells; False when it waits for that, or was refused."""
        learning = pool_plan.pool.learning
        if learning is None:
            return True
        inspection = Inspection(
            self.context, pool_plan, learning, self.head, self.body, self.request_id, self
        )
        self.inspection = inspection
        found = inspection.begin()
        if found == READ_ON and complete:
            found = inspection.read_whole(data)
        elif found == READ_ON:
            self._inspecting = True
            if self.head.expects_continue:
                self.front.send_continue()
            found = inspection.read(data, False)
        return self._heeds(inspection, found)

    def _heeds(self, inspection: Inspection, found: int) -> bool:
        """Whether the request goes on by what the body tells."""
        if found == READ_ON:
            return False
        self._inspecting = False
        if found == GO_ON:
            self.request = inspection.request
            return True
        if found == REFUSE and inspection.refusal is not None:
            self._give(inspection.refusal, "refused")
        return False

    def on_models_known(self) -> None:
        pool_plan = self.pool_plan
        inspection = self.inspection
        if pool_plan is None or inspection is None:
            return
        if self._heeds(inspection, inspection.understand()):
            self._admit(pool_plan)

    def has_ended(self) -> bool:
        return self.ended != ""

    def _admit(self, pool_plan: PoolPlan) -> None:
        """Go on at once, unless the pool's admission makes it wait or turns it away."""
        admission = pool_plan.pool.admission
        if admission is None:
            self._try(pool_plan)
            return
        request = self.request
        assert request is not None
        waiter = ExchangeWaiter(self, pool_plan.priority, self._expires_at)
        waiter.caller = request.caller
        waiter.needs = self._needs(pool_plan, request)
        self.waiter = waiter
        if admission.admits(waiter):
            self._try(pool_plan)
        elif not self.ended:
            self._take_turns()

    def on_admitted(self) -> None:
        pool_plan = self.pool_plan
        assert pool_plan is not None
        self._try(pool_plan)

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self._refuse(503, why, retry_after_s, "overloaded")

    def _needs(self, pool_plan: PoolPlan, request: Request) -> str:
        """What it can use: those that wait for the same do so in one line."""
        bound = self._bound_to(pool_plan, request) if pool_plan.pool.waits_for_bound else None
        attempts = self.attempts
        tried = attempts.tried if attempts is not None else None
        return needs_of(request.model, tried, bound.name if bound is not None else "")

    def room(self) -> int:
        pool_plan = self.pool_plan
        request = self.request
        assert pool_plan is not None
        assert request is not None
        pool = pool_plan.pool
        bound = self._bound_to(pool_plan, request)
        if bound is not None:
            if bound.has_room():
                return ROOM
            if pool.waits_for_bound:
                return NO_ROOM
        attempts = self.attempts
        return pool.room(request, attempts.tried if attempts is not None else None)

    def _bound_to(self, pool_plan: PoolPlan, request: Request) -> LiveEndpoint | None:
        """The endpoint to which an answer, or else a cookie, binds it, as long as it may go there
        and has tried nothing yet."""
        if self.attempts is not None and self.attempts.tried:
            return None
        pool = pool_plan.pool
        return pool.answer_endpoint(request) or pool.sticky_endpoint(pool_plan.home, request)

    # --- eligible, pick, ticket -------------------------------------------------------------

    def _try(self, pool_plan: PoolPlan) -> None:
        """Choose an endpoint and begin an attempt there."""
        request = self.request
        assert request is not None
        env = self.context.env
        pool = pool_plan.pool
        attempts = self.attempts
        tried = attempts.tried if attempts is not None else None
        watch: Watch | None = None
        if pool.counters.values[P_REQUESTS] >= pool.recorder.sample_at:
            watch = pool.recorder.watch(request, env, tried or (), self.request_id)
        chosen: Endpoint | None = None
        by = "answer"
        if not tried:
            chosen = pool.answer_endpoint(request) if request.continues else None
            if chosen is None and pool_plan.home is not None:
                chosen = pool.sticky_endpoint(pool_plan.home, request)
                by = "cookie"
            if chosen is not None and not chosen.has_room():
                if pool.waits_for_bound:
                    self._no_endpoint(pool_plan, request)
                    return
                chosen = None
                self._keeps_cookie = by == "cookie"
        if chosen is None:
            chosen = pool.pick(request, env, tried)
            by = "policy"
        if chosen is None:
            self._no_endpoint(pool_plan, request)
            return
        assert isinstance(chosen, LiveEndpoint)
        self.attempt_number += 1
        if watch is None:
            ticket = Ticket(chosen, pool.policy, request, env.now)
        else:
            ticket = watch.ticket(chosen, pool.policy, request, by, self.attempt_number)
        attempt = Attempt(self, chosen, ticket, self._expires_at)
        self.attempt = attempt
        self._turn = None  # whatever the row is, it was not applied to this one
        if chosen.guarded and not ticket.enters(env.now):
            # Another worker took the last place at the same moment.
            attempt.settle(ABANDONED, env.now)
            self.attempt_number -= 1
            if by != "policy" and pool.waits_for_bound:
                self._no_endpoint(pool_plan, request)
            else:
                self._keeps_cookie = self._keeps_cookie or by == "cookie"
                self._tries(pool_plan).pass_over(chosen)
                self._try(pool_plan)
            return
        attempt.begin(env.now, not (self.body.complete and pool_plan.repeats_sent))
        if self._is_current(attempt) and attempt.is_connecting():
            self._take_turns()

    def _is_current(self, attempt: Attempt) -> bool:
        """Whether it is the one under way still. In a method of its own: where ``attempt`` was set
        just before, mypyc takes for granted that it is, and not None, whatever was called since."""
        return self.attempt is attempt

    def _tries(self, pool_plan: PoolPlan) -> Attempts:
        attempts = self.attempts
        if attempts is None:
            attempts = self.attempts = Attempts(pool_plan.pool)
        return attempts

    def _no_endpoint(self, pool_plan: PoolPlan, request: Request) -> None:
        """There is none for it now: it waits once more where it was let in, or is refused."""
        pool = pool_plan.pool
        waiter = self.waiter
        if waiter is not None and pool.admission is not None:
            if self.attempts is not None:
                self.attempts.may_fill_again()
            waiter.needs = self._needs(pool_plan, request)
            if pool.admission.takes_back(waiter):
                return
        pool.counters.bump(P_NO_ENDPOINT)
        self._refuse(503, pool.why_none(request), pool.retry_after_s())

    # --- send -------------------------------------------------------------------------------

    def on_attempt_connected(self, attempt: Attempt) -> None:
        """Send the head, with the body so far, in one write."""
        pool_plan = self.pool_plan
        connection = attempt.connection
        assert pool_plan is not None
        assert connection is not None
        endpoint = attempt.endpoint
        if connection.requests == 0:
            pool_plan.pool.counters.record(_CONNECT, attempt.connect_s)
        connection.begin(attempt, self.head.bodiless, self._expires_at)
        inspection = self.inspection
        legible = False
        if inspection is not None:
            legible = inspection.adapt(endpoint, attempt.ticket)
        elif endpoint.slots is not None and pool_plan.api != OTHER:
            endpoint.give_slot(attempt.ticket)
        body = self.body
        complete = body.complete
        prefix = pool_plan.prefix(endpoint, legible)
        if body.other_length >= 0:
            prefix = for_other_body(prefix, self.head, body.other_length, body.decoded)
        kept = body.kept()
        data = b"%b%b\r\n\r\n%b" % (prefix, self.request_id, kept)
        attempt.sent = True
        connection.request_sent = complete
        if complete:  # the row of the table that is the common one
            connection.arm(endpoint.connector.settings.first_byte_s)
        taken = connection.send(data)
        endpoint.tally.bytes_sent += len(data)
        if body.room and complete and not self._may_be_sent_again(pool_plan, endpoint):
            self._forget_body()
            if taken:
                body.give_room_back(self.context)
        if not complete:
            self._awaits_continue = not kept and self._continue_is_due(pool_plan)
            self._take_turns()

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """More of the request's body, in the framing that goes to the endpoint."""
        body = self.body
        attempt = self.attempt
        body.add(data, complete, self.status == 0)
        if self.mirror is not None:
            self.mirror.feed(data, complete)
        if self._inspecting and self.inspection is not None:
            pool_plan = self.pool_plan
            assert pool_plan is not None
            if self._heeds(self.inspection, self.inspection.read(data, complete)):
                self._admit(pool_plan)
            return
        if attempt is None or not attempt.sent or attempt.connection is None:
            self._take_turns()
            return
        if body.size > MAX_REPLAY_BYTES and body.replayable:
            self._forget_body()
            body.give_room_back(self.context)
        connection = attempt.connection
        endpoint = attempt.endpoint
        connection.request_sent = complete
        self._awaits_continue = False
        if data:
            connection.send(data)
            endpoint.tally.bytes_sent += len(data)
        self._take_turns()

    def _continue_is_due(self, pool_plan: PoolPlan) -> bool:
        """Whether a client that waits for 100 is to get it from the endpoint."""
        return self.head.expects_continue and not pool_plan.inspects and not pool_plan.skims

    def on_attempt_drained(self, attempt: Attempt) -> None:
        body = self.body
        if not body.complete:
            self._take_turns()
        elif body.room and not body.replayable:
            body.give_room_back(self.context)

    def _may_be_sent_again(self, pool_plan: PoolPlan, endpoint: LiveEndpoint) -> bool:
        return may_be_sent_again(self.context, pool_plan, self.inspection, endpoint)

    def _forget_body(self) -> None:
        self.body.forget()
        if self.inspection is not None:
            self.inspection.drop()

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
            self._awaits_continue = False
            self._take_turns()

    def frame_attempt(self, attempt: Attempt, head: ResponseHead) -> bool:
        chunked = self.front.frame(head, changes_length(self.inspection, head))
        self._chunked = chunked
        return chunked

    def on_attempt_answered(
        self, attempt: Attempt, head: ResponseHead, body: bytes, complete: bool
    ) -> None:
        now = self.context.env.now
        pool_plan = self.pool_plan
        ticket = attempt.ticket
        assert pool_plan is not None
        pool = pool_plan.pool
        status = head.status
        ticket.status = status
        if self.plan.listed and self._takes_list(attempt, pool_plan, head, complete):
            return
        reading: AnswerReading | None = None
        inspection = self.inspection
        if inspection is not None and inspection.prompt is not None:
            if (status == 400 or status == 422) and self._repeat_plainly(attempt, inspection):
                return
            inspection.note_usage(attempt.endpoint, status)
            if status == 404 and pool.spec.asks_again:
                pool.waits.missed()
            reading = reading_for(
                inspection,
                inspection.prompt,
                head,
                self._chunked,
                attempt.endpoint,
                self.began,
                self.context.env,
            )
        elif pool_plan.makes_things:
            reading = names_reading_of(head, self._chunked, self.context.env)
        if reading is None or not reading.streamed:
            ticket.first_byte(now)  # else with the first token: engines send the head at once
        if pool.orca:
            pool.take_orca(attempt.endpoint, head, now)
        if status in pool.rules.on_statuses and self._may_follow(attempt, None, DONE, status):
            attempt.give_up()
            attempt.settle(DONE, now)
            self._retry(pool_plan)
            return
        if pool_plan.conversation and pool.learning is not None:
            pool.learning.note_kept(pool_plan.conversation, attempt.endpoint)
        self.first_byte_at = now
        self.status = status
        self.answered = head
        cookie = b""
        if pool.sticky is not None and not self._keeps_cookie:
            cookie = pool.cookie_for(attempt.endpoint, pool_plan.cookie)
        rules = pool_plan.rules
        if pool_plan.origin and head.rewritten_for is not rules:
            pool.origins.learn(pool_plan.origin, head.fields)
        decoded = False
        broken = ""
        if reading is not None and pool.learning is not None:
            self.tap = AnswerTap(reading, ticket, attempt.endpoint, pool.learning, inspection)
            decoded = reading.decoder is not None
            body = self.tap.pass_on(body, complete, now)
            broken = reading.broken
            complete = complete and not broken
        taken = self.front.respond(head, rules, self.request_id, cookie, decoded, body, complete)
        if complete:
            self._settle(attempt, DONE)
            pool.counters.answered_at_once(status, now - self.began)
            self._note_end(now, "done")
            self.front.finish()
            return
        pool.counters.record(_FIRST_BYTE, now - self.began)
        self._forget_body()
        if self.body.room:
            self.body.give_room_back(self.context)
        if broken:
            self._break_off(attempt, broken)
        elif not taken:
            self._client_full = True
            self._take_turns()

    def on_attempt_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        tap = self.tap
        if tap is not None:
            data = tap.pass_on(data, complete, self.context.env.now)
            if tap.reading.broken:
                self._break_off(attempt, tap.reading.broken)
                return
        if data and not self.front.send_body(data) and not complete:
            self._client_full = True
            self._take_turns()
        if complete:
            self._settle(attempt, DONE)
            self._end(self.context.env.now, "done")
            self.front.finish()

    def on_client_drained(self) -> None:
        self._client_full = False
        if self.status:
            self._take_turns()

    # --- turns ------------------------------------------------------------------------------

    def _take_turns(self) -> None:
        """Hold back, let go on and time what ``turn.py`` says of the state that there is now."""
        attempt = self.attempt
        connection = attempt.connection if attempt is not None else None
        phase = READING if self._inspecting else WAITING
        endpoint_full = False
        if attempt is not None and connection is not None:
            endpoint_full = connection.unsent is not None
            phase = RELAYING if self.status else SENT if attempt.sent else CONNECTING
        body = self.body
        turn = turn_of(
            phase, body.complete, endpoint_full, self._client_full, self._awaits_continue
        )
        if turn is not self._turn:
            self._turn = turn
            if attempt is not None:
                attempt.take_turn(turn, self.context.env.now)
        if body.complete:
            return
        if turn.takes_body:
            self.front.take_body()
        else:
            self.front.hold_body()

    # --- failures ---------------------------------------------------------------------------

    def on_attempt_failed(
        self,
        attempt: Attempt,
        connection: EndpointConnection | None,
        outcome: int,
        reason: str,
    ) -> None:
        pool_plan = self.pool_plan
        assert pool_plan is not None
        endpoint = attempt.endpoint
        if self.status:
            self.why = reason
            self._settle(attempt, outcome)
            pool_plan.pool.counters.bump(P_CUT)
            self._end(self.context.env.now, "cut")
            self.front.cut(False)
            return
        if outcome == ABANDONED:
            self._settle(attempt, outcome)
            self._refuse(503, reason)
            return
        stale = is_stale(connection, outcome, self.body, self.head.method)
        if stale and self._tries(pool_plan).replaces_stale():
            self._settle(attempt, ABANDONED)  # says nothing about the endpoint
            self._try_again_at(pool_plan, endpoint)
            return
        self._settle(attempt, outcome)
        if self._may_follow(attempt, connection, outcome, 0):
            self._retry(pool_plan)
            return
        # The log has endpoint and reason; addresses and certificates are no client's business.
        self.why = f"endpoint {endpoint.name}: {reason}"
        if outcome == TIMEOUT or (connection is not None and connection.timed_out):
            self._refuse(504, "the endpoint did not answer in time")
        else:
            self._refuse(502, "the endpoint failed before it answered")

    def _may_follow(
        self, attempt: Attempt, connection: EndpointConnection | None, outcome: int, status: int
    ) -> bool:
        """Whether another attempt is safe, possible, and within the rules and the budget."""
        pool_plan = self.pool_plan
        request = self.request
        if pool_plan is None or request is None or not self.body.replayable:
            return False
        return may_follow(
            self._tries(pool_plan),
            pool_plan,
            attempt,
            connection,
            outcome,
            status,
            request.model,
            self.inspection,
            self.context.env,
        )

    def _retry(self, pool_plan: PoolPlan) -> None:
        """Back to *eligible*, without the endpoints that failed; another model may stand in."""
        pool_plan.pool.counters.bump(P_RETRIES)
        inspection = self.inspection
        if inspection is not None and self.attempts is not None:
            inspection.fall_back(self.attempts)
            self.request = inspection.request
        self._try(pool_plan)
        admission = pool_plan.pool.admission
        if admission is not None:
            admission.go_on()  # into the room that the failed attempt left

    def _try_again_at(self, pool_plan: PoolPlan, endpoint: LiveEndpoint) -> None:
        """The same endpoint once more, on a fresh connection."""
        request = self.request
        assert request is not None
        now = self.context.env.now
        ticket = Ticket(endpoint, pool_plan.pool.policy, request, now)
        if endpoint.guarded:
            ticket.enters(now)  # it has its place, and is to be counted there
        attempt = Attempt(self, endpoint, ticket, self._expires_at)
        self.attempt = attempt
        self._turn = None  # whatever the row is, it was not applied to this one
        attempt.begin_anew(now)
        if self._is_current(attempt) and attempt.is_connecting():
            self._take_turns()

    def _repeat_plainly(self, attempt: Attempt, inspection: Inspection) -> bool:
        """Send the request without what was asked for in the client's stead, if that may be why it
        was refused. Nothing was done for it yet."""
        pool_plan = self.pool_plan
        if pool_plan is None or not self.body.complete:
            return False
        if not inspection.ask_again_plainly(attempt.endpoint):
            return False
        self.attempt_number += 1
        attempt.give_up()
        attempt.settle(DONE, self.context.env.now)
        self._try_again_at(pool_plan, attempt.endpoint)
        return True

    def _break_off(self, attempt: Attempt, reason: str) -> None:
        """What comes cannot be passed on."""
        attempt.give_up()
        self.on_attempt_failed(attempt, None, GARBAGE, reason)

    # --- answers of our own -----------------------------------------------------------------

    def _answer_here(self) -> None:
        """A redirect, a fixed response, or a refusal: no route, an ambiguous path, a loop."""
        plan = self.plan
        counters = self.context.counters
        if plan.message:
            counters.bump(W_UNROUTED)
            told = answers.refusal(plan.status, plan.message, request_id=self.request_id)
            self._give(told, "refused")
        else:
            counters.bump(W_FIXED)
            self._give(Answer(plan.status, plan.body, plan.headers), "fixed")

    def _refuse(self, status: int, message: str, retry_after_s: int = 1, kind: str = "") -> None:
        """An error of our own; the message is the log's reason too, unless there is one."""
        if self.plan.listed and not self.plan.listed_to_keys and status >= 500:
            self._give_list()  # for which no endpoint is needed
            return
        told = answers.refusal(
            status,
            message,
            request_id=self.request_id,
            retry_after_s=retry_after_s,
            kind=kind,
            family=self.family(),
        )
        self._give(told, "refused")

    def family(self) -> int:
        """In whose form the client is told of errors, as far as is known."""
        return self.plan.family(self.pool_plan)

    def own_edits(self) -> list[Edit]:
        """What is done to the head of an answer of our own."""
        return self.plan.own_edits(self.pool_plan)

    def _give(self, answer: Answer, ended: str) -> None:
        """Answer with a response of our own, and be done."""
        self.why = self.why or answer.why
        self.status = answer.status
        self.front.answer(answer, self.request_id, self.own_edits())
        self._end(self.context.env.now, ended)
        self.front.finish()

    def _takes_list(
        self, attempt: Attempt, pool_plan: PoolPlan, head: ResponseHead, complete: bool
    ) -> bool:
        """The list of all models, in place of an engine's, if the engine lets the client have it.

        False where the engine's answer is to be passed on: that the key is wrong, for one.
        """
        if head.status not in _LETS_LIST:
            return False
        if pool_plan.origin:
            pool_plan.pool.origins.learn(pool_plan.origin, head.fields)
        attempt.give_up()
        self._settle(attempt, DONE)
        self._give_list()
        return True

    def _give_list(self) -> None:
        self._give(answers.json_answer(200, self.plan.listed), "done")

    def on_gathered(self, status: int, body: bytes) -> None:
        if not body:
            self._refuse(502, "no endpoint answered")
            return
        self._give(answers.json_answer(status, body), "done")

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
        attempt = self.attempt
        if attempt is not None:
            attempt.give_up()
            self._settle(attempt, outcome)

    def _settle(self, attempt: Attempt, outcome: int) -> None:
        now = self.context.env.now
        tap = self.tap
        try:
            if tap is not None and not attempt.is_settled():
                tap.learn(now)
                self.why = self.why or tap.failure()
        finally:
            attempt.settle(outcome, now)

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
        waiter = self.waiter
        if waiter is not None and waiter.gate is not None:
            waiter.gate.left(waiter, self._ending(waiter, now))
        if self.mirror is not None and not self.body.complete:
            self.mirror.give_up()
        if self.body.room:
            self.body.give_room_back(self.context)
        log = self.context.log
        if log.enabled:
            log.write(log_line(self._outcome(), now))
        # They know this exchange: no cycle is left for the collector.
        self.waiter = None
        self.attempt = None
        self.inspection = None

    def _ending(self, waiter: ExchangeWaiter, now: float) -> Ending:
        """What it tells of the endpoints."""
        came = self.first_byte_at > 0.0
        status = self.status
        return Ending(
            told=self.ended not in _TELLS_NOTHING and not self._cut_by_us,
            came=came,
            whole=self.ended == "done",
            timed_out=status == 504 and not came,
            status=status if came else 0,
            latency_s=(self.first_byte_at or now) - waiter.admitted_at,
        )

    def _outcome(self) -> Outcome:
        """What the log tells of it."""
        outcome = Outcome(self.head, self.plan, self.request_id, self.began, self.ended)
        outcome.status = self.status
        outcome.response_bytes = self.front.response_bytes() if self.status else 0
        outcome.attempts = self.attempt_number
        outcome.parse_s = self.parse_s
        outcome.first_byte_at = self.first_byte_at
        outcome.why = self.why
        if self.request is not None:
            outcome.caller = self.request.caller
        if self.waiter is not None:
            outcome.queued_s = self.waiter.queued_s
        pool_plan = self.pool_plan
        if pool_plan is not None:
            pool = pool_plan.pool
            outcome.pool = pool.log_name
            outcome.tells_usage = pool.learning is not None and pool.learning.usage != "off"
        attempt = self.attempt
        if attempt is not None:
            outcome.endpoint = attempt.endpoint.log_name
            outcome.peer = attempt.peer
            outcome.connect_s = attempt.connect_s
        if self.answered is not None:
            outcome.endpoints_id = self.answered.request_id
        if self.inspection is not None:
            outcome.unread = self.inspection.unread
            outcome.prompt = self.inspection.prompt
        if self.tap is not None:
            outcome.answer = self.tap.reading
        return outcome
