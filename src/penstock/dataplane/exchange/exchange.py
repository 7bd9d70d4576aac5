"""One request and its response: the life of a request, top to bottom.

    accept → parse         client/listener.py, client/http1.py
    → route                route/planner.py, once for each distinct head
    → inspect              inspection.py, while the body comes
    → admit → eligible → pick → ticket       dispatch.py
    → send → relay → settle                  here

The client's side calls ``start``, ``on_request_body``, ``on_client_drained`` and those of "ends";
attempts call the methods of ``AttemptOwner``. Whatever happens, ``_note_end`` runs once.
"""

import sys
from typing import Final

from penstock.core.admission.gate import Ending
from penstock.core.policy.support.own import own_failure
from penstock.core.ticket import ABANDONED, CLIENT_GONE, DONE, GARBAGE, TIMEOUT, Ticket
from penstock.dataplane.board.layout import (
    P_CLIENT_GONE,
    P_CUT,
    P_REQUESTS,
    P_RETRIES,
    W_FIXED,
    W_UNROUTED,
)
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answer_tap import AnswerTap, changes_length, reading_for
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.body import MAX_REPLAY_BYTES, RequestBody
from penstock.dataplane.exchange.compressed_body import (
    SLICE_BYTES,
    CompressedBody,
    begun_head,
    body_for,
)
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.failover import is_stale, may_be_sent_again, may_follow
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.gathering import Gathering, GatheringOwner
from penstock.dataplane.exchange.inspection import GO_ON, READ_ON, REFUSE, Inspection
from penstock.dataplane.exchange.log_line import Outcome, log_line
from penstock.dataplane.exchange.mirror import Mirror, start_mirror
from penstock.dataplane.exchange.own_answers import OwnAnswers
from penstock.dataplane.exchange.own_call import OwnCall, answer_of
from penstock.dataplane.exchange.relay_endings import outcome_of, why_ended, word_of
from penstock.dataplane.exchange.turn import (
    CONNECTING,
    READING,
    RELAYING,
    SENT,
    WAITING,
    Turn,
    turn_of,
)
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.llm.answer_reading import AnswerReading, names_reading_of
from penstock.dataplane.pool.admission import ExchangeWaiter
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.model_waits import ModelsAwaiter
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.dataplane.tunnel.relay import CLIENT_BROKE, CUT, ENDPOINT_BROKE, Relay, RelayOwner
from penstock.wire.grpc import GRPC, GRPC_WEB_TEXT, http_status_of, parse_status, status_of_http
from penstock.wire.grpc_web import StatusReader
from penstock.wire.http1 import Field, RequestHead, ResponseHead
from penstock.wire.openai import OTHER
from penstock.wire.proxy_protocol import ProxyHeader

# Phases of the histograms, as in board.PHASES.
_CONNECT: Final = 1
_FIRST_BYTE: Final = 2
# Of an engine asked for its models: it told them, or has no such path and asks for no key.
_LETS_LIST: Final = frozenset((200, 404, 405, 501))
# Ends that tell nothing about the endpoints: the client's doing, or ours.
_TELLS_NOTHING: Final = frozenset(("client_gone", "bad_request", "crashed"))


