"""A copy of a request to a second pool, whose answer is dropped.

A mirror never slows or fails the request that it copies: when its endpoint is slow to take the body
or anything else goes wrong, the copy is given up.
"""

from typing import Final

from penstock.core.ticket import ABANDONED, DONE, Ticket
from penstock.dataplane.board.layout import P_COPIES_GIVEN_UP, P_CUT, P_NO_ENDPOINT
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.connecting import connect
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.http1 import RequestHead, ResponseHead

MAX_WAITING_BYTES: Final = 1024 * 1024


class Mirror(ResponseSink):
    """One copy under plan."""

    def __init__(
        self,
        context: Context,
        plan: PoolPlan,
        endpoint: LiveEndpoint,
        stream: EndpointStream,
        head: RequestHead,
        request_id: bytes,
    ) -> None:
        self.plan: PoolPlan = plan
        self.endpoint: LiveEndpoint = endpoint
        self.stream: EndpointStream | None = stream
        self.context: Context = context
        ticket = Ticket(endpoint, plan.pool.policy, plan.request, context.env.now)
        endpoint.give_slot(ticket)
        self.ticket: Ticket = ticket
        self._head: ForwardedHead = plan.forwarded(endpoint)
        self._bodiless: bool = head.bodiless
        self._request_id: bytes = request_id
        self._waiting: bytearray = bytearray()
        self._connected: bool = False
        self._complete: bool = False
        self._answered: bool = False

    def feed(self, data: bytes, complete: bool) -> None:
        """More of the body."""
        self._complete = complete
        stream = self.stream
        if stream is None:
            return
        if not self._connected:
            self._waiting += data
            if len(self._waiting) > MAX_WAITING_BYTES:
                self._fall_behind()
            return
        stream.send_more(data, complete)
        self._sent(stream)
        if stream.waiting_bytes() > MAX_WAITING_BYTES:
            self._fall_behind()

    def _fall_behind(self) -> None:
        """The endpoint takes the body too slowly: the request that is copied does not wait."""
        self.plan.pool.counters.bump(P_COPIES_GIVEN_UP)
        self.give_up()

    def give_up(self) -> None:
        """Stop; the endpoint sees it at once."""
        stream = self.stream
        self.stream = None
        if stream is not None:
            stream.give_up()
        self.ticket.settle_once(ABANDONED, self.context.env.now)

    def on_connected(self) -> None:
        stream = self.stream
        assert stream is not None
        self._connected = True
        stream.begin(self, self._bodiless, 0.0)
        stream.send_request(self._head, self._request_id, bytes(self._waiting), self._complete)
        self._waiting = bytearray()
        self._sent(stream)

    def _sent(self, stream: EndpointStream) -> None:
        """All there is; the endpoint's time to answer runs once that is the whole."""
        if not self._answered:
            stream.arm(self.endpoint.connector.settings.first_byte_s if self._complete else 0.0)

    def on_stream_replaced(self, stream: object) -> None:
        assert isinstance(stream, EndpointStream)
        if isinstance(stream, Http1Connection):
            stream.keep = False  # as in ``start_mirror``
        self.stream = stream

    def on_interim(self, head: ResponseHead) -> None:
        pass

    def frame_response(self, head: ResponseHead) -> bool:
        return False

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        self._answered = True
        self.ticket.status = head.status
        self.ticket.first_byte(self.context.env.now)
        if complete:
            self._done()

    def on_body(self, data: bytes, complete: bool) -> None:
        if complete:
            self._done()

    def on_endpoint_failed(self, outcome: int, reason: str) -> None:
        self.stream = None
        answered = self.ticket.status > 0
        self.plan.pool.counters.bump(P_CUT if answered else P_COPIES_GIVEN_UP)
        self.ticket.settle_once(outcome, self.context.env.now)

    def on_endpoint_drained(self) -> None:
        pass

    def on_crash(self) -> None:
        self.give_up()

    def _done(self) -> None:
        self.stream = None
        self.ticket.settle_once(DONE, self.context.env.now)


def start_mirror(
    context: Context, plan: PoolPlan, head: RequestHead, request_id: bytes
) -> Mirror | None:
    """A mirror that is connecting; None when its pool has nobody to send to."""
    plan.pool.counters.came()
    endpoint = plan.pool.pick(plan.request, context.env)
    if endpoint is None:
        plan.pool.counters.bump(P_NO_ENDPOINT)
        return None
    assert isinstance(endpoint, LiveEndpoint)
    try:
        stream = connect(endpoint.connector)
    except OSError:
        plan.pool.counters.bump(P_COPIES_GIVEN_UP)
        return None  # a copy is not worth more than one attempt
    if isinstance(stream, Http1Connection):
        stream.keep = False  # copies must not crowd out the idle connections
    mirror = Mirror(context, plan, endpoint, stream, head, request_id)
    stream.await_connection(mirror, 0.0)
    stream.arm(endpoint.connector.settings.connect_s)
    return mirror
