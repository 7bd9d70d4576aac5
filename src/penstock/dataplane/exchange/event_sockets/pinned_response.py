"""One response of OpenAI's Realtime, on a WebSocket whose endpoint keeps the conversation.

It goes to that endpoint, and is passed on by whoever relays the WebSocket. It is counted as any
other: admitted, reserved, a ticket, a line in the log.
"""

from mypy_extensions import trait

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.attempt import Attempt
from penstock.dataplane.exchange.event_sockets.asked_plan import body_for
from penstock.dataplane.exchange.event_sockets.asked_response import AskedResponse, ResponseOwner
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import Plan
from penstock.wire.http1 import RequestHead
from penstock.wire.response_events import EngineEvent


@trait
class PinnedOwner:
    """Whoever relays the WebSocket."""

    def ask(self, response: "PinnedResponse") -> None:
        """It may be asked for now."""
        raise NotImplementedError

    def cancel(self, response: "PinnedResponse") -> None:
        """The engine began it, and may not."""
        raise NotImplementedError


class PinnedResponse(AskedResponse):
    """Begun by its client's event, or by the engine itself, when it heard that a turn ended."""

    name: str = ""  # that the engine gives it, once it began

    def __init__(
        self,
        context: Context,
        owner: ResponseOwner,
        relay: PinnedOwner,
        head: RequestHead,
        plan: Plan,
        model: str,
        event: bytes,
    ) -> None:
        """``event``: the client's; b"" where it did not ask. ``head``: see ``AskedResponse``."""
        super().__init__(context, owner, head, plan, "", body_for(model))
        self.event: bytes = event
        self._relay: PinnedOwner | None = relay

    def stay_at(self, endpoint: LiveEndpoint, heard: int) -> None:
        """``heard``: tokens of the conversation that the engine has."""
        self.pinned = endpoint
        self.heard = heard

    def on_attempt_made(self, attempt: Attempt) -> None:
        attempt.peer = attempt.endpoint.shown_address().encode()
        attempt.sent = self.sent = True
        self.forget()
        if self._relay is not None:
            self._relay.ask(self)

    def note(self, event: EngineEvent, message: bytes) -> None:
        """The engine says that of it; whoever relays passes it on."""
        attempt = self.attempt()
        if attempt is None:
            return  # it is not known yet whether it may
        if self.status == 0:
            self.take_first(attempt, event)
        self.events.read(event, message)
        if event.is_last:
            self.finish(attempt, b"")

    def close(self, told: Answer, ended: str) -> None:
        relay = self._relay
        super().close(told, ended)
        if self.begun and relay is not None:
            relay.cancel(self)

    def _end(self, ended: str) -> None:
        super()._end(ended)
        self._relay = None
