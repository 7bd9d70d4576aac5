"""One of OpenAI's Responses over WebSocket: sent to whichever endpoint it is best served by.

It goes over a WebSocket to that endpoint which the client's has already, or a fresh one. Before its
first event it may go elsewhere, by the rules for a POST; where its pool has attempts watched, see
``watched_response.py``.
"""

from mypy_extensions import trait

from penstock.core.ticket import ABANDONED, DONE, TIMEOUT
from penstock.dataplane.board.layout import P_CUT
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.event_sockets.asked_response import (
    PATIENCE_S,
    AskedResponse,
    ResponseOwner,
)
from penstock.dataplane.exchange.event_sockets.endpoint_socket import EndpointSocket, SocketUser
from penstock.dataplane.exchange.event_sockets.watched_response import (
    WatchedOwner,
    WatchedResponse,
)
from penstock.dataplane.exchange.failover import Failover, is_watched, may_be_sent_again
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.own_answers import OwnAnswers
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.dataplane.route.plan import Plan
from penstock.wire.http1 import RequestHead, ResponseHead
from penstock.wire.proxy_protocol import ProxyHeader
from penstock.wire.response_events import ERROR, EngineEvent, engine_event
from penstock.wire.session_keys import session_hash


@trait
class SocketSource:
    """Who has WebSockets to endpoints: the client's."""

    def socket_to(self, attempt: Attempt, answer: int) -> EndpointSocket | None:
        """One to the attempt's endpoint that waits for a response, best the one on which that
        answer came (0: none); None where there is none."""
        raise NotImplementedError

    def keep_socket(self, attempt: Attempt, received: bytes) -> EndpointSocket:
        """The attempt's connection has become one."""
        raise NotImplementedError

    def give_back(self, socket: EndpointSocket) -> None:
        """A response of it is over, and it waits for the next one."""
        raise NotImplementedError

    def takes_none(self) -> bool:
        """Whether the client takes no more for now."""
        raise NotImplementedError

    def proxy_header(self) -> ProxyHeader:
        """The client, where connections to endpoints begin with a PROXY header."""
        raise NotImplementedError


