"""One client's connection, relayed unread to an endpoint: its life, top to bottom.

    accept, TLS, server name       client/tcp.py
    → route                        route/planner.py
    → admit → eligible → pick → ticket       dispatch.py
    → connect → relay → settle               here, tunnel/relay.py

No byte of the client's is sent before there is a connection, so any attempt that fails to connect
may be followed by another.
"""

from typing import Final

from mypy_extensions import trait

from penstock.core.attempts import Failure
from penstock.core.ticket import ABANDONED, CLIENT_GONE, CONNECT_FAILED, Ticket
from penstock.dataplane.board.layout import (
    P_CLIENT_GONE,
    P_CUT,
    W_UNROUTED,
)
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.log_line import certificate_facts, connection_line
from penstock.dataplane.exchange.outcome import ConnectionOutcome
from penstock.dataplane.exchange.relaying import outcome_of, relay_of, why_ended, word_of
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.route.connection_plan import ConnectionPlan
from penstock.dataplane.tunnel.relay import CUT, Relay, RelayOwner
from penstock.wire.http1 import ResponseHead
from penstock.wire.proxy_protocol import ProxyHeader

# Phases of the histograms, as in board.PHASES.
_CONNECT: Final = 1
_FIRST_BYTE: Final = 2


@trait
class StreamFront:
    """A client whose connection is relayed as it is."""

    def connection(self) -> Connection:
        """Its connection, for a relay to go on from."""
        raise NotImplementedError

    def take_received(self) -> bytes:
        """What came before the relay, once."""
        raise NotImplementedError

    def turn_away(self) -> None:
        """There is no endpoint for it: close."""
        raise NotImplementedError

    def proxy_header(self) -> ProxyHeader:
        """It, as a PROXY header tells an endpoint of it."""
        raise NotImplementedError


