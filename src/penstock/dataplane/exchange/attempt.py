"""One try of an exchange on one endpoint: its ticket, its connection, and its end.

It knows no protocol above the connection. What comes back goes to its owner, told apart by the
attempt that calls, so that an exchange may have two at once.
"""

from mypy_extensions import mypyc_attr, trait

from penstock.core.ticket import ABANDONED, CONNECT_FAILED, DONE, Ticket
from penstock.dataplane.endpoint.connecting import connect
from penstock.dataplane.endpoint.idle_connections import take_idle
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.turn import FIRST_BYTE, NO_TIMER, STREAM_IDLE, Turn
from penstock.dataplane.io.handed_stream import Handed
from penstock.dataplane.io.loop import EXHAUSTED
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.wire.http1 import Field, ResponseHead
from penstock.wire.proxy_protocol import ProxyHeader


# No trait: every chunk comes through here, and a trait's methods are looked up.
@mypyc_attr(allow_interpreted_subclasses=True)
class AttemptOwner:
    """Whoever tries: an exchange. The first four are told by its ``Dispatch``."""

    def on_attempt_made(self, attempt: "Attempt") -> None:
        """An endpoint was chosen: begin."""
        raise NotImplementedError

    def on_waiting(self) -> None:
        """It waits in the pool's queue, or was turned away just now."""
        raise NotImplementedError

    def on_turned_away(self, why: str, retry_after_s: int) -> None:
        """The pool's admission does not let it in; ``retry_after_s``: when it may."""
        raise NotImplementedError

    def on_no_endpoint(self, why: str, retry_after_s: int) -> None:
        """No endpoint can take it."""
        raise NotImplementedError

    def on_attempt_connected(self, attempt: "Attempt") -> None:
        """There is a connection: send now."""
        raise NotImplementedError

    def on_attempt_interim(self, attempt: "Attempt", head: ResponseHead) -> None:
        """A 1xx head came; the final one follows."""
        raise NotImplementedError

    def on_attempt_switched(self, attempt: "Attempt", head: ResponseHead, rest: bytes) -> None:
        """The endpoint changed to the protocol that it was asked for; ``rest`` came behind."""
        raise NotImplementedError

    def on_attempt_unable(self, attempt: "Attempt", reason: str) -> None:
        """The endpoint cannot do what is asked of it, which is no failure of it. The attempt is yet
        to be settled."""
        raise NotImplementedError

    def frame_attempt(self, attempt: "Attempt", head: ResponseHead) -> bool:
        """A final head came. Say whether its body is wanted in chunks (else as bare payload)."""
        raise NotImplementedError

    def on_attempt_answered(
        self, attempt: "Attempt", head: ResponseHead, body: bytes, complete: bool
    ) -> None:
        """The final head, with what of its body came along."""
        raise NotImplementedError

    def on_attempt_body(self, attempt: "Attempt", data: bytes, complete: bool) -> None:
        """More of the body, framed as asked."""
        raise NotImplementedError

    def on_attempt_trailers(self, attempt: "Attempt", fields: list[Field]) -> None:
        """Fields behind the body, whose end follows."""

    def on_attempt_without_message(
        self, attempt: "Attempt", head: ResponseHead, trailers: list[Field]
    ) -> bool:
        """A response without a body ended with trailers; whether it is dropped, and the attempt
        with it. Else it is told as others are."""
        return False

    def on_attempt_failed(
        self,
        attempt: "Attempt",
        stream: EndpointStream | None,
        outcome: int,
        reason: str,
    ) -> None:
        """No whole response will come. ``outcome`` is of ``core.ticket``: ABANDONED where the fault
        is ours. The stream, if there was one, is over. It is yet to be settled."""
        raise NotImplementedError

    def on_attempt_drained(self, attempt: "Attempt") -> None:
        """What was sent has left; more may be sent."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed in one of these methods: give up, and leave nobody waiting."""
        raise NotImplementedError

    def proxy_header(self) -> ProxyHeader:
        """The client, where the pool's connections begin with a PROXY header."""
        raise NotImplementedError


@trait
class Learner:
    """Who reads the answer of an attempt along."""

    def learn(self, now: float) -> None:
        """The attempt ends: its ticket gets what the answer told."""
        raise NotImplementedError


@trait
class Carrier:
    """What an attempt goes over whose connection became something else."""

    def give_up(self) -> None:
        """Nobody wants more of it: the endpoint sees that at once."""
        raise NotImplementedError


