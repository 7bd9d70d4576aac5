"""``grpc.health.v1.Health/Watch``: the health of the balancer or of pools, told when it changes.

By the protocol (grpc/grpc, doc/health-checking.md) a service that is not known is told as
SERVICE_UNKNOWN, as it may come yet, and whoever watches begins anew when the call ends.
"""

from typing import Final

from penstock.dataplane.context import Context
from penstock.dataplane.exchange.answers import Answer
from penstock.dataplane.exchange.front import Front
from penstock.dataplane.exchange.grpc_services.health import status_of
from penstock.dataplane.exchange.own_call import CallMessages, CallOwner, OwnCall, opening_answer
from penstock.dataplane.io.watches import MOST_WATCHES, Watch
from penstock.dataplane.route.plan import Plan
from penstock.wire.grpc import (
    CANCELLED,
    INTERNAL,
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    UNAVAILABLE,
    trailers,
)
from penstock.wire.grpc_health import decode_request, encode_response
from penstock.wire.grpc_messages import encode_message
from penstock.wire.http1 import RequestHead

METHOD: Final = "Watch"
_MAX_MESSAGE_BYTES: Final = 65536
# Then the client begins anew: one that is gone without a word does not keep its place for ever.
_MOST_S: Final = 3600.0


class WatchCall(OwnCall, Watch):
    """One call. A client that takes nothing for a while is told the newest alone."""

    _told: int = -1  # the status that was said last
    _watches: bool = False  # its message came
    _full: bool = False  # the client takes no more
    _until: float = 0.0

    def __init__(
        self, context: Context, owner: CallOwner, front: Front, plan: Plan, head: RequestHead
    ) -> None:
        self._context: Context = context
        self._owner: CallOwner = owner
        self._front: Front = front
        self._plan: Plan = plan
        self._messages: CallMessages = CallMessages(head, _MAX_MESSAGE_BYTES)
        self._asked: str = ""

    def opening(self) -> Answer | None:
        return opening_answer()

    def take(self, data: bytes, complete: bool) -> None:
        if self.status >= 0:
            return
        for message in self._messages.feed(data):
            if self._watches:
                self._end(INTERNAL, "one message is needed")
            else:
                self._begin(message)
            if self.status >= 0:
                return
        if self._messages.reader.reason:
            self._end(RESOURCE_EXHAUSTED, self._messages.reader.reason)
        elif complete and not self._watches:
            self._end(INTERNAL, "one message is needed")

    def _begin(self, message: bytes) -> None:
        asked = decode_request(message)
        context = self._context
        if asked is None:
            self._end(INVALID_ARGUMENT, "this is no HealthCheckRequest")
            return
        if not context.watches.has_room():
            self._end(RESOURCE_EXHAUSTED, f"{MOST_WATCHES} calls watch already")
            return
        self._asked = asked
        self._watches = True
        self._until = context.env.now + _MOST_S
        context.watches.add(self)
        self.look(context.env.now)

    def look(self, now: float) -> None:
        if not self._full:
            status = status_of(self._asked, self._plan, self._context)
            if status != self._told:
                self._told = status
                self._full = not self._front.send_body(encode_message(encode_response(status)))
        if self._context.stopping:
            self._end(UNAVAILABLE, "the balancer stops")
        elif now >= self._until:
            self._end(UNAVAILABLE, "watched for long enough: watch anew")

    def on_drained(self) -> None:
        self._full = False

    def limit(self, most: int) -> None:
        self._full = most <= 0

    def gone(self, outcome: int) -> None:
        self._context.watches.drop(self)
        if self.status < 0:
            self.status = CANCELLED

    def _end(self, status: int, text: str) -> None:
        self._context.watches.drop(self)
        self.status = status
        self._front.trailers(trailers(status, text))
        self._owner.on_call_over()
