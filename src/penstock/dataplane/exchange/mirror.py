"""A copy of a request to a second pool, whose answer is dropped.

A mirror never slows or fails the request that it copies: when its endpoint is slow to take the body
or anything else goes wrong, the copy is given up.
"""

from typing import Final

from penstock.core.ticket import ABANDONED, DONE, Ticket
from penstock.dataplane.board.layout import P_COPIES_GIVEN_UP, P_CUT, P_NO_ENDPOINT, P_REQUESTS
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.connecting import connect_http
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire.http1 import RequestHead, ResponseHead

MAX_WAITING_BYTES: Final = 1024 * 1024


class Mirror(ResponseSink):
    """One copy under plan."""

    def __init__(
        self,
        context: Context,
        plan: PoolPlan,
        endpoint: LiveEndpoint,
        connection: Http1Connection,
    ) -> None:
        self.plan: PoolPlan = plan
        self.endpoint: LiveEndpoint = endpoint
        self.connection: Http1Connection | None = connection
        self.context: Context = context
        ticket = Ticket(endpoint, plan.pool.policy, plan.request, context.env.now)
        endpoint.give_slot(ticket)
        self.ticket: Ticket | None = ticket
        self._waiting: bytearray = bytearray()
        self._connected: bool = False
        self._complete: bool = False

    def send_head(self, head: bytes, bodiless: bool) -> None:
        """Queue the head until the connection is there."""
        connection = self.connection
        assert connection is not None
        connection.begin(self, bodiless, 0.0)
        self._waiting += head

    def feed(self, data: bytes, complete: bool) -> None:
        """More of the body."""
        self._complete = complete
        connection = self.connection
        if connection is None:
            return
        if not self._connected:
            self._waiting += data
            if len(self._waiting) > MAX_WAITING_BYTES:
                self._fall_behind()
            return
        if data:
            connection.send(data)
            self.endpoint.tally.bytes_sent += len(data)
        self._sent(connection)
        if connection.unsent is not None and len(connection.unsent) > MAX_WAITING_BYTES:
            self._fall_behind()

    def _fall_behind(self) -> None:
        """The endpoint takes the body too slowly: the request that is copied does not wait."""
        self.plan.pool.counters.bump(P_COPIES_GIVEN_UP)
        self.give_up()

    def give_up(self) -> None:
        """Stop; the endpoint sees the connection close."""
        connection = self.connection
        self.connection = None
        if connection is not None:
            connection.give_up()
        self._settle(ABANDONED)

    def on_connected(self) -> None:
        connection = self.connection
        assert connection is not None
        self._connected = True
        connection.send(bytes(self._waiting))
        self.endpoint.tally.bytes_sent += len(self._waiting)
        self._waiting = bytearray()
        self._sent(connection)

    def _sent(self, connection: Http1Connection) -> None:
        """All there is; the endpoint's time to answer runs once that is the whole."""
        connection.request_sent = self._complete
        if not connection.answered:
            connection.arm(self.endpoint.connector.settings.first_byte_s if self._complete else 0.0)

    def on_interim(self, head: ResponseHead) -> None:
        pass

    def frame_response(self, head: ResponseHead) -> bool:
        return False

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        if self.ticket is not None:
            self.ticket.status = head.status
            self.ticket.first_byte(self.context.env.now)
        if complete:
            self._done()

    def on_body(self, data: bytes, complete: bool) -> None:
        if complete:
            self._done()

    def on_endpoint_failed(self, outcome: int, reason: str) -> None:
        self.connection = None
        answered = self.ticket is not None and self.ticket.status > 0
        self.plan.pool.counters.bump(P_CUT if answered else P_COPIES_GIVEN_UP)
        self._settle(outcome)

    def on_endpoint_drained(self) -> None:
        pass

    def on_crash(self) -> None:
        self.give_up()

    def _done(self) -> None:
        self.connection = None
        self._settle(DONE)

    def _settle(self, outcome: int) -> None:
        ticket = self.ticket
        if ticket is not None:
            self.ticket = None
            ticket.settle(outcome, self.context.env.now)


def start_mirror(
    context: Context, plan: PoolPlan, head: RequestHead, request_id: bytes
) -> Mirror | None:
    """A mirror that is connecting; None when its pool has nobody to send to."""
    plan.pool.counters.bump(P_REQUESTS)
    endpoint = plan.pool.pick(plan.request, context.env)
    if endpoint is None:
        plan.pool.counters.bump(P_NO_ENDPOINT)
        return None
    assert isinstance(endpoint, LiveEndpoint)
    try:
        connection = connect_http(endpoint.connector)
    except OSError:
        plan.pool.counters.bump(P_COPIES_GIVEN_UP)
        return None  # a copy is not worth more than one attempt
    connection.keep = False  # copies must not crowd out the idle connections
    connection.arm(endpoint.connector.settings.connect_s)
    mirror = Mirror(context, plan, endpoint, connection)
    mirror.send_head(b"%b%b\r\n\r\n" % (plan.prefix(endpoint), request_id), head.method == b"HEAD")
    return mirror