class Exchange(AttemptOwner, ModelsAwaiter, GatheringOwner, RelayOwner):
    """From a parsed head to the settled ticket."""

    # Defaults stand in the class body: set one by one they cost more than the rest of __init__.
    pool_plan: PoolPlan | None = None
    dispatch: Dispatch | None = None  # of one that goes to an endpoint
    own_call: OwnCall | None = None  # of one that is answered here
    inspection: Inspection | None = None  # of one whose body may tell more
    tap: AnswerTap | None = None  # of an answer that is read along
    compressed: CompressedBody | None = None  # of an answer that may be compressed
    answered: ResponseHead | None = None  # the endpoint's final head that was passed on
    mirror: Mirror | None = None
    relay: Relay | None = None  # since the protocol was changed
    status: int = 0  # answered to the client; 0 until then
    ended: str = ""  # how, in one word, for the log
    why: str = ""  # it was refused or cut, in a sentence
    parse_s: float = 0.0  # from its head's first byte until the head was whole
    first_byte_at: float = 0.0
    grpc_status: int = -1  # that the endpoint told; -1: none
    _web_status: StatusReader | None = None  # of gRPC-Web
    _altered: bool = False  # the answer's body is read along, compressed or both
    _chunked: bool = False  # pieces of the answer come in chunks
    _turn: Turn | None = None  # the row that was applied last
    _client_full: bool = False  # bytes wait for it to take them, or it has no room for any
    _read_bytes: int = READ_BYTES  # of the answer at a time
    _awaits_continue: bool = False  # its body, for the 100 of the endpoint
    _inspecting: bool = False  # no endpoint is chosen before more of the body is there
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
            if plan.service:
                self.own_call = OwnCall(self.context, plan, self.head)
                self._serve(data, complete)
            else:
                self._answer_here()
            return
        env = self.context.env
        pool_plan = plan.choices[0] if len(plan.choices) == 1 else plan.choose(env.random())
        self.pool_plan = pool_plan
        pool = pool_plan.pool
        pool.counters.values[P_REQUESTS] += 1
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
        if plan.grpc_timeout_s > 0.0:
            expires_at = self.began + plan.grpc_timeout_s
            if dispatch.expires_at == 0.0 or expires_at < dispatch.expires_at:
                dispatch.expires_at = expires_at
        if plan.mirror is not None and env.random() < plan.mirror_share:
            self.mirror = start_mirror(self.context, plan.mirror, self.head, self.request_id)
            if self.mirror is not None:
                self.mirror.feed(data, complete)
        if pool_plan.may_tell_more and not self._inspect(pool_plan, data, complete):
            return
        if pool_plan.asks_all:
            Gathering(self, pool_plan, self.request_id).begin(env)
            return
        dispatch.begin()

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
        dispatch = self.dispatch
        if found == GO_ON and dispatch is not None:
            dispatch.request = inspection.request
            return True
        if found == REFUSE and inspection.refusal is not None:
            self._give(self.own().as_page(inspection.refusal), "refused")
        return False

    def on_models_known(self) -> None:
        dispatch = self.dispatch
        inspection = self.inspection
        if dispatch is None or inspection is None:
            return
        if self._heeds(inspection, inspection.understand()):
            dispatch.begin()

    def has_ended(self) -> bool:
        return self.ended != ""

    # --- admit, eligible, pick, ticket (Dispatch) -------------------------------------------

    def on_attempt_made(self, attempt: Attempt) -> None:
        pool_plan = self.pool_plan
        assert pool_plan is not None
        self._turn = None  # whatever the row is, it was not applied to this one
        attempt.begin(self.context.env.now, not (self.body.complete and pool_plan.repeats_sent))
        if self._is_current(attempt) and attempt.is_connecting():
            self._take_turns()

    def _is_current(self, attempt: Attempt) -> bool:
        """Whether it is the one under way still."""
        dispatch = self.dispatch
        return dispatch is not None and dispatch.attempt is attempt

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
        if self._read_bytes != READ_BYTES:
            stream.limit_reading(self._read_bytes)
        inspection = self.inspection
        legible = False
        if inspection is not None:
            legible = inspection.adapt(endpoint, attempt.ticket)
        elif endpoint.slots is not None and pool_plan.api != OTHER:
            endpoint.give_slot(attempt.ticket)
        body = self.body
        complete = body.complete
        head = pool_plan.forwarded(endpoint, legible)
        if body.other_length >= 0:
            head = head.for_other_body(body.other_length, body.decoded)
        kept = body.kept()
        attempt.sent = True
        if complete:  # the row of the table that is the common one
            stream.arm(endpoint.connector.settings.first_byte_s)
        taken = stream.send_request(head, self.request_id, kept, complete)
        if body.room and complete and not self._may_be_sent_again(pool_plan, endpoint):
            self._forget_body()
            if taken:
                body.give_room_back(self.context)
        if not complete:
            self._awaits_continue = not kept and self._continue_is_due(pool_plan)
            self._take_turns()
        elif self._client_full:
            self._take_turns()

    def on_request_body(self, data: bytes, complete: bool) -> None:
        """More of the request's body, in the framing that goes to the endpoint."""
        body = self.body
        if self.own_call is not None:
            self._serve(data, complete)
            return
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        body.add(data, complete, self.status == 0)
        if self.mirror is not None:
            self.mirror.feed(data, complete)
        if self._inspecting and self.inspection is not None:
            assert dispatch is not None
            if self._heeds(self.inspection, self.inspection.read(data, complete)):
                dispatch.begin()
            return
        if attempt is None or not attempt.sent or attempt.stream is None:
            self._take_turns()
            return
        if body.size > MAX_REPLAY_BYTES and body.replayable:
            self._forget_body()
            body.give_room_back(self.context)
        self._awaits_continue = False
        attempt.stream.send_more(data, complete)
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

    def on_attempt_switched(self, attempt: Attempt, head: ResponseHead, rest: bytes) -> None:
        """From here on bytes are relayed, of which nothing is understood."""
        pool_plan = self.pool_plan
        assert pool_plan is not None
        upgrade = pool_plan.upgrade
        assert upgrade is not None
        pool = pool_plan.pool
        now = self.context.env.now
        attempt.ticket.status = head.status
        attempt.ticket.first_byte(now)
        pool.counters.record(_FIRST_BYTE, now - self.began)
        self.first_byte_at = now
        self.status = head.status
        self.answered = head
        cookie = self._cookie(pool_plan, attempt)
        front = self.front
        client = front.switch(head, upgrade.protocol, pool_plan.rules, self.request_id, cookie)
        received = front.take_received()
        relay = Relay(
            self,
            self.context.loop,
            client,
            attempt.hand_over(),
            pool.spec.timeouts.tunnel_idle_s,
            self.context.counters.values,
            attempt.endpoint.tally,
        )
        self.relay = relay
        attempt.endpoint.tunnels.add(relay)
        if upgrade.is_websocket:
            relay.follow_frames()
        relay.begin(received, rest)

    def on_attempt_unable(self, attempt: Attempt, reason: str) -> None:
        """No other is asked: endpoints of one pool can do the same, as they are configured."""
        self._settle(attempt, ABANDONED)
        self.why = f"endpoint {attempt.endpoint.name}: {reason}"
        self._refuse(501, "the endpoint cannot do what the request asks for")

    def on_first_byte(self) -> None:
        """The 101 was the first."""

    def on_relay_ended(self, how: int) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        attempt = dispatch.attempt
        assert attempt is not None
        attempt.endpoint.tunnels.discard(self.relay)
        self.why = why_ended(how)
        self._settle(attempt, outcome_of(how))
        if how == CLIENT_BROKE:
            dispatch.pool.counters.bump(P_CLIENT_GONE)
        elif how in (ENDPOINT_BROKE, CUT):
            dispatch.pool.counters.bump(P_CUT)
        self._end(self.context.env.now, word_of(how))
        self.relay = None

    def _cookie(self, pool_plan: PoolPlan, attempt: Attempt) -> bytes:
        """The value of a Set-Cookie that binds the client to its endpoint; b"": it needs none."""
        pool = pool_plan.pool
        dispatch = self.dispatch
        if pool.sticky is None or (dispatch is not None and dispatch.keeps_cookie):
            return b""
        return pool.cookie_for(attempt.endpoint, pool_plan.cookie)

    def frame_attempt(self, attempt: Attempt, head: ResponseHead) -> bool:
        rewritten = changes_length(self.inspection, head)
        pool_plan = self.pool_plan
        if pool_plan is not None and pool_plan.compression is not None:
            compressed = body_for(pool_plan, pool_plan.compression, head, self.context.compressing)
            self.compressed = compressed
            if compressed is not None:
                compressed.in_chunks = self.front.frame(head, True)
                self._chunked = False
                return False  # it chunks them itself
        chunked = self.front.frame(head, rewritten)
        self._chunked = chunked
        return chunked

    def on_attempt_answered(
        self, attempt: Attempt, head: ResponseHead, body: bytes, complete: bool
    ) -> None:
        now = self.context.env.now
        pool_plan = self.pool_plan
        dispatch = self.dispatch
        ticket = attempt.ticket
        assert pool_plan is not None
        assert dispatch is not None
        pool = pool_plan.pool
        status = head.status
        ticket.status = status
        if self.head.extended_connect and status < 300:
            self._refuse_consent(attempt, head)
            return
        if self.plan.is_grpc:
            self._note_grpc_status(ticket, head.fields)  # of an answer of trailers only
            if pool_plan.repeats_calls and complete and not body:
                ended_as = self.grpc_status if self.grpc_status >= 0 else status_of_http(status)
                if self._repeats_call(attempt, head.fields, ended_as):
                    return
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
            self._retry(dispatch)
            return
        if self.plan.grpc_kind > GRPC:
            self._read_web_status(ticket, body, complete)
        if status >= 400 and pool_plan.pages is not None:
            page = self.own().in_place_of(head)
            if page is not None:
                attempt.give_up()  # nobody reads the rest of it
                self._settle(attempt, DONE)
                self.first_byte_at = now
                self._give(page, "done")
                return
        if pool_plan.conversation and pool.learning is not None:
            pool.learning.note_kept(pool_plan.conversation, attempt.endpoint)
        self.first_byte_at = now
        self.status = status
        self.answered = head
        cookie = b"" if pool.sticky is None else self._cookie(pool_plan, attempt)
        rules = pool_plan.rules
        if pool_plan.origin and head.rewritten_for is not rules:
            pool.origins.learn(pool_plan.origin, head.fields)
        decoded = False
        broken = ""
        if reading is not None and pool.learning is not None:
            self.tap = AnswerTap(reading, ticket, attempt.endpoint, pool.learning, inspection)
            self._altered = True
            decoded = reading.decoder is not None
            body = self.tap.pass_on(body, complete, now)
            broken = reading.broken
            complete = complete and not broken
        if pool_plan.compression is not None:
            compressed = self.compressed
            compression = pool_plan.compression
            head = begun_head(compressed, compression, head, self.head, len(body), complete)
            self.answered = head
            if compressed is not None:
                self._altered = True
                if compressed.compresses():
                    self._compress(attempt)
                body = compressed.pass_on(body, complete)
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

    def _refuse_consent(self, attempt: Attempt, head: ResponseHead) -> None:
        """A success would tell the client that the protocol was changed (RFC 8441, 5)."""
        attempt.give_up()
        self._settle(attempt, DONE)
        self.why = (
            f"endpoint {attempt.endpoint.name}: it answered {head.status} in place of 101 to a "
            "request to change the protocol"
        )
        self._refuse(502, "the endpoint did not change the protocol")

    def _compress(self, attempt: Attempt) -> None:
        """What is compressed is read slice by slice."""
        self.context.compressing += 1
        if attempt.stream is not None:
            self._read_bytes = SLICE_BYTES
            attempt.stream.limit_reading(SLICE_BYTES)

    def on_attempt_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        if self._altered:
            if self._web_status is not None:
                self._read_web_status(attempt.ticket, data, complete)
            tap = self.tap
            if tap is not None:
                data = tap.pass_on(data, complete, self.context.env.now)
                if tap.reading.broken:
                    self._break_off(attempt, tap.reading.broken)
                    return
            if self.compressed is not None:
                data = self.compressed.pass_on(data, complete)
        if data and not self.front.send_body(data) and not complete:
            self._client_full = True
            self._take_turns()
        if complete:
            self._settle(attempt, DONE)
            self._end(self.context.env.now, "done")
            self.front.finish()

    def on_attempt_without_message(
        self, attempt: Attempt, head: ResponseHead, trailers: list[Field]
    ) -> bool:
        pool_plan = self.pool_plan
        if pool_plan is None or not pool_plan.repeats_calls:
            return False
        attempt.ticket.status = head.status
        self._note_grpc_status(attempt.ticket, trailers)
        return self._repeats_call(attempt, trailers, self.grpc_status)

    def _repeats_call(self, attempt: Attempt, trailers: list[Field], grpc_status: int) -> bool:
        """Make a call that ended so without a message once more, where its pool says so.

        Not where the server tells its clients when to, or not to (gRFC A6, "Pushback").
        """
        pool_plan = self.pool_plan
        dispatch = self.dispatch
        if pool_plan is None or dispatch is None:
            return False
        if grpc_status not in pool_plan.pool.rules.on_grpc_statuses:
            return False
        for lower, _, _ in trailers:
            if lower == b"grpc-retry-pushback-ms":
                return False
        if not self._may_follow(attempt, None, DONE, attempt.ticket.status, grpc_status):
            return False
        now = self.context.env.now
        attempt.ticket.first_byte(now)
        attempt.give_up()
        attempt.settle(DONE, now)
        self.grpc_status = -1
        self._retry(dispatch)
        return True

    def on_attempt_trailers(self, attempt: Attempt, fields: list[Field]) -> None:
        if self.plan.is_grpc:
            self._note_grpc_status(attempt.ticket, fields)
        self.front.trailers(fields)

    def _note_grpc_status(self, ticket: Ticket, fields: list[Field]) -> None:
        """What a call came to stands behind its body, or in a head without one; outlier detection
        and circuit breakers take it for the HTTP status that says the same."""
        for lower, _, value in fields:
            if lower == b"grpc-status":
                self.grpc_status = parse_status(value)
                ticket.status = http_status_of(self.grpc_status)

    def _read_web_status(self, ticket: Ticket, data: bytes, complete: bool) -> None:
        """What a call of gRPC-Web came to stands at the end of its body."""
        reader = self._web_status
        if reader is None:
            reader = StatusReader(self.plan.grpc_kind == GRPC_WEB_TEXT, self._chunked)
            self._web_status = reader
            self._altered = True
        reader.feed(data)
        if complete and self.grpc_status < 0:
            self.grpc_status = reader.status()
            if self.grpc_status >= 0:
                ticket.status = http_status_of(self.grpc_status)

    def on_client_drained(self) -> None:
        self._client_full = False
        if self.status:
            self._take_turns()

    def limit_answer(self, most: int) -> None:
        """Read at most so much of the answer at a time; at 0, for now nothing of it."""
        full = most <= 0
        if not full:
            if self.compressed is not None and self.compressed.compresses():
                most = min(most, SLICE_BYTES)
            self._read_bytes = most
            dispatch = self.dispatch
            attempt = dispatch.attempt if dispatch is not None else None
            if attempt is not None and attempt.sent and attempt.stream is not None:
                attempt.stream.limit_reading(most)
        if full != self._client_full:
            self._client_full = full
            self._take_turns()

    # --- turns ------------------------------------------------------------------------------

    def _take_turns(self) -> None:
        """Hold back, let go on and time what ``turn.py`` says of the state that there is now."""
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        stream = attempt.stream if attempt is not None else None
        phase = READING if self._inspecting else WAITING
        endpoint_full = False
        if attempt is not None and stream is not None:
            endpoint_full = stream.is_full()
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
        stream: EndpointStream | None,
        outcome: int,
        reason: str,
    ) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        endpoint = attempt.endpoint
        if self.status:
            self.why = reason
            self._settle(attempt, outcome)
            dispatch.pool.counters.bump(P_CUT)
            self._end(self.context.env.now, "cut")
            self.front.cut(False)
            return
        if outcome == ABANDONED:
            self._settle(attempt, outcome)
            self._refuse(503, reason)
            return
        stale = is_stale(stream, outcome, self.body, self.head.method)
        if stale and dispatch.tries().replaces_stale():
            self._settle(attempt, ABANDONED)  # says nothing about the endpoint
            self._try_again_at(dispatch, endpoint)
            return
        unprocessed = stream is not None and stream.never_arrived() and self.body.replayable
        if unprocessed and dispatch.tries().replaces_refused():
            self._settle(attempt, ABANDONED)
            dispatch.pick()
            return
        self._settle(attempt, outcome)
        if self._may_follow(attempt, stream, outcome, 0):
            self._retry(dispatch)
            return
        # The log has endpoint and reason; addresses and certificates are no client's business.
        self.why = f"endpoint {endpoint.name}: {reason}"
        if outcome == TIMEOUT or (stream is not None and stream.ran_out_of_time()):
            self._refuse(504, "the endpoint did not answer in time")
        else:
            self._refuse(502, "the endpoint failed before it answered")

    def _may_follow(
        self,
        attempt: Attempt,
        stream: EndpointStream | None,
        outcome: int,
        status: int,
        grpc_status: int = -1,
    ) -> bool:
        """Whether another attempt is safe, possible, and within the rules and the budget."""
        pool_plan = self.pool_plan
        dispatch = self.dispatch
        if pool_plan is None or dispatch is None or not self.body.replayable:
            return False
        return may_follow(
            dispatch.tries(),
            pool_plan,
            attempt,
            stream,
            outcome,
            status,
            dispatch.request.model,
            self.inspection,
            self.context.env,
            grpc_status,
        )

    def _retry(self, dispatch: Dispatch) -> None:
        """Another endpoint is asked; another model may stand in."""
        dispatch.pool.counters.bump(P_RETRIES)
        inspection = self.inspection
        if inspection is not None and dispatch.attempts is not None:
            inspection.fall_back(dispatch.attempts)
            dispatch.request = inspection.request
        dispatch.pick_again()

    def _try_again_at(self, dispatch: Dispatch, endpoint: LiveEndpoint) -> None:
        """The same endpoint once more, on a fresh connection."""
        attempt = dispatch.at_same_endpoint(endpoint)
        self._turn = None  # whatever the row is, it was not applied to this one
        attempt.begin_anew(self.context.env.now)
        if self._is_current(attempt) and attempt.is_connecting():
            self._take_turns()

    def _repeat_plainly(self, attempt: Attempt, inspection: Inspection) -> bool:
        """Send the request without what was asked for in the client's stead, if that may be why it
        was refused. Nothing was done for it yet."""
        dispatch = self.dispatch
        if dispatch is None or not self.body.complete:
            return False
        if not inspection.ask_again_plainly(attempt.endpoint):
            return False
        dispatch.attempt_number += 1
        attempt.give_up()
        attempt.settle(DONE, self.context.env.now)
        self._try_again_at(dispatch, attempt.endpoint)
        return True

    def _break_off(self, attempt: Attempt, reason: str) -> None:
        """What comes cannot be passed on."""
        attempt.give_up()
        self.on_attempt_failed(attempt, None, GARBAGE, reason)

    # --- answers of our own -----------------------------------------------------------------

    def own(self) -> OwnAnswers:
        """Answers of our own to this request."""
        return OwnAnswers(self.head, self.plan, self.pool_plan, self.request_id)

    def _answer_here(self) -> None:
        """A redirect, a fixed response, or a refusal: no route, an ambiguous path, a loop."""
        refused = self.plan.message != ""
        self.context.counters.bump(W_UNROUTED if refused else W_FIXED)
        self._give(self.own().without_endpoint(), "refused" if refused else "fixed")

    def _serve(self, data: bytes, complete: bool) -> None:
        """More of a gRPC call that is answered here."""
        self.body.complete = complete
        call = self.own_call
        assert call is not None
        end = call.take(data, complete)
        if end is not None:
            self.context.counters.bump(W_FIXED)
            self.grpc_status = end.status
            self._give(answer_of(end), "fixed")

    def _refuse(self, status: int, message: str, retry_after_s: int = 1, kind: str = "") -> None:
        """An error of our own; the message is the log's reason too, unless there is one."""
        if self.plan.listed and not self.plan.listed_to_keys and status >= 500:
            self._give_list()  # for which no endpoint is needed
            return
        self._give(self.own().refusal(status, message, retry_after_s, kind), "refused")

    def _give(self, answer: Answer, ended: str) -> None:
        """Answer with a response of our own, and be done."""
        if self.head.extended_connect and answer.status < 300:
            why = "what is answered here does not change the protocol"
            answer = answers.refusal(501, why, request_id=self.request_id)
        self.why = self.why or answer.why
        self.status = answer.status
        self.front.answer(answer, self.request_id, self.own().edits())
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
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
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
        dispatch = self.dispatch
        if dispatch is not None and dispatch.waiter is not None:
            waiter = dispatch.waiter
            if waiter.gate is not None:
                waiter.gate.left(waiter, self._ending(waiter, now))
        if self.mirror is not None and not self.body.complete:
            self.mirror.give_up()
        if self.body.room:
            self.body.give_room_back(self.context)
        if self.compressed is not None and self.compressed.compresses():
            self.context.compressing -= 1
            self.compressed = None
        log = self.context.log
        if log.enabled:
            log.write(log_line(self._outcome(), now))
        # They know this exchange: no cycle is left for the collector.
        if dispatch is not None:
            dispatch.waiter = None
            self.dispatch = None
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
        if self.relay is not None:
            outcome.response_bytes += self.relay.bytes_from_endpoint
            outcome.bytes_from_client = self.relay.bytes_from_client
        outcome.parse_s = self.parse_s
        outcome.first_byte_at = self.first_byte_at
        outcome.why = self.why
        outcome.grpc_status = self.grpc_status
        dispatch = self.dispatch
        if dispatch is not None:
            pool = dispatch.pool
            outcome.pool = pool.log_name
            outcome.tells_usage = pool.learning is not None and pool.learning.usage != "off"
            outcome.attempts = dispatch.attempt_number
            outcome.caller = dispatch.request.caller
            if dispatch.waiter is not None:
                outcome.queued_s = dispatch.waiter.queued_s
            attempt = dispatch.attempt
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