class RoutedResponse(AskedResponse, SocketUser, WatchedOwner):
    """``source`` is told as long as it runs."""

    socket: EndpointSocket | None = None  # since it was asked for there, unless it is watched
    watched: WatchedResponse | None = None  # where its attempts are watched

    def __init__(
        self,
        context: Context,
        owner: ResponseOwner,
        source: SocketSource,
        head: RequestHead,
        plan: Plan,
        lane: str,
        message: bytes,
    ) -> None:
        super().__init__(context, owner, head, plan, lane, message)
        self._source: SocketSource | None = source

    def go_on_from(self, socket: EndpointSocket) -> None:
        """The engine began it by itself, behind what came on this one (``response.steer``)."""
        self.begun = True
        self.pinned = socket.endpoint
        self.heard = socket.heard
        self.socket = socket

    # --- send -------------------------------------------------------------------------------

    def ask_for_place(self, dispatch: Dispatch) -> None:
        pool_plan = self.pool_plan
        pool = dispatch.pool
        inspection = self.inspection()
        if (
            pool.watches
            and self.watched is None
            and not self.begun
            and is_watched(pool, pool_plan, self.body, inspection, is_call=False)
        ):
            own = OwnAnswers(self.head, self.plan, pool_plan, self.request_id)
            self.watched = WatchedResponse(self, own, self._failover(), self.clearance)
        super().ask_for_place(dispatch)

    def on_attempt_made(self, attempt: Attempt) -> None:
        if self.watched is not None:
            self.watched.begin(attempt)
        source = self._source
        dispatch = self.dispatch
        if self.begun and self.socket is not None:
            attempt.peer = attempt.endpoint.shown_address().encode()
            attempt.sent = self.sent = True
            self.forget()
            return
        if not attempt.afresh and source is not None and dispatch is not None:
            # The answer that it goes on from may be known on one WebSocket alone.
            socket = source.socket_to(attempt, dispatch.request.continues)
            if socket is not None:
                attempt.peer = socket.endpoint.shown_address().encode()
                self._send(attempt, socket)
                return
        attempt.begin(self.context.env.now, False)

    def on_attempt_connected(self, attempt: Attempt) -> None:
        """Ask for a WebSocket: that may be asked for anywhere, and again."""
        stream = attempt.stream
        assert stream is not None
        pool_plan = self.pool_plan
        stream.begin(attempt, False, attempt.expires_at, pool_plan.upgrade)
        head = pool_plan.forwarded(attempt.endpoint)
        entry = self.clearance.entry if self.clearance is not None else None
        if entry is not None and entry.told:
            head = head.with_fields(entry.told)
        stream.arm(attempt.endpoint.connector.settings.first_byte_s)
        stream.send_request(head, self.request_id, b"", True)

    def on_attempt_switched(self, attempt: Attempt, head: ResponseHead, rest: bytes) -> None:
        source = self._source
        assert source is not None
        socket = source.keep_socket(attempt, rest)
        if socket.open:
            self._send(attempt, socket)
        else:
            self.on_socket_lost(ABANDONED, "the endpoint closed its WebSocket at once")

    def _send(self, attempt: Attempt, socket: EndpointSocket) -> None:
        inspection = self.inspection()
        if inspection is not None:
            inspection.adapt(attempt.endpoint, attempt.ticket)
        message = self.body.kept()
        attempt.sent = self.sent = True
        context = self.context
        # An engine that refuses has taken nothing up: another may have it, if there is room.
        if context.prompt_bytes * 2 > context.prompt_room and not may_be_sent_again(
            context, self.pool_plan, inspection, attempt.endpoint
        ):
            self.forget()
        if self.watched is not None:
            self.watched.carry(attempt, socket, message)
            return
        self.socket = socket
        socket.carry(self, message, attempt.expires_at)

    def say(self, message: bytes) -> bool:
        """Something more for the engine that answers; False where it is not asked yet."""
        if self.watched is not None:
            return self.watched.say(self.attempt(), message)
        if self.socket is None:
            return False
        self.socket.say(message)
        return True

    def proxy_header(self) -> ProxyHeader:
        source = self._source
        assert source is not None
        header = source.proxy_header()
        header.unique_id = self.request_id
        return header

    # --- the answer ---------------------------------------------------------------------------

    def on_event(self, message: bytes) -> None:
        event = engine_event(message)
        attempt = self.attempt()
        if attempt is None:
            self._pass_uncounted(event, message)
            return
        if self.status == 0:
            if event.kind == ERROR and self._asks_another(attempt, event.status):
                return
            self.take_first(attempt, event)
        message = self.events.read(event, message)
        if event.is_last:
            self._leave_socket()
            self.finish(attempt, message)
        elif self.owner is not None:
            self.owner.pass_event(message)

    def _pass_uncounted(self, event: EngineEvent, message: bytes) -> None:
        """It runs, and it is not known yet whether it may."""
        owner = self.owner
        if owner is None:
            return
        owner.pass_event(message)
        if event.is_last:
            self._leave_socket()
            self.give_up(DONE, "done")
            owner.on_response_over(self)

    def _asks_another(self, attempt: Attempt, status: int) -> bool:
        """Whether another endpoint is asked, as this one refused."""
        if not self._may_ask_another(attempt, status):
            return False
        self._leave_socket()
        self._failover().drop_and_retry(attempt)
        return True

    def _may_ask_another(self, attempt: Attempt, status: int) -> bool:
        """Whether what an endpoint told in the place of an answer is passed over."""
        attempt.ticket.status = status
        if status not in self.pool_plan.pool.rules.on_statuses:
            return False
        return self._failover().allows(attempt, None, DONE, status)

    def _leave_socket(self) -> None:
        """The next response may come over it."""
        socket = self.socket
        self.socket = None
        if socket is not None:
            self._give_back(socket, self.events.name)

    def _give_back(self, socket: EndpointSocket, known_as: str) -> None:
        """``known_as``: what its engine calls the response; "" where it has none."""
        name = self.events.name if known_as else ""
        socket.told_as, socket.known_as = (name, known_as) if known_as != name else ("", "")
        socket.answer = session_hash(name.encode("utf-8", "surrogatepass")) if name else 0
        reading = self.events.reading()
        if reading is not None and reading.meter.prompt_tokens >= 0:
            socket.heard = reading.meter.prompt_tokens + max(reading.meter.output_tokens, 0)
        if self.dispatch is not None:
            socket.model = self.dispatch.request.model
        if self._source is not None:
            self._source.give_back(socket)

    # --- of one whose attempts are watched (WatchedOwner) ----------------------------------------

    def begin_answer(self, attempt: Attempt, status: int, name: str) -> None:
        self.events.name = name
        self.events.note_begun(status)
        self.note_begun()

    def note_reading(self, reading: AnswerReading | None) -> None:
        self.events.watched = reading

    def pass_message(self, message: bytes) -> None:
        self.events.size += len(message)
        if self.owner is not None:
            self.owner.pass_event(message)

    def leave(self, attempt: Attempt, socket: EndpointSocket, name: str) -> None:
        learning = self.pool_plan.pool.learning
        if learning is not None and name not in ("", self.events.name):
            learning.note_answer(self.events.name, attempt.endpoint)  # who ended it knows it
        self._give_back(socket, name)

    def end_whole(self, attempt: Attempt, outcome: int, failure: str) -> None:
        self.events.failure = failure
        attempt.settle(outcome, self.context.env.now)
        self.finish(attempt, b"")

    def replace(self, answer: Answer, why: str) -> None:
        self.why = why
        self.give(answer, "refused")

    def break_off(self, status: int, message: str, why: str, retry_after_s: int, kind: str) -> None:
        self.why = why
        if self.status == 0:
            self.refuse(status, message, retry_after_s, kind)
        else:
            self._cut()

    def takes_none(self) -> bool:
        return self._source is not None and self._source.takes_none()

    def outcome(self) -> Outcome:
        outcome = super().outcome()
        if self.watched is not None:
            self.watched.tell(outcome)
        return outcome

    # --- failures -----------------------------------------------------------------------------

    def _failover(self) -> Failover:
        dispatch = self.dispatch
        assert dispatch is not None
        return Failover(dispatch, self.pool_plan, self.body, self.inspection())

    def frame_attempt(self, attempt: Attempt, head: ResponseHead) -> bool:
        return False

    def on_attempt_answered(
        self, attempt: Attempt, head: ResponseHead, body: bytes, complete: bool
    ) -> None:
        """No WebSocket: what else it answers is for the log."""
        attempt.ticket.first_byte(self.context.env.now)
        why = f"it answered {head.status} to the handshake of a WebSocket"
        if self.watched is not None and self.watched.loses(attempt, DONE, why):
            return
        if self._may_ask_another(attempt, head.status):
            self._failover().drop_and_retry(attempt)
            return
        attempt.drop()
        name = attempt.endpoint.name
        self.why = f"endpoint {name} answered {head.status} to the handshake of a WebSocket"
        if head.status in (429, 503):
            self.refuse(head.status, "the endpoint takes no more", PATIENCE_S, "overloaded")
        else:
            self.refuse(502, "the endpoint does not speak WebSocket here")

    def on_attempt_interim(self, attempt: Attempt, head: ResponseHead) -> None:
        """Nobody waits for it."""

    def on_attempt_body(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        """Of an answer that was dropped."""

    def on_attempt_drained(self, attempt: Attempt) -> None:
        """The handshake left."""

    def on_attempt_unable(self, attempt: Attempt, reason: str) -> None:
        if self.watched is not None and self.watched.loses(attempt, ABANDONED, reason):
            return
        attempt.settle(ABANDONED, self.context.env.now)
        self.why = f"endpoint {attempt.endpoint.name}: {reason}"
        self.refuse(501, "the endpoint cannot do what the request asks for")

    def on_attempt_failed(
        self, attempt: Attempt, stream: EndpointStream | None, outcome: int, reason: str
    ) -> None:
        if self.watched is not None and self.watched.loses(attempt, outcome, reason):
            return
        if outcome == ABANDONED:
            attempt.settle(outcome, self.context.env.now)
            self.refuse(503, reason)
            return
        method = b"POST" if attempt.sent else b"GET"
        if self._failover().goes_on(attempt, stream, outcome, method):
            return
        self.why = f"endpoint {attempt.endpoint.name}: {reason}"
        if outcome == TIMEOUT or (stream is not None and stream.ran_out_of_time()):
            self.refuse(504, "the endpoint did not answer in time")
        else:
            self.refuse(502, "the endpoint failed before it answered")

    def on_socket_lost(self, outcome: int, why: str) -> None:
        self.socket = None
        attempt = self.attempt()
        if attempt is None or self.ended:
            return
        if self.status == 0:
            self.on_attempt_failed(attempt, None, outcome, why)
            return
        attempt.settle(outcome, self.context.env.now)
        self.why = f"endpoint {attempt.endpoint.name}: {why}"
        self._cut()

    def _cut(self) -> None:
        """Nothing more comes of an answer that was begun."""
        self.pool_plan.pool.counters.bump(P_CUT)
        message = "the endpoint failed while it answered"
        self.close(answers.refusal(502, message, request_id=self.request_id), "cut")

    def close(self, told: Answer, ended: str) -> None:
        if self.begun:
            self.let_go()  # the engine has no other way to hear that it may not
        super().close(told, ended)

    def let_go(self) -> None:
        socket = self.socket
        self.socket = None
        if socket is not None:
            socket.close()

    def _stop(self, outcome: int) -> None:
        super()._stop(outcome)
        if self.watched is not None:
            self.watched.give_up(outcome)

    def _end(self, ended: str) -> None:
        super()._end(ended)
        self._source = None
        if self.watched is not None:
            self.watched.end()
            self.watched = None
