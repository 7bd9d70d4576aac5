"""What an exchange knows while it runs, the answers that Penstock gives itself, and its end.

``_settle`` closes the ticket of an attempt; ``_note_end`` is the last thing that happens to every
exchange, once.
"""

from collections.abc import Sequence
from typing import Final

from penstock.core.admission.gate import Ending, needs_of
from penstock.core.attempts import Attempts
from penstock.core.endpoint import Endpoint
from penstock.core.pool.pool import NO_ROOM, ROOM
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket
from penstock.dataplane.board.layout import P_NO_ENDPOINT, W_FIXED, W_UNROUTED
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.http1 import EndpointConnection
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.log_line import log_line
from penstock.dataplane.exchange.mirror import Mirror
from penstock.dataplane.llm.answer_reading import AnswerReading, NameMeter
from penstock.dataplane.llm.body_skimming import BodySkimming, CodedBody
from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.dataplane.pool.admission import AdmittedExchange, ExchangePlace
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.pool.model_waits import ModelsAwaiter
from penstock.dataplane.route.plan import Plan, PoolPlan
from penstock.wire.api_family import OPENAI
from penstock.wire.forwarding import LENGTH, Edit
from penstock.wire.http1 import RequestHead, ResponseHead

# Of an engine asked for its models: it told them, or has no such path and asks for no key.
_LETS_LIST: Final = frozenset((200, 404, 405, 501))
# Ends that tell nothing about the endpoints: the client's doing, or ours.
_TELLS_NOTHING: Final = frozenset(("client_gone", "bad_request", "crashed"))
JSON: Final = (("Content-Type", "application/json"),)


