"""A connection to an endpoint over HTTP/2 and its streams, as each sees the other."""

from mypy_extensions import trait

from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.wire.http2.connection import Http2Connection


@trait
class OwnedStream:
    """A stream, as its connection sees it."""

    def on_connected(self) -> None:
        """There is room for it."""
        raise NotImplementedError

    def on_settings(self) -> None:
        """What the endpoint can do is known."""
        raise NotImplementedError

    def answer(self) -> None:
        """All that came along with the head is there."""
        raise NotImplementedError

    def turn_away(self) -> None:
        """There is no room for it, and nothing of it was sent."""
        raise NotImplementedError

    def leave(self) -> ResponseSink | None:
        """It goes on as another stream, which this tells whose it is."""
        raise NotImplementedError

    def expires_at(self) -> float:
        """When all must be over; 0.0: never."""
        raise NotImplementedError

    def due_at(self) -> float:
        """When the next thing is due; 0.0: at any time."""
        raise NotImplementedError

    def run_out_of_time(self) -> None:
        """That has passed."""
        raise NotImplementedError

    def fail(self, outcome: int, reason: str, *, late: bool = False) -> None:
        """No whole response will come. ``late``: for the time that connecting may take."""
        raise NotImplementedError


@trait
class Http2Owner:
    """The connection that a stream is on."""

    def http2(self) -> Http2Connection:
        """Its codec."""
        raise NotImplementedError

    def touch(self) -> None:
        """Something is to be sent."""
        raise NotImplementedError

    def stream_over(self, stream: OwnedStream) -> None:
        """It is done."""
        raise NotImplementedError

    def on_refused(self) -> None:
        """The endpoint did not process a stream: it has no room for as many."""
        raise NotImplementedError

    def await_settings(self, stream: OwnedStream) -> None:
        """Call its ``on_settings`` when the endpoint has said what it can do."""
        raise NotImplementedError

    def will_answer(self, stream: OwnedStream) -> None:
        """Its head came: call ``answer`` when all bytes at hand were read."""
        raise NotImplementedError

    def scheme(self) -> bytes:
        """Of its requests."""
        raise NotImplementedError

    def count_sent(self, size: int) -> None:
        """So many bytes of a request."""
        raise NotImplementedError

    def look_at(self, at: float) -> None:
        """Call ``run_out_of_time`` then, or look again before."""
        raise NotImplementedError

    def stream_idle_s(self) -> float:
        """How long a response may stand still; 0.0: for ever."""
        raise NotImplementedError

    def now(self) -> float:
        """The time."""
        raise NotImplementedError
