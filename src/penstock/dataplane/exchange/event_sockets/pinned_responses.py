"""The responses of one WebSocket that stays with its endpoint: which wait, and which run."""

from mypy_extensions import trait

from penstock.core.ticket import DONE as TICKET_DONE
from penstock.dataplane.context import Context
from penstock.dataplane.exchange import answers
from penstock.dataplane.exchange.entry import Entry
from penstock.dataplane.exchange.event_sockets.asked_plan import posted
from penstock.dataplane.exchange.event_sockets.asked_response import AskedResponse, ResponseOwner
from penstock.dataplane.exchange.event_sockets.pinned_response import PinnedOwner, PinnedResponse
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.access import model_in_query
from penstock.dataplane.route.plan import Plan
from penstock.wire.http1 import RequestHead
from penstock.wire.response_events import (
    CREATED,
    DONE,
    ERROR,
    EngineEvent,
    cancel_event,
    error_event,
)
from penstock.wire.websocket_messages import Message


@trait
class PinnedRelay:
    """Who has both sides."""

    def tell_client(self, event: bytes) -> None:
        """An event of ours."""
        raise NotImplementedError

    def tell_endpoint(self, event: bytes) -> None:
        """Likewise, or the client's after it waited."""
        raise NotImplementedError

    def go_on_with(self, message: Message) -> None:
        """The client's next one, which waited behind another."""
        raise NotImplementedError

    def on_free(self) -> None:
        """Nothing of the client waits any more."""
        raise NotImplementedError

    def on_response_ended(self) -> None:
        """One is over."""
        raise NotImplementedError


class PinnedResponses(ResponseOwner, PinnedOwner):
    """A response waits, then is asked for, then runs under the name that the engine gives it."""

    _heard: int = 0  # tokens of the conversation, as the engine told last
    _waits: PinnedResponse | None = None  # for its place; what follows it waits too

    def __init__(
        self,
        context: Context,
        relay: PinnedRelay,
        head: RequestHead,
        plan: Plan,
        endpoint: LiveEndpoint,
        entry: Entry | None,
        most: int,
    ) -> None:
        self._context: Context = context
        self._relay: PinnedRelay | None = relay
        self._head: RequestHead = head
        self._plan: Plan = plan
        self._endpoint: LiveEndpoint = endpoint
        self._entry: Entry | None = entry
        self._model: str = model_in_query(head.target)
        self._most: int = most
        self._behind: list[Message] = []  # one that waits
        self._asked: list[PinnedResponse] = []  # of which the engine told nothing yet
        self._running: dict[str, PinnedResponse] = {}

    def waits(self) -> bool:
        """Whether what the client says next is to wait as well."""
        return self._waits is not None

    def is_idle(self) -> bool:
        """Whether nothing runs, and nothing waits."""
        return self._waits is None and not self._asked and not self._running

    def wait_behind(self, message: Message) -> None:
        """The client said that meanwhile."""
        self._behind.append(message)

    def ask_for(self, event: bytes, name: str) -> None:
        """The client asks for one, by an event that it calls so."""
        if len(self._asked) + len(self._running) >= self._most:
            message = f"a WebSocket may wait for {self._most} responses at once"
            told = answers.refusal(429, message, kind="overloaded")
            self.pass_event(error_event(429, told.body, [], "", name))
            return
        response = self._response(event)
        response.asked_by = name
        self._waits = response
        response.begin(self._entry)

    def _response(self, event: bytes) -> PinnedResponse:
        head = posted(self._head, len(event))
        response = PinnedResponse(self._context, self, self, head, self._plan, self._model, event)
        response.stay_at(self._endpoint, self._heard)
        return response

    def ask(self, response: PinnedResponse) -> None:
        if response.begun or self._relay is None:
            return
        self._asked.append(response)
        self._relay.tell_endpoint(response.event)
        response.event = b""
        self._go_on_behind(response)

    def cancel(self, response: PinnedResponse) -> None:
        if self._relay is not None and response.name:
            self._relay.tell_endpoint(cancel_event(response.name))

    def _go_on_behind(self, response: PinnedResponse) -> None:
        """What waited for that one goes on, up to the next that waits."""
        if self._waits is not response:
            return
        self._waits = None
        relay = self._relay
        while self._behind and relay is not None and not self.waits():
            relay.go_on_with(self._behind.pop(0))
            relay = self._relay
        if relay is not None and not self.waits():
            relay.on_free()

    # --- what the engine says of them -----------------------------------------------------------

    def note(self, event: EngineEvent, message: bytes) -> None:
        """It said that, which the client has got."""
        kind = event.kind
        name = event.response
        if kind == CREATED:
            self._note_begun(event, message)
        elif kind == ERROR:
            self._note_refused(event, message)
        elif name in self._running:
            response = self._running[name]
            response.note(event, message)
            if kind == DONE:
                self._note_heard(response)
                if not response.ended:  # it is not known yet whether it might
                    response.give_up(TICKET_DONE, "done")
                    self.on_response_over(response)

    def _note_begun(self, event: EngineEvent, message: bytes) -> None:
        name = event.response
        before = self._running.pop(name, None)
        if before is not None:  # an engine that gives two the same name
            before.give_up(TICKET_DONE, "done")
        if self._asked:
            response = self._asked.pop(0)
            response.name = name
        else:  # unasked: the engine heard that a turn has ended
            response = self._response(b"")
            response.name = name
            response.begun = True
            response.begin(self._entry)
        if not response.ended and self._relay is not None:
            self._running[name] = response
            response.note(event, message)

    def _note_refused(self, event: EngineEvent, message: bytes) -> None:
        """An error that answers a client's event: no response comes of it."""
        for response in self._asked:
            if response.asked_by == event.about:
                self._asked.remove(response)
                response.note(event, message)
                return

    def _note_heard(self, response: PinnedResponse) -> None:
        reading = response.events.reading()
        if reading is not None and reading.meter.prompt_tokens >= 0:
            self._heard = reading.meter.prompt_tokens + max(reading.meter.output_tokens, 0)

    # --- ends -------------------------------------------------------------------------------

    def on_response_over(self, response: AskedResponse) -> None:
        if isinstance(response, PinnedResponse):
            if self._running.get(response.name) is response:
                del self._running[response.name]
            if response in self._asked:
                self._asked.remove(response)
            self._go_on_behind(response)
        if self._relay is not None:
            self._relay.on_response_ended()

    def pass_event(self, event: bytes) -> None:
        if self._relay is not None:
            self._relay.tell_client(event)

    def give_up(self, outcome: int, ended: str, why: str = "") -> None:
        """Whatever runs, and whatever waits: the WebSocket is over."""
        self._relay = None  # which knows this: no cycle is left for the collector
        left = [*self._asked, *self._running.values()]
        if self._waits is not None:
            left.append(self._waits)
        self._waits = None
        self._asked = []
        self._running = {}
        self._behind = []
        for response in left:
            response.give_up(outcome, ended, why)
