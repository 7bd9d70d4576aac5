"""One client's UDP session: its life, top to bottom.

    datagram, allow and deny       client/udp.py
    → route                        route/planner.py
    → admit → eligible → pick → ticket       dispatch.py
    → relay → settle               here, tunnel/session.py

There is nothing to connect: an attempt begins with the first datagram, and fails when ICMP says
that nobody is there. A session keeps its endpoint as long as that one is not known to be dead, and
then goes on with another.
"""

from os import strerror
from typing import Final

from mypy_extensions import trait

from penstock.core.attempts import OVER_BUDGET, Failure
from penstock.core.ticket import ABANDONED, CONNECT_FAILED, DONE
from penstock.dataplane.board.layout import (
    DATAGRAM_DROPS,
    P_CUT,
    SESSION_ENDS,
    W_DATAGRAM_DROPS,
    W_SESSION_ENDS,
    W_SESSIONS_MOVED,
    W_SESSIONS_OPENED,
    W_UNKNOWN_SERVER_IDS,
    W_UNROUTED,
)
from penstock.dataplane.context import Context
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.attempt import Attempt, AttemptOwner
from penstock.dataplane.exchange.dispatch import Dispatch
from penstock.dataplane.exchange.log_line import connection_line
from penstock.dataplane.exchange.outcome import ConnectionOutcome
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.connection_plan import ConnectionPlan
from penstock.dataplane.tunnel.session import DatagramFront, Session, SessionClient, SessionOwner
from penstock.dataplane.tunnel.session_table import SessionRules
from penstock.wire.http1 import ResponseHead
from penstock.wire.proxy_protocol import ProxyHeader
from penstock.wire.proxy_writing import write_v2
from penstock.wire.quic import has_long_header

_FIRST_BYTE: Final = 2  # a phase of the histograms, as in board.PHASES
# Datagrams that are kept while a session waits in its pool's queue.
_MOST_HELD: Final = 8
# For so long datagrams of a refused session are dropped unseen, that a flood of them costs little.
REFUSED_S: Final = 1.0
_NO_ROUTE: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("no_route")
_NO_ENDPOINT: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("no_endpoint")
_NO_SOCKET: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("no_socket")
_QUEUE_FULL: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("queue_full")
_UNREACHABLE: Final = W_DATAGRAM_DROPS + DATAGRAM_DROPS.index("unreachable")
_IDLE: Final = SESSION_ENDS.index("idle")
_EVICTED: Final = SESSION_ENDS.index("evicted")
_REFUSED: Final = SESSION_ENDS.index("refused")
_CUT: Final = SESSION_ENDS.index("cut")


@trait
class SessionFront(DatagramFront):
    """Where its client is."""

    def refused(self, session: Session) -> None:
        """It gets nothing for a while."""
        raise NotImplementedError

    def forget(self, session: Session) -> None:
        """It is over: the next datagram opens another."""
        raise NotImplementedError

    def reopen(self, session: Session, data: bytes) -> None:
        """It was refused a while ago: begin anew with this datagram."""
        raise NotImplementedError

    def header_of(self, client: SessionClient) -> ProxyHeader:
        """A PROXY header that tells of a client, for its endpoint."""
        raise NotImplementedError


