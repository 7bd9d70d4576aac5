"""A gateway's call about one request: what it is told, in the order that it wants.

The head of the request is answered once an endpoint is picked, which may need the body; only then
does the body go back, piece by piece, for the gateway to send on. Answers come by as they pass.
"""

from typing import Final

from penstock.core.ticket import ABANDONED, CLIENT_GONE
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.endpoint_picking.pick import Pick, PickOwner
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.own_call import CallMessages, CallOwner, OwnCall, opening_answer
from penstock.dataplane.route.picked import picked_plan
from penstock.dataplane.route.plan import Plan
from penstock.wire import ext_proc
from penstock.wire.ext_proc import (
    BODY_FULL_DUPLEX,
    BODY_NONE,
    BODY_STREAMED,
    REQUEST_BODY,
    REQUEST_HEADERS,
    REQUEST_TRAILERS,
    RESPONSE_BODY,
    RESPONSE_HEADERS,
    RESPONSE_TRAILERS,
    ProcessingRequest,
    body_as_it_is,
    decode_request,
    headers_response,
    immediate_response,
    picked_metadata,
    streamed_body,
    trailers_response,
)
from penstock.wire.grpc import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    OK,
    RESOURCE_EXHAUSTED,
    trailers,
)
from penstock.wire.grpc_messages import encode_message
from penstock.wire.http1 import BadMessage, RequestHead
from penstock.wire.http2.told_heads import told_request_head, told_response_head

_MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024  # as gRPC's own servers take
_MAX_TARGET_BYTES: Final = 65536  # gateways have limits of their own
_PIECE_BYTES: Final = 61440  # of a body; some gateways take no more than 64 KiB at once
_HELD_BYTES: Final = 65536  # of a body, while nobody reads it
_PICKED: Final = ext_proc.PICKED.encode()