class Attempt(ResponseSink):
    """Opened with its ticket; settled once, however it ends."""

    stream: EndpointStream | None = None  # while it is at work
    carrier: Carrier | None = None  # in the stream's place
    afresh: bool = False  # on no connection that was there before
    learner: Learner | None = None  # of an answer that is read along
    sent: bool = False  # any of the request
    peer: bytes = b""  # the address that it goes to
    connect_s: float = 0.0  # that a fresh connection took
    _began: float = 0.0
    _over_http1: bool = False  # though its endpoint prefers HTTP/2

    def __init__(
        self, owner: AttemptOwner, endpoint: LiveEndpoint, ticket: Ticket, expires_at: float
    ) -> None:
        self.owner: AttemptOwner = owner
        self.endpoint: LiveEndpoint = endpoint
        self.ticket: Ticket = ticket
        self.expires_at: float = expires_at  # when the whole exchange must be done; 0.0: never

    def begin(self, now: float, once: bool) -> None:
        """On an idle connection or a fresh one. ``once``: it could not be repeated, see
        ``take_idle``."""
        connector = self.endpoint.connector
        if self.afresh:
            self.begin_anew(now)
            return
        if connector.idle:
            idle = take_idle(connector, now, once)
            if idle is not None:
                self._use(idle)
                return
        elif connector.streams is not None:
            stream = connector.streams.ready()
            if stream is not None:
                self._use(stream)
                return
        self.begin_anew(now)

    def begin_anew(self, now: float) -> None:
        """On a fresh connection."""
        connector = self.endpoint.connector
        client = self.owner.proxy_header() if connector.settings.proxy_version else None
        try:
            stream = connect(connector, client, self._over_http1)
        except OSError as error:
            if error.errno in EXHAUSTED:  # which says nothing about the endpoint
                reason = f"no connection can be opened: {error.strerror}"
                self.owner.on_attempt_failed(self, None, ABANDONED, reason)
            else:
                reason = f"connecting failed: {error.strerror}"
                self.owner.on_attempt_failed(self, None, CONNECT_FAILED, reason)
            return
        stream.await_connection(self, self.expires_at)
        self.stream = stream
        self.peer = stream.peer()
        self._began = now
        stream.arm(connector.settings.connect_s)

    def _use(self, stream: EndpointStream) -> None:
        self.stream = stream
        self.peer = stream.peer()
        self.owner.on_attempt_connected(self)

    def hand_over(self) -> Handed:
        """Its connection, or its stream of one, for a relay to go on from."""
        stream = self.stream
        assert stream is not None
        self.stream = None
        return stream.hand_over()

    def give_up(self) -> None:
        """The endpoint sees that at once."""
        stream = self.stream
        self.stream = None
        if stream is not None:
            stream.give_up()
        carrier = self.carrier
        if carrier is not None:
            self.carrier = None
            carrier.give_up()

    def settle(self, outcome: int, now: float) -> None:
        """Settle its ticket, unless it was: whoever ends an exchange need not know."""
        if self.ticket.outcome >= 0:
            return
        try:
            if self.learner is not None:
                self.learner.learn(now)
        finally:
            self.ticket.settle(outcome, now)

    def drop(self) -> None:
        """Nobody wants what the endpoint answers; it did well all the same."""
        self.give_up()
        self.settle(DONE, self.endpoint.connector.loop.env.now)

    def is_settled(self) -> bool:
        """Whether it is over."""
        return self.ticket.outcome >= 0

    def is_connecting(self) -> bool:
        """Whether there is a connection under way, on which nothing was sent yet."""
        return self.stream is not None and not self.sent

    def take_turn(self, turn: Turn, now: float) -> None:
        """Read or hold the answer, and time the endpoint, as that row says."""
        stream = self.stream
        if stream is None:
            return
        if stream.take_answer(turn.takes_answer):
            if turn.takes_answer:
                self.ticket.go_on(now)
            else:
                self.ticket.hold(now)  # the endpoint owes nothing meanwhile
        settings = self.endpoint.connector.settings
        if turn.timer == NO_TIMER:
            stream.arm(0.0)
        elif turn.timer == FIRST_BYTE:
            stream.arm(settings.first_byte_s)
        elif turn.timer == STREAM_IDLE:
            stream.arm(settings.stream_idle_s)
        else:
            stream.arm(settings.connect_s)

    # --- its connection (ResponseSink) ------------------------------------------------------

    def on_connected(self) -> None:
        stream = self.stream
        assert stream is not None
        self.connect_s = self.endpoint.connector.loop.env.now - self._began
        self.peer = stream.peer()
        self.owner.on_attempt_connected(self)

    def on_stream_replaced(self, stream: object) -> None:
        assert isinstance(stream, EndpointStream)
        self.stream = stream
        self.peer = stream.peer()

    def on_interim(self, head: ResponseHead) -> None:
        self.owner.on_attempt_interim(self, head)

    def on_switched(self, head: ResponseHead, rest: bytes) -> None:
        self.owner.on_attempt_switched(self, head, rest)

    def on_unable(self, reason: str) -> None:
        """An endpoint that prefers HTTP/2 may do over HTTP/1.1 what it cannot do there."""
        self.stream = None
        connector = self.endpoint.connector
        if connector.tls_over_http1 is None or self._over_http1:
            self.owner.on_attempt_unable(self, reason)
            return
        self._over_http1 = True
        self.sent = False
        self.begin_anew(connector.loop.env.now)

    def frame_response(self, head: ResponseHead) -> bool:
        return self.owner.frame_attempt(self, head)

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        if complete:
            self.stream = None
        self.owner.on_attempt_answered(self, head, body, complete)

    def on_body(self, data: bytes, complete: bool) -> None:
        if complete:
            self.stream = None
        self.owner.on_attempt_body(self, data, complete)

    def on_trailers(self, fields: list[Field]) -> None:
        self.owner.on_attempt_trailers(self, fields)

    def on_no_message(self, head: ResponseHead, trailers: list[Field]) -> bool:
        return self.owner.on_attempt_without_message(self, head, trailers)

    def on_endpoint_failed(self, outcome: int, reason: str) -> None:
        stream = self.stream
        self.stream = None
        if self._over_http1 and outcome == CONNECT_FAILED:  # it was reached over HTTP/2 just now
            why = "it offers no extended CONNECT (RFC 8441) over HTTP/2, and HTTP/1.1: "
            self.owner.on_attempt_unable(self, why + reason)
            return
        self.owner.on_attempt_failed(self, stream, outcome, reason)

    def on_endpoint_drained(self) -> None:
        self.owner.on_attempt_drained(self)

    def on_crash(self) -> None:
        self.owner.on_crash()
