"""A response over WebSocket whose attempts are watched: until its first token another endpoint can
be asked in place of the first, or beside it, and another goes on with it when it is cut.

What endpoints say goes the way that a stream over HTTP goes (``passage.py``, ``steady.py``): each
event as a server-sent one, and what comes of it is an event for the client again.
"""

from mypy_extensions import trait

from penstock.core.ticket import DONE
from penstock.dataplane.exchange.answer_handling import AnswerHandling
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt, Carrier
from penstock.dataplane.exchange.clearance import Clearance
from penstock.dataplane.exchange.event_sockets.answered_events import streamed_head
from penstock.dataplane.exchange.event_sockets.endpoint_socket import EndpointSocket, SocketUser
from penstock.dataplane.exchange.failover import Failover
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.outcome import Outcome
from penstock.dataplane.exchange.own_answers import OwnAnswers
from penstock.dataplane.exchange.passage import Passage, PassageOwner
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.wire.http1 import ResponseHead
from penstock.wire.response_events import EngineEvent, as_sse, engine_event
from penstock.wire.resume.events import data_of, split_events


@trait
class WatchedOwner:
    """The response."""

    def begin_answer(self, attempt: Attempt, status: int, name: str) -> None:
        """The client gets that attempt's from here on; ``name``: of the response."""
        raise NotImplementedError

    def note_reading(self, reading: AnswerReading | None) -> None:
        """It is read along so from here on."""
        raise NotImplementedError

    def pass_message(self, message: bytes) -> None:
        """The client gets that."""
        raise NotImplementedError

    def end_whole(self, attempt: Attempt, outcome: int, failure: str) -> None:
        """It has got all; ``failure``: the error that it was told so."""
        raise NotImplementedError

    def leave(self, attempt: Attempt, socket: EndpointSocket, name: str) -> None:
        """The attempt is over, and its WebSocket is there for others; ``name``: of the response
        that its engine made whole, "" where it made none."""
        raise NotImplementedError

    def replace(self, answer: Answer, why: str) -> None:
        """The client gets that in the place of an answer."""
        raise NotImplementedError

    def break_off(self, status: int, message: str, why: str, retry_after_s: int, kind: str) -> None:
        """No whole answer comes."""
        raise NotImplementedError

    def takes_none(self) -> bool:
        """Whether the client takes no more for now."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed."""
        raise NotImplementedError


class WatchedSocket(SocketUser, Carrier):
    """What one attempt goes over."""

    name: str = ""  # that its engine gave the response
    begun: bool = False
    _over: bool = False  # its last event came

    def __init__(
        self, response: "WatchedResponse", attempt: Attempt, socket: EndpointSocket
    ) -> None:
        self.attempt: Attempt = attempt
        self.socket: EndpointSocket | None = socket
        self._response: WatchedResponse | None = response
        attempt.carrier = self

    def on_event(self, message: bytes) -> None:
        response = self._response
        if response is None:
            return
        event = engine_event(message)
        if event.response and not self.name:
            self.name = event.response
        self._over = event.is_last
        response.on_event(self, event, message)

    def on_socket_lost(self, outcome: int, why: str) -> None:
        self.attempt.carrier = None
        response = self._let_go()
        if response is not None:
            response.on_lost(self.attempt, outcome, why)

    def leave(self, name: str) -> None:
        """It is over: the next response may come over its WebSocket."""
        self.attempt.carrier = None
        socket = self.socket
        response = self._let_go()
        if response is not None and socket is not None:
            response.leave(self.attempt, socket, name)

    def give_up(self) -> None:
        if self._over:
            self.leave("")
            return
        socket = self.socket
        self._let_go()
        if socket is not None:
            socket.close()

    def _let_go(self) -> "WatchedResponse | None":
        """They know this one: no cycle is left for the collector."""
        response = self._response
        self.socket = None
        self._response = None
        if response is not None:
            response.forget(self)
        return response


class EventFront(Front):
    """The way back to the client, as far as the passage of an answer knows one."""

    def __init__(self, owner: WatchedOwner) -> None:
        self._owner: WatchedOwner | None = owner

    def frame(self, head: ResponseHead, rewritten: bool) -> bool:
        return False  # events need no frame of HTTP's

    def send_body(self, data: bytes) -> bool:
        for event in split_events(data):
            message = data_of(event)
            if message and self._owner is not None:
                self._owner.pass_message(message)
        return True

    def end(self) -> None:
        """Nothing more goes to the client."""
        self._owner = None