class TcpExchange(AttemptOwner, RelayOwner):
    """From a connection whose route is known to the settled ticket."""

    dispatch: Dispatch | None = None
    relay: Relay | None = None
    ended: str = ""  # how, in one word, for the log
    why: str = ""  # it was refused or cut, in a sentence
    connected_at: float = 0.0
    first_byte_at: float = 0.0

    def __init__(
        self, context: Context, front: StreamFront, plan: ConnectionPlan, listener: str
    ) -> None:
        self.context: Context = context
        self.front: StreamFront = front
        self.plan: ConnectionPlan = plan
        self.listener: str = listener
        self.request_id: bytes = context.new_request_id()
        self.began: float = context.env.now

    # --- route, admit, eligible, pick, ticket (Dispatch) -------------------------------------

    def start(self) -> None:
        """Choose an endpoint and connect to it, or turn the client away."""
        context = self.context
        context.counters.requests += 1
        if self.plan.route is None:
            context.counters.bump(W_UNROUTED)
            self._turn_away("no route is for this connection")
            return
        pool = self.plan.choose(context.env.random())
        pool.counters.came()
        dispatch = Dispatch(context, self, pool, self.plan.request(pool), self.request_id)
        self.dispatch = dispatch
        dispatch.begin()

    def on_attempt_made(self, attempt: Attempt) -> None:
        attempt.begin_anew(self.context.env.now)

    def on_waiting(self) -> None:
        """The queue has its own deadline."""

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self._turn_away(why)

    def on_no_endpoint(self, why: str, retry_after_s: int) -> None:
        self._turn_away(why)

    # --- connect ----------------------------------------------------------------------------

    def proxy_header(self) -> ProxyHeader:
        header = self.front.proxy_header()
        header.authority = self.plan.server_name or header.authority
        header.unique_id = self.request_id
        return header

    def on_attempt_connected(self, attempt: Attempt) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        pool = dispatch.pool
        self.connected_at = self.context.env.now
        pool.counters.record(_CONNECT, attempt.connect_s)
        relay = relay_of(self, self.context, pool, attempt, self.front.connection())
        self.relay = relay
        relay.begin(self.front.take_received())

    def on_attempt_failed(
        self,
        attempt: Attempt,
        stream: EndpointStream | None,
        outcome: int,
        reason: str,
    ) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        attempt.settle(outcome, self.context.env.now)
        if outcome == ABANDONED:
            self._turn_away(reason)
            return
        failure = Failure(
            attempt.endpoint,
            CONNECT_FAILED,
            timed_out=stream is not None and stream.ran_out_of_time(),
            sent=False,
        )
        if not dispatch.why_not(failure):
            dispatch.retry()
            return
        self._turn_away(f"endpoint {attempt.endpoint.name}: {reason}")

    # --- relay ------------------------------------------------------------------------------

    def on_first_byte(self) -> None:
        ticket = self._ticket()
        dispatch = self.dispatch
        now = self.context.env.now
        self.first_byte_at = now
        if ticket is not None and dispatch is not None:
            ticket.first_byte(now)
            dispatch.pool.counters.record(_FIRST_BYTE, now - self.began)

    def on_relay_ended(self, how: int) -> None:
        dispatch = self.dispatch
        if dispatch is not None and dispatch.attempt is not None:
            attempt = dispatch.attempt
            attempt.endpoint.long_lived.tunnels.discard(self.relay)
            attempt.settle(outcome_of(how), self.context.env.now)
        self.why = why_ended(how)
        self._end(word_of(how))

    # --- ends -------------------------------------------------------------------------------

    def on_client_gone(self) -> None:
        """The client left before there was a connection to an endpoint."""
        self._give_up(CLIENT_GONE)
        self._end("client_gone")

    def cut_off(self, why: str) -> None:
        """We end it before there was a connection to an endpoint."""
        self.why = why
        self._give_up(ABANDONED)
        self._end("cut")

    def on_crash(self) -> None:
        if self.ended:
            return
        if self.relay is not None:
            self.relay.close(CUT)
            return
        try:
            self._give_up(ABANDONED)
        finally:
            self._end("crashed")
            self.front.turn_away()

    def _turn_away(self, why: str) -> None:
        self.why = why
        self._end("refused")
        self.front.turn_away()

    def _give_up(self, outcome: int) -> None:
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        if attempt is not None:
            attempt.give_up()
            attempt.settle(outcome, self.context.env.now)

    def _ticket(self) -> Ticket | None:
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        return attempt.ticket if attempt is not None else None

    def _end(self, ended: str) -> None:
        """Metrics and the log line; the last thing that happens to every connection."""
        self.ended = ended
        now = self.context.env.now
        dispatch = self.dispatch
        if dispatch is not None:
            counters = dispatch.pool.counters
            counters.ended(0, now - self.began)
            if ended == "client_gone":
                counters.bump(P_CLIENT_GONE)
            elif ended == "cut":
                counters.bump(P_CUT)
            # What it tells of the endpoints: how long connecting took, and whether that worked.
            connected = self.connected_at > 0.0
            dispatch.leave(
                told=connected or ended == "refused",
                whole=connected and ended not in ("cut", "crashed"),
                timed_out=False,
                status=0,
                at=self.connected_at,
            )
        log = self.context.log
        if log.enabled:
            log.write(connection_line(self._outcome(), now - self.began, log.shape))
        # They know this exchange: no cycle is left for the collector.
        if dispatch is not None:
            dispatch.waiter = None
            self.dispatch = None
        self.relay = None

    def _outcome(self) -> ConnectionOutcome:
        outcome = ConnectionOutcome(self.plan, self.listener, self.request_id, self.ended)
        outcome.why = self.why
        outcome.of_protocol = certificate_facts(self.plan.caller)
        if self.first_byte_at > 0.0:
            outcome.first_byte_s = self.first_byte_at - self.began
        relay = self.relay
        if relay is not None:
            outcome.bytes_from_client = relay.bytes_from_client
            outcome.bytes_to_client = relay.bytes_from_endpoint
        dispatch = self.dispatch
        if dispatch is not None:
            outcome.take_dispatch(dispatch)
        return outcome

    # --- of responses, which there are none ---------------------------------------------------

    def on_attempt_interim(self, attempt: Attempt, head: ResponseHead) -> None:
        raise NotImplementedError

    def on_attempt_drained(self, attempt: Attempt) -> None:
        """What was sent of a TLS handshake has left."""