class PickingCall(OwnCall, PickOwner):
    """One stream of ``Process``."""

    pick: Pick | None = None  # since the head was told
    _answered: bool = False  # the request's head was
    _refused: bool = False  # the client was answered in the endpoint's place
    _trailers_wait: bool = False  # of the request
    _full: bool = False  # the gateway takes no more
    _waits: bool = False  # nobody reads the body
    _held: bool = False
    _answer_mode: int = BODY_FULL_DUPLEX  # how bodies of answers are told

    def __init__(
        self, context: Context, owner: CallOwner, front: Front, plan: Plan, head: RequestHead
    ) -> None:
        self._context: Context = context
        self._owner: CallOwner = owner
        self._front: Front = front
        self._plan: Plan = plan
        self._messages: CallMessages = CallMessages(head, _MAX_MESSAGE_BYTES)

    def opening(self) -> Answer | None:
        return opening_answer()

    def has_line(self) -> bool:
        return False  # what is picked has one

    # --- what the gateway says ----------------------------------------------------------------

    def take(self, data: bytes, complete: bool) -> None:
        if self.status >= 0:
            return
        for message in self._messages.feed(data):
            self._heed(message)
            if self.status >= 0:
                return
        if self._messages.reader.reason:
            self._fail(RESOURCE_EXHAUSTED, self._messages.reader.reason)
        elif complete:
            self._close()

    def _heed(self, message: bytes) -> None:
        if self._refused:
            return
        request = decode_request(message)
        if request is None:
            self._fail(INVALID_ARGUMENT, "this is no ProcessingRequest")
            return
        kind = request.kind
        if kind == REQUEST_HEADERS:
            self._begin(request)
        elif kind == REQUEST_BODY:
            self._take_body(request)
        elif kind == REQUEST_TRAILERS:
            self._end_body()
        elif kind == RESPONSE_HEADERS:
            self._take_answer(request)
        elif kind == RESPONSE_BODY:
            self._take_answer_body(request)
        elif kind == RESPONSE_TRAILERS:
            if self.pick is not None:
                self.pick.on_answer_whole()
            self._say(trailers_response(kind))
        else:
            self._fail(INVALID_ARGUMENT, "a ProcessingRequest about nothing that is known")

    def _begin(self, request: ProcessingRequest) -> None:
        if self.pick is not None:
            self._fail(INVALID_ARGUMENT, "a call is about one request")
            return
        mode = request.request_body_mode
        if request.observes or mode not in (-1, BODY_NONE, BODY_FULL_DUPLEX):
            self._fail(
                FAILED_PRECONDITION,
                "endpoints are picked with `request_body_mode: FULL_DUPLEX_STREAMED`, and without "
                "`observability_mode`",
            )
            return
        if request.response_body_mode >= 0:
            self._answer_mode = request.response_body_mode
        ends = request.ends or mode == BODY_NONE
        try:
            head = told_request_head(request.headers, ends, _MAX_TARGET_BYTES)
        except BadMessage as error:
            self.on_refused(answers.refusal(error.status, error.reason))
            return
        plan = picked_plan(self._plan, self._plan.targets[0], head, self._context.tenants)
        changes = self._answer_mode == BODY_FULL_DUPLEX
        pick = Pick(self._context, self, head, plan, changes)
        self.pick = pick
        pick.begin(ends, request.subset)

    def _take_body(self, request: ProcessingRequest) -> None:
        pick = self.pick
        if pick is None or pick.body.complete:
            self._fail(INVALID_ARGUMENT, "a body without a head, or behind its end")
        elif self._answered:
            pick.body.complete = request.ends
            pick.body.size += len(request.body)
            self._say_body(REQUEST_BODY, request.body, request.ends)
        else:
            pick.take_body(request.body, request.ends)
            self._take_turns()

    def _end_body(self) -> None:
        """Trailers follow the body in the place of its last piece."""
        pick = self.pick
        if pick is None or pick.body.complete:
            self._fail(INVALID_ARGUMENT, "trailers without a body before them")
            return
        self._trailers_wait = True
        if not self._answered:
            pick.take_body(b"", True)
        else:
            pick.body.complete = True
            self._tell_trailers()

    def _tell_trailers(self) -> None:
        if self._trailers_wait:
            self._trailers_wait = False
            self._say(trailers_response(REQUEST_TRAILERS))

    def _take_answer(self, request: ProcessingRequest) -> None:
        pick = self.pick
        changed = False
        if pick is not None:
            try:
                head = told_response_head(request.headers)
            except BadMessage:
                pick.gone(ABANDONED)  # the gateway has its own view of it
            else:
                changed = pick.on_answer(head, request.ends, request.served)
        removed = [b"content-length"] if changed else []
        told = pick.told_fields() if pick is not None else []
        self._say(headers_response(RESPONSE_HEADERS, told, b"", removed))

    def _take_answer_body(self, request: ProcessingRequest) -> None:
        pick = self.pick
        data = request.body
        if pick is not None:
            data = pick.on_answer_body(data, request.ends)
        if self._answer_mode == BODY_FULL_DUPLEX:
            self._say_body(RESPONSE_BODY, data, request.ends)
        else:
            self._say(body_as_it_is(RESPONSE_BODY))

    # --- what it is told ------------------------------------------------------------------------

    def on_picked(self, destinations: str) -> None:
        pick = self.pick
        assert pick is not None
        self._answered = True
        self._waits = False
        body = pick.body
        headers = [(_PICKED, destinations.encode())]
        if body.other_length >= 0:
            headers.append((b"content-length", b"%d" % body.other_length))
        if pick.legible:
            headers.append((b"accept-encoding", b"identity"))
        removed = [b"content-encoding"] if body.decoded else []
        removed += pick.shown_keys()
        metadata = picked_metadata(destinations)
        self._say(headers_response(REQUEST_HEADERS, headers, metadata, removed))
        kept = body.kept()
        ends = body.complete and not self._trailers_wait
        body.forget()
        if body.room:
            body.give_room_back(self._context)
        if kept or (ends and pick.has_body):
            self._say_body(REQUEST_BODY, kept, ends)
        self._tell_trailers()
        self._take_turns()

    def on_refused(self, answer: Answer) -> None:
        self._refused = True
        self._waits = False
        headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
        self._say(immediate_response(answer.status, headers, answer.body, "penstock"))
        self._take_turns()

    def on_waiting(self) -> None:
        self._waits = True
        self._take_turns()

    def _say(self, message: bytes) -> None:
        if not self._front.send_body(encode_message(message)):
            self._full = True
            self._take_turns()

    def _say_body(self, kind: int, data: bytes, ends: bool) -> None:
        if not data and not ends:
            return
        size = len(data)
        at = 0
        while size - at > _PIECE_BYTES:
            self._say(streamed_body(kind, data[at : at + _PIECE_BYTES], False))
            at += _PIECE_BYTES
        self._say(streamed_body(kind, data[at:] if at else data, ends))

    # --- whose turn it is -----------------------------------------------------------------------

    def _take_turns(self) -> None:
        """The gateway's, unless it takes nothing, or what it says would only be kept."""
        pick = self.pick
        kept = pick.body.size if pick is not None else 0
        held = self._full or (self._waits and not self._answered and kept >= _HELD_BYTES)
        if held != self._held:
            self._held = held
            if held:
                self._front.hold_body()
            else:
                self._front.take_body()

    def on_drained(self) -> None:
        self._full = False
        self._take_turns()

    def limit(self, most: int) -> None:
        self._full = most <= 0
        self._take_turns()

    # --- ends -----------------------------------------------------------------------------------

    def _close(self) -> None:
        """The gateway says nothing more."""
        if self.pick is not None:
            self.pick.closed(self._answer_mode in (BODY_FULL_DUPLEX, BODY_STREAMED))
        self._end(OK, "")

    def gone(self, outcome: int) -> None:
        pick = self.pick
        self.pick = None
        if self.status < 0:
            self.status = OK
        if pick is None:
            return
        if outcome == CLIENT_GONE:
            pick.closed(self._answer_mode in (BODY_FULL_DUPLEX, BODY_STREAMED))
        else:
            pick.gone(outcome)

    def _fail(self, status: int, text: str) -> None:
        if self.pick is not None:
            self.pick.gone(ABANDONED)
        self._end(status, text)

    def _end(self, status: int, text: str) -> None:
        self.pick = None
        self.status = status
        self._front.trailers(trailers(status, text))
        self._owner.on_call_over()