class WatchedResponse(PassageOwner):
    """Of one response, before its first attempt and until it ends."""

    def __init__(
        self, owner: WatchedOwner, own: OwnAnswers, failover: Failover, clearance: Clearance | None
    ) -> None:
        self._owner: WatchedOwner | None = owner
        self._front: EventFront = EventFront(owner)
        self._sockets: list[WatchedSocket] = []
        self._name: str = ""  # of the response, as its client knows it
        began = failover.dispatch.context.env.now
        passage = Passage(self, own, failover, self._front, clearance, began, begun=False)
        passage.watch()
        self._passage: Passage | None = passage

    # --- its attempts -----------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> None:
        """One begins."""
        if self._passage is not None:
            self._passage.begin(attempt)

    def carry(self, attempt: Attempt, socket: EndpointSocket, message: bytes) -> None:
        """Have the attempt's endpoint asked for it there."""
        carrier = WatchedSocket(self, attempt, socket)
        self._sockets.append(carrier)
        socket.carry(carrier, message, attempt.expires_at)

    def say(self, attempt: Attempt | None, message: bytes) -> bool:
        """Something more for the engine whose answer the client gets, or is to get."""
        for each in self._sockets:
            if each.attempt is attempt and each.socket is not None:
                each.socket.say(message)
                return True
        return False

    def forget(self, carrier: WatchedSocket) -> None:
        """It carries nothing any more."""
        if carrier in self._sockets:
            self._sockets.remove(carrier)

    def leave(self, attempt: Attempt, socket: EndpointSocket, name: str) -> None:
        """See ``WatchedOwner.leave``."""
        if self._owner is not None:
            self._owner.leave(attempt, socket, name)

    def loses(self, attempt: Attempt, outcome: int, why: str) -> bool:
        """Whether the end of that attempt, of which no answer came, is not the response's: another
        runs beside it, or is to go on with what the client has."""
        passage = self._passage
        steady = passage.steady if passage is not None else None
        if passage is None or steady is None:
            return False
        if steady.runs_beside(attempt):
            attempt.give_up()
            steady.lose(attempt, outcome)
            return True
        if steady.spoke:
            passage.break_off(attempt, outcome, why)
            return True
        return False

    def on_lost(self, attempt: Attempt, outcome: int, why: str) -> None:
        """Nothing more comes of it."""
        if self._passage is not None and not attempt.is_settled():
            self._passage.on_failed(attempt, None, outcome, why)

    def on_event(self, carrier: WatchedSocket, event: EngineEvent, message: bytes) -> None:
        """Its endpoint says that."""
        attempt = carrier.attempt
        passage = self._passage
        if passage is None:
            return
        if not carrier.begun:
            carrier.begun = True
            head = streamed_head() if event.status == 200 else _error_head(event.status)
            attempt.ticket.status = event.status
            passage.frame(attempt, head)
            passage.on_head(attempt, head, as_sse(message), event.is_last)
            return
        data = passage.pass_on(attempt, as_sse(message), event.is_last)
        if data is None:
            return
        self._front.send_body(data)
        if event.is_last:
            self.end_whole(attempt, DONE)

    # --- what comes of it (PassageOwner) ----------------------------------------------------

    def respond(
        self,
        attempt: Attempt,
        head: ResponseHead,
        handling: AnswerHandling | None,
        body: bytes,
        complete: bool,
    ) -> None:
        owner = self._owner
        if owner is None:
            return
        for each in self._sockets:
            if each.attempt is attempt:
                self._name = each.name
        owner.note_reading(self._reading())
        owner.begin_answer(attempt, head.status, self._name)
        self._front.send_body(body)
        if complete:
            self.end_whole(attempt, DONE)

    def send_on(self, attempt: Attempt, data: bytes, complete: bool) -> None:
        self._front.send_body(data)
        if complete:
            self.end_whole(attempt, DONE)

    def end_whole(self, attempt: Attempt, outcome: int) -> None:
        for each in self._sockets:
            if each.attempt is attempt:
                each.leave(each.name)
                break
        if self._owner is not None and self._passage is not None:
            self._owner.end_whole(attempt, outcome, self._passage.failure())

    def replace(self, handling: AnswerHandling, answer: Answer) -> None:
        if self._owner is not None:
            self._owner.replace(answer, handling.why)

    def refuse(
        self, status: int, message: str, why: str = "", retry_after_s: int = 1, kind: str = ""
    ) -> None:
        if self._owner is not None:
            self._owner.break_off(status, message, why, retry_after_s, kind)

    def on_taken_over(self) -> None:
        if self._owner is not None:
            self._owner.note_reading(self._reading())

    def _reading(self) -> AnswerReading | None:
        return self._passage.reading() if self._passage is not None else None

    def takes_none(self) -> bool:
        return self._owner is not None and self._owner.takes_none()

    def on_crash(self) -> None:
        if self._owner is not None:
            self._owner.on_crash()

    # --- ends -------------------------------------------------------------------------------

    def give_up(self, outcome: int) -> None:
        """What runs beside the dispatch's own attempt is stopped as well."""
        if self._passage is not None:
            self._passage.give_up(outcome)

    def tell(self, outcome: Outcome) -> None:
        """For the log."""
        if self._passage is not None:
            self._passage.tell(outcome)

    def end(self) -> None:
        """The response ended."""
        self._owner = None
        self._front.end()
        self._sockets = []
        if self._passage is not None:  # which knows this one: no cycle is left for the collector
            self._passage.end()
            self._passage = None


def _error_head(status: int) -> ResponseHead:
    """What an error would begin with over HTTP."""
    head = ResponseHead(b"", status, b"", 1)
    head.fields = [(b"content-type", b"Content-Type", b"application/json")]
    return head
