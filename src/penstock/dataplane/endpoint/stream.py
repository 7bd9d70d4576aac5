"""One request's way to an endpoint and back, whatever protocol carries it.

HTTP/1.1's connection is its own stream, one request after the other; HTTP/2's has many at once.
What comes back is told to the ``ResponseSink``.
"""

from mypy_extensions import trait

from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.io.handed_stream import Handed
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.upgrade import Upgrade


@trait
class EndpointStream:
    """As an attempt sees it."""

    def await_connection(self, sink: ResponseSink, expires_at: float) -> None:
        """``sink.on_connected`` follows. ``expires_at``: when all must be over; 0.0: never."""
        raise NotImplementedError

    def begin(
        self,
        sink: ResponseSink,
        bodiless: bool,
        expires_at: float,
        upgrade: Upgrade | None = None,
    ) -> None:
        """A request is about to be sent. ``bodiless``: its response has no body (HEAD)."""
        raise NotImplementedError

    def send_request(
        self, head: ForwardedHead, request_id: bytes, body: bytes, complete: bool
    ) -> bool:
        """Send a head, with the body so far; whether all of it was taken.

        Bodies without a length come in the chunks of HTTP/1.1.
        """
        raise NotImplementedError

    def send_more(self, data: bytes, complete: bool) -> None:
        """More of the request's body."""
        raise NotImplementedError

    def is_full(self) -> bool:
        """Whether bytes wait for the endpoint to take them: ``on_endpoint_drained`` follows."""
        raise NotImplementedError

    def waiting_bytes(self) -> int:
        """How many wait so."""
        raise NotImplementedError

    def arm(self, timeout: float) -> None:
        """The next thing must happen within so many seconds (0.0: any time)."""
        raise NotImplementedError

    def take_answer(self, takes: bool) -> bool:
        """Read the answer, or hold it back; whether that is a change."""
        raise NotImplementedError

    def limit_reading(self, most: int) -> None:
        """Read at most so many bytes of the answer at a time, as far as that can be chosen."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Nobody wants more of it: the endpoint sees that at once."""
        raise NotImplementedError

    def peer(self) -> bytes:
        """The address that it goes to, as logs show it."""
        raise NotImplementedError

    def is_first(self) -> bool:
        """Whether its connection was made for it, and carried no request before."""
        raise NotImplementedError

    def was_reused(self) -> bool:
        """Whether its connection carried other requests before, one by one."""
        raise NotImplementedError

    def was_answered(self) -> bool:
        """Whether any byte of a response came."""
        raise NotImplementedError

    def ran_out_of_time(self) -> bool:
        """Whether it ended because its connection was not there in time."""
        raise NotImplementedError

    def never_arrived(self) -> bool:
        """Whether it is certain that nobody read any of the request."""
        raise NotImplementedError

    def hand_over(self) -> Handed:
        """The connection, or its one stream, for a relay to go on from."""
        raise NotImplementedError


@trait
class StreamSource:
    """The connections to one endpoint that carry many streams each."""

    def ready(self) -> EndpointStream | None:
        """A stream that can begin at once; None where no connection has room."""
        raise NotImplementedError

    def close_idle(self) -> None:
        """Close those that nobody uses."""
        raise NotImplementedError