class Settlement(ResponseSink, AdmittedExchange, ModelsAwaiter):
    """The part of an exchange that answers for itself, reads answers along and settles."""

    # Defaults stand in the class body: set one by one they cost more than the rest of __init__.
    way: PoolPlan | None = None
    request: Request | None = None  # what the policy may know
    endpoint: LiveEndpoint | None = None
    ticket: Ticket | None = None
    connection: EndpointConnection | None = None
    mirror: Mirror | None = None
    why: str = ""  # it was refused or cut, in a sentence
    unread: str = ""  # why its prompt was not understood, though its API is known
    attempt_number: int = 0  # of the attempt under way or made last; 0 before the first
    bytes_out: int = 0
    place: ExchangePlace | None = None  # of one that has passed or awaits a pool's admission
    status: int = 0  # answered to the client; 0 until then
    ended: str = ""  # how, in one word, for the log
    endpoints_id: bytes = b""  # the request's id as the endpoint tells it, where that is another
    cut_by_us: bool = False  # which tells nothing of the endpoint
    peer: bytes = b""  # the address that the attempt was sent to
    parse_s: float = 0.0  # from its head's first byte until the head was whole
    connecting_at: float = 0.0
    connect_s: float = 0.0
    first_byte_at: float = 0.0
    _expires_at: float = 0.0
    attempts: Attempts | None = None  # made when the first one fails or is passed over
    _keeps_cookie: bool = False  # its endpoint is full, and it goes elsewhere this once
    _body: list[bytes] | None = None  # kept until a response begins, if it is short enough
    _body_bytes: int = 0
    _body_complete: bool = False
    _replayable: bool = True
    _sent: bool = False  # any of the request, on the attempt under way
    _framing: int = LENGTH
    _room: int = 0  # taken by a body that is read whole, of the worker's for all of them
    _awaited_models: bool = False  # that nobody is known to serve, once
    _coded: CodedBody | None = None  # of a body that is read
    _skimming: BodySkimming | None = None
    _decoded: bool = False  # what is sent in its place has no content coding any more
    _inspecting: bool = False  # no endpoint is chosen before the body is whole
    prompt: PromptBody | None = None  # if it was understood
    plainly: bool = False  # it was asked again without the wish for usage
    _adapts: bool = False  # whether the endpoint decides if it asks for usage
    _renames: bool = False  # answers are told under the name that the client asked for
    _learns_habit: bool = False  # what the endpoint's streams are like without being asked
    _asking: PromptBody | None = None  # while another model than the first may have to be asked for
    _other_length: int = -1  # of the body that is sent in the place of the client's
    _reading: AnswerReading | None = None
    answer: AnswerReading | None = None  # what was read of it, for the log

    def __init__(self, context: Context, front: Front, head: RequestHead, plan: Plan) -> None:
        self.context: Context = context
        self.front: Front = front
        self.head: RequestHead = head
        self.plan: Plan = plan
        self.request_id: bytes = plan.request_id or context.new_request_id()
        self.began: float = context.env.now

    # --- answers of our own ------------------------------------------------------------------

    def has_ended(self) -> bool:
        return self.ended != ""

    def _awaits_models(self, way: PoolPlan) -> bool:
        """Whether it waits now for a model that nobody is known to serve."""
        if self._awaited_models or not way.pool.spec.asks_again:
            return False
        self._awaited_models = way.pool.waits.add(self)
        return self._awaited_models

    def _refuse_model(self, way: PoolPlan, model: str) -> None:
        shown = model[: answers.MAX_NAME_SHOWN]
        awaited = way.pool.awaited()
        if awaited is not None:
            self._refuse(
                503,
                f"the model `{shown}` is not known yet: not every endpoint has listed its models",
            )
            return
        self.why = f"no endpoint of pool {way.pool.name} serves the model {shown}"
        data = answers.unknown_model(
            model,
            way.pool.known_models(),
            family=way.family,
            keep_alive=self.front.keeps_alive(),
            request_id=self.request_id,
        )
        self._finish_with(404, data, "refused")

    def _refuse_body(
        self, way: PoolPlan, status: int, problem: str, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.why = problem
        data = answers.bad_body(
            status,
            problem,
            headers=headers,
            family=way.family,
            keep_alive=self.front.keeps_alive(),
            request_id=self.request_id,
        )
        self._finish_with(status, data, "refused")

    def _refuse_long(self, way: PoolPlan) -> None:
        self._refuse_body(way, 413, f"the body has over {way.pool.prompt_bytes} bytes")

    def _answer_here(self) -> None:
        """A redirect, a fixed response, or a refusal: no route, an ambiguous path, a loop."""
        plan = self.plan
        counters = self.context.counters
        keep_alive = self.front.keeps_alive()
        without_body = self.head.bodiless
        if plan.message:
            self.why = plan.message
            counters.bump(W_UNROUTED)
            self.why = plan.message
            data = answers.refusal(
                plan.status,
                plan.message,
                keep_alive=keep_alive,
                without_body=without_body,
                request_id=self.request_id,
            )
        else:
            counters.bump(W_FIXED)
            data = answers.response(
                plan.status,
                plan.body,
                keep_alive=keep_alive,
                without_body=without_body,
                request_id=self.request_id,
                headers=plan.headers,
            )
        self._finish_with(plan.status, data, "refused" if self.why else "fixed")

    def _no_endpoint(self) -> None:
        way = self.way
        request = self.request
        assert way is not None
        assert request is not None
        pool = way.pool
        place = self.place
        if place is not None and pool.admission is not None:
            if self.attempts is not None:
                self.attempts.may_fill_again()
            place.needs = self._needs(way, request)
            if pool.admission.takes_back(place):
                return
        pool.counters.bump(P_NO_ENDPOINT)
        self._refuse(503, pool.why_none(request), pool.retry_after_s())

    def _tried(self) -> list[Endpoint] | None:
        """The endpoints at which attempts failed, or which were passed over."""
        attempts = self.attempts
        return attempts.tried if attempts is not None else None

    def _needs(self, way: PoolPlan, request: Request) -> str:
        """What it can use: those that wait for the same do so in one line."""
        bound = self._bound_to(way, request) if way.pool.waits_for_bound else None
        return needs_of(request.model, self._tried(), bound.name if bound is not None else "")

    def room(self) -> int:
        """Whether an endpoint takes it now, as the pool's gate asks."""
        way = self.way
        request = self.request
        assert way is not None
        assert request is not None
        bound = self._bound_to(way, request)
        if bound is not None:
            if bound.has_room():
                return ROOM
            if way.pool.waits_for_bound:
                return NO_ROOM
        return way.pool.room(request, self._tried())

    def _bound_to(self, way: PoolPlan, request: Request) -> LiveEndpoint | None:
        """The endpoint to which an answer, or else a cookie, binds it, as long as it may go there
        and has tried nothing yet."""
        if self._tried():
            return None
        pool = way.pool
        return pool.home_of(request) or pool.sticky_endpoint(way.home, request)

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self._refuse(503, why, retry_after_s, "overloaded")

    def _refuse(self, status: int, message: str, retry_after_s: int = 1, kind: str = "") -> None:
        """An error of our own; the message is the log's reason too, unless there is one."""
        if self.plan.listed and not self.plan.listed_to_keys and status >= 500:
            self._give_list()  # for which no endpoint is needed
            return
        self.why = self.why or message
        data = answers.refusal(
            status,
            message,
            keep_alive=self.front.keeps_alive(),
            without_body=self.head.bodiless,
            request_id=self.request_id,
            retry_after_s=retry_after_s if status == 503 else 0,
            kind=kind,
            family=self.family(),
        )
        self._finish_with(status, data, "refused")

    def family(self) -> int:
        """In whose form the client is told of errors, as far as is known."""
        if self.way is not None:
            return self.way.family
        choices = self.plan.choices
        return choices[0].family if choices else OPENAI

    def _finish_with(self, status: int, data: bytes, ended: str) -> None:
        """Answer with a response of our own, and be done."""
        edits = self.own_edits()
        if edits:
            data = answers.dressed(data, edits)
        self.status = status
        self.bytes_out = len(data)
        self.front.write(data)
        self._end(self.context.env.now, ended)
        self.front.finish()

    def own_edits(self) -> list[Edit]:
        """What is done to the head of an answer of our own: as to an endpoint's, so that pages of
        other origins can read errors, and what is configured for all answers stands in each."""
        plan = self.plan
        if plan.origins is not None and plan.origin:
            return plan.origins.edits(plan.origin) + plan.edits
        way = self.way
        if way is None:
            if not plan.choices:
                return plan.edits
            way = plan.choices[0]
        if not way.origin:
            return way.rules.edits
        return way.pool.origins.edits(way.origin) + way.rules.edits

    def _takes_list(self, head: ResponseHead, complete: bool) -> bool:
        """The list of all models, in place of an engine's, if the engine lets the client have it.

        False where the engine's answer is to be passed on: that the key is wrong, for one.
        """
        way = self.way
        if way is None or head.status not in _LETS_LIST:
            return False
        if way.origin:
            way.pool.origins.learn(way.origin, head.fields)
        connection = self.connection
        self.connection = None
        if connection is not None and not complete:
            connection.give_up()
        self._settle(DONE)
        self._give_list()
        return True

    def on_gathered(self, status: int, body: bytes) -> None:
        """All endpoints were asked, and this is what they say together."""
        if not body:
            self._refuse(502, "no endpoint answered")
            return
        data = answers.response(
            status,
            body,
            keep_alive=self.front.keeps_alive(),
            request_id=self.request_id,
            headers=JSON,
        )
        self._finish_with(status, data, "done")

    def _give_list(self) -> None:
        data = answers.response(
            200,
            self.plan.listed,
            keep_alive=self.front.keeps_alive(),
            without_body=self.head.bodiless,
            request_id=self.request_id,
            headers=JSON,
        )
        self._finish_with(200, data, "done")

    def _forget_body(self) -> None:
        """It was handed on, and nothing is repeated from here on."""
        self._body = None
        self._replayable = False
        self._asking = None
        if self.prompt is not None:
            self.prompt.drop()

    def _give_room_back(self) -> None:
        self.context.prompt_bytes -= self._room
        self._room = 0

    # --- what is read along of an answer ---------------------------------------------------

    def _read(self, reading: AnswerReading, data: bytes, complete: bool) -> bytes:
        """Read the answer along; its first token is what policies know as its first byte.

        Returns what of it the client gets.
        """
        passed = reading.pass_on(data, complete)
        ticket = self.ticket
        if ticket is not None and ticket.first_byte_at > 0.0:
            ticket.endpoint.heard(self.context.env.now)
        if ticket is not None and ticket.first_byte_at == 0.0 and reading.meter.begun:
            ticket.first_byte(reading.first_event_at)
            if reading.meter.response_id:
                self._note_answer(reading)
        elif complete and reading.meter.response_id:
            self._note_answer(reading)
        if complete and isinstance(reading.meter, NameMeter):
            self._note_things(reading.meter)
        return passed

    def _note_things(self, meter: NameMeter) -> None:
        """Who keeps what the answer tells of, before its client can ask for it."""
        way = self.way
        endpoint = self.endpoint
        if way is not None and endpoint is not None and way.pool.insight is not None:
            for name in meter.names:
                way.pool.insight.note_answer(name, endpoint)

    def _note_conversation(self, way: PoolPlan) -> None:
        """Who keeps the stream of a conversation, which its client may come back to."""
        endpoint = self.endpoint
        if endpoint is not None and way.pool.insight is not None:
            way.pool.insight.note_kept(way.conversation, endpoint)

    def _note_answer(self, reading: AnswerReading) -> None:
        """Who makes an answer that has a name, before its client can go on from it."""
        way = self.way
        endpoint = self.endpoint
        if way is not None and endpoint is not None and way.pool.insight is not None:
            way.pool.insight.note_answer(reading.meter.response_id, endpoint)
            if self.prompt is not None and self.prompt.found.continues:
                way.pool.insight.note_kept(self.prompt.found.continues, endpoint)  # it knew that

    def _learn(self, reading: AnswerReading, ticket: Ticket) -> None:
        """Once, from the attempt whose answer was passed on."""
        self._reading = None
        if reading.meter.failure and not self.why:
            self.why = f"the answer tells an error: {reading.meter.failure}"
        way = self.way
        prompt = self.prompt
        endpoint = ticket.endpoint
        if way is not None and prompt is not None and way.pool.insight is not None:
            assert isinstance(endpoint, LiveEndpoint)
            now = self.context.env.now
            way.pool.insight.learn(prompt.found, reading, ticket, endpoint.habits, now)

    # --- settle -----------------------------------------------------------------------------

    def _settle(self, outcome: int) -> None:
        ticket = self.ticket
        if ticket is not None:
            self.ticket = None
            try:
                if self._reading is not None:
                    self._learn(self._reading, ticket)
            finally:
                ticket.settle(outcome, self.context.env.now)

    def _end(self, now: float, ended: str) -> None:
        """Metrics and the log line; the last thing that happens to every exchange."""
        way = self.way
        if way is not None:
            way.pool.counters.ended(self.status, now - self.began)
        self._note_end(now, ended)

    def _note_end(self, now: float, ended: str) -> None:
        self.ended = ended
        way = self.way
        if way is not None and way.changes_models and 200 <= self.status < 300:
            way.pool.waits.changed()
        if self.place is not None:
            self._leave_place(self.place, now)
        if self.mirror is not None and not self._body_complete:
            self.mirror.give_up()
        if self._room:
            self._give_room_back()
        log = self.context.log
        if log.enabled:
            log.write(log_line(self, now))
        self.place = None  # which knows this exchange: no cycle is left for the collector

    def _leave_place(self, place: ExchangePlace, now: float) -> None:
        if place.gate is not None:
            place.gate.left(place, self._ending(place, now))

    def _ending(self, place: ExchangePlace, now: float) -> Ending:
        """What an exchange that ended tells of the endpoints."""
        came = self.first_byte_at > 0.0
        status = self.status
        return Ending(
            told=self.ended not in _TELLS_NOTHING and not self.cut_by_us,
            came=came,
            whole=self.ended == "done",
            timed_out=status == 504 and not came,
            status=status if came else 0,
            latency_s=(self.first_byte_at or now) - place.admitted_at,
        )
