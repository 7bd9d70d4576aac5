"""Who is told what a connection receives, and of its streams.

This and ``StreamReceiver`` are classes to subclass, not traits: compiled, their calls are cheaper.
Every call comes from within ``Http2Connection.receive``, ``take_output`` or ``lost``; each may
send, reset, open and consume, but must not call those three.
"""

from mypy_extensions import mypyc_attr

from penstock.wire.http2.stream import Stream, StreamReceiver


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectionReceiver:
    """The connection's owner."""

    def on_stream(self, stream: Stream) -> StreamReceiver:
        """The peer opened a stream (server side); ``on_head`` follows on what is returned."""
        raise NotImplementedError

    def on_settings(self) -> None:
        """The peer's settings came, or changed: see ``Http2Connection.peer``."""

    def on_opening(self) -> None:
        """``can_open`` may be true again (client side): a stream ended or the peer allows more."""

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        """The peer takes no further streams. Those it did not process were reset before this."""

    def on_ping_ack(self, payload: bytes) -> None:
        """The answer to a PING of ours."""

    def on_stream_fault(self, stream_id: int, code: int, reason: str) -> None:
        """A stream was reset because of what the peer sent; for logs and metrics."""

    def on_failure(self, code: int, reason: str) -> None:
        """The connection is over because of what the peer did. Send what ``take_output`` gives,
        which ends with GOAWAY, and close."""