class UdpExchange(AttemptOwner, SessionOwner):
    """From a session's first datagram to its settled ticket."""

    dispatch: Dispatch | None = None
    ended: int = -1  # how: an index into SESSION_ENDS
    why: str = ""  # it was refused or cut, in a sentence
    first_reply_at: float = 0.0
    earlier_attempts: int = 0  # by dispatches before this one
    refused_until: float = 0.0
    _dropped_for: int = _NO_ENDPOINT

    def __init__(
        self,
        context: Context,
        front: SessionFront,
        listener: str,
        rules: SessionRules,
        client: SessionClient,
    ) -> None:
        self.context: Context = context
        self.front: SessionFront = front
        self.listener: str = listener
        self.host: str = client.host
        self.request_id: bytes = context.new_request_id()
        self.began: float = context.env.now
        self.session: Session = Session(self, front, rules, client, context.outlets)
        self.plan: ConnectionPlan = context.planner.plan_connection(listener, client.host, "")
        self._held: list[bytes] = []  # until there is an endpoint

    # --- route, admit, eligible, pick, ticket (Dispatch) -------------------------------------

    def start(self, data: bytes) -> None:
        """Choose an endpoint for the first datagram, or turn the client away."""
        context = self.context
        context.sessions += 1
        context.counters.requests += 1
        context.counters.values[W_SESSIONS_OPENED] += 1
        if self.plan.route is not None:
            pool = self.plan.choose(context.env.random())
            self.session.rules.idle_s = pool.spec.timeouts.session_idle_s
            self._held = []
            self.session.take(data)  # which holds it
            self._dispatch(pool)
            return
        context.counters.bump(W_UNROUTED)
        self.session.take(data)
        self._refuse("no route is for this session", _NO_ROUTE)

    def _dispatch(self, pool: LivePool) -> None:
        context = self.context
        pool.counters.came()
        first = self._held[0] if self._held else b""
        request = self.plan.request(pool, self.session.client.port, first)
        dispatch = Dispatch(context, self, pool, request, self.request_id)
        if pool.server_ids is not None:
            dispatch.home = pool.made_by(first)
            # A client that opens a connection makes up its first id: only others tell anything.
            if dispatch.home is None and not has_long_header(first):
                context.counters.bump(W_UNKNOWN_SERVER_IDS)
        moved = context.moved_to(self.listener, self.session.client.host, self.session.client.port)
        if moved and dispatch.home is None:
            dispatch.home = pool.member_called(moved)
        self.dispatch = dispatch
        dispatch.begin()

    def on_attempt_made(self, attempt: Attempt) -> None:
        dispatch = self.dispatch
        assert dispatch is not None
        endpoint = attempt.endpoint
        addresses = endpoint.connector.in_order()
        if not addresses:
            self._failed(attempt, endpoint.connector.no_address or "it has no address", b"")
            return
        address = addresses[0]
        attempt.peer = address.shown
        spec = dispatch.pool.spec
        each = spec.proxy_datagrams == "each"
        header = self._header(each) if spec.proxy_protocol != "off" else b""
        if not self.session.attach(
            endpoint,
            endpoint.tally,
            address.family,
            address.sockaddr,
            header,
            each,
        ):
            attempt.settle(ABANDONED, self.context.env.now)
            self._refuse("no socket is left for it", _NO_SOCKET)
            return
        held = self._held
        self._held = []
        for data in held:
            self.session.send(data)

    def _header(self, each: bool) -> bytes:
        """What tells the endpoint who the client is (doc/proxy-protocol.txt, 2.2)."""
        header = self.front.header_of(self.session.client)
        if not each:  # there is room for it once, and not in every datagram
            header.unique_id = self.request_id
        return write_v2(header)

    def on_waiting(self) -> None:
        """The queue has its own deadline."""

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        self._refuse(why, _NO_ENDPOINT)

    def on_no_endpoint(self, why: str, retry_after_s: int) -> None:
        self._refuse(why, _NO_ENDPOINT)

    # --- relay ------------------------------------------------------------------------------

    def on_unattached(self, data: bytes) -> None:
        if self.ended < 0:
            if len(self._held) < _MOST_HELD:
                self._held.append(data)
            else:
                self.session.drop(_QUEUE_FULL)
        elif self.context.env.now < self.refused_until:
            self.session.drop(self._dropped_for)
        else:
            self.session.hand_on(len(data))
            self.front.reopen(self.session, data)

    def on_first_reply(self) -> None:
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        if dispatch is None or attempt is None:
            return
        now = self.context.env.now
        attempt.ticket.first_byte(now)
        dispatch.attempts = None  # what failed before is no longer held against this session
        if self.first_reply_at == 0.0:
            self.first_reply_at = now
            dispatch.pool.counters.record(_FIRST_BYTE, now - self.began)

    def on_endpoint_down(self, data: bytes) -> None:
        dispatch = self.dispatch
        attempt = dispatch.attempt if dispatch is not None else None
        if dispatch is None or attempt is None:
            return
        if attempt.endpoint in dispatch.pool.eligible:
            self.session.send(data)  # so many are down that health is not believed
            return
        context = self.context
        context.counters.values[W_SESSIONS_MOVED] += 1
        self.session.detach()
        attempt.settle(ABANDONED, context.env.now)
        self._leave(dispatch)
        self._held = [data]
        self.plan = context.planner.plan_connection(self.listener, self.host, "")
        if self.plan.route is None:
            self._refuse("no route is for this session any more", _NO_ROUTE)
            return
        self._dispatch(self.plan.choose(context.env.random()))

    def on_unreachable(self, number: int, data: bytes) -> None:
        dispatch = self.dispatch
        if dispatch is not None and dispatch.attempt is not None:
            self._failed(dispatch.attempt, strerror(number), data)
        elif data:
            self.session.drop(_UNREACHABLE)

    def _failed(self, attempt: Attempt, reason: str, data: bytes) -> None:
        """The endpoint is not there. ``data``, of which that was told, goes to another."""
        dispatch = self.dispatch
        if dispatch is None or attempt.is_settled():
            if data:
                self.session.drop(_UNREACHABLE)
            return
        context = self.context
        self.session.detach()
        attempt.settle(CONNECT_FAILED, context.env.now)
        failure = Failure(attempt.endpoint, CONNECT_FAILED, sent=False)
        why_not = dispatch.why_not(failure)
        if data:
            self._held.insert(0, data)
        if why_not and why_not != OVER_BUDGET:
            self._refuse(f"endpoint {attempt.endpoint.name}: {reason}", _UNREACHABLE)
            return
        context.counters.values[W_SESSIONS_MOVED] += 1
        if why_not:
            # To go on elsewhere repeats nothing; to send this datagram again would.
            self._drop_held(_UNREACHABLE)
            dispatch.pick_again()
        else:
            dispatch.retry()

    # --- ends -------------------------------------------------------------------------------

    def on_expired(self) -> None:
        """No datagram came for ``timeouts.session_idle``."""
        self._settle(DONE)
        self._end(_IDLE)

    def on_evicted(self) -> None:
        """There are too many sessions, and it was idle for the longest."""
        self.why = "limits.sessions: it was idle for longer than any other"
        self._settle(DONE)
        self._end(_EVICTED)

    def cut_off(self, why: str) -> None:
        """We end it."""
        self.why = why
        self._settle(ABANDONED)
        self._end(_CUT)

    def on_crash(self) -> None:
        if self.ended >= 0:
            return
        try:
            self.cut_off("a bug showed")
        finally:
            self.front.forget(self.session)

    def _refuse(self, why: str, drop: int) -> None:
        self.why = why
        self._dropped_for = drop
        self.refused_until = self.context.env.now + REFUSED_S
        self._drop_held(drop)
        self._end(_REFUSED)
        self.front.refused(self.session)

    def _drop_held(self, why: int) -> None:
        for _ in self._held:
            self.session.drop(why)
        self._held = []

    def _settle(self, outcome: int) -> None:
        dispatch = self.dispatch
        if dispatch is not None and dispatch.attempt is not None:
            dispatch.attempt.settle(outcome, self.context.env.now)

    def _leave(self, dispatch: Dispatch) -> None:
        """Free its place in the pool's admission."""
        self.earlier_attempts += dispatch.attempt_number
        # What it tells of the endpoints: whether anything came of them, and how soon.
        came = self.first_reply_at > 0.0
        dispatch.leave(
            told=came or self.ended == _REFUSED,
            whole=came,
            timed_out=False,
            status=0,
            at=self.first_reply_at,
        )
        dispatch.waiter = None

    def _end(self, how: int) -> None:
        """Metrics and the log line; the last thing that happens to every session."""
        if self.ended >= 0:
            return
        self.ended = how
        self._drop_held(_NO_ENDPOINT)  # it waited in vain
        context = self.context
        now = context.env.now
        context.sessions -= 1
        context.counters.values[W_SESSION_ENDS + how] += 1
        self.session.detach()
        log = context.log
        line = b""
        if log.enabled:
            line = connection_line(self._outcome(), now - self.began, log.shape)
        dispatch = self.dispatch
        if dispatch is not None:
            counters = dispatch.pool.counters
            counters.ended(0, now - self.began)
            if how == _CUT:
                counters.bump(P_CUT)
            self._leave(dispatch)
            self.dispatch = None  # they know this exchange: no cycle is left for the collector
        if line:
            log.write(line)

    def _outcome(self) -> ConnectionOutcome:
        outcome = ConnectionOutcome(
            self.plan, self.listener, self.request_id, SESSION_ENDS[self.ended]
        )
        rules = self.session.rules
        outcome.protocol = b"udp"
        outcome.of_protocol = (
            b',"client_port":%d,"datagrams_from_client":%d,"datagrams":%d,"dropped":%d'
            % (self.session.client.port, rules.received, rules.sent, rules.dropped)
        )
        outcome.why = self.why
        if self.first_reply_at > 0.0:
            outcome.first_byte_s = self.first_reply_at - self.began
        outcome.bytes_from_client = rules.received_bytes
        outcome.bytes_to_client = rules.sent_bytes
        outcome.attempts = self.earlier_attempts
        dispatch = self.dispatch
        if dispatch is not None:
            outcome.take_dispatch(dispatch)
        return outcome

    # --- of connections, which there are none -------------------------------------------------

    def on_attempt_connected(self, attempt: Attempt) -> None:
        raise NotImplementedError

    def on_attempt_interim(self, attempt: Attempt, head: ResponseHead) -> None:
        raise NotImplementedError

    def on_attempt_failed(
        self,
        attempt: Attempt,
        stream: EndpointStream | None,
        outcome: int,
        reason: str,
    ) -> None:
        raise NotImplementedError

    def on_attempt_drained(self, attempt: Attempt) -> None:
        raise NotImplementedError
