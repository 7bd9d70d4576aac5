"""A stream of an HTTP/2 connection as one side of a tunnel (RFC 8441, 5).

END_STREAM is the end of a connection's half, RST_STREAM with CANCEL its reset. The stream's window
is given back as the other side takes what comes: it holds up nobody but itself.
"""

from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.io.handed_stream import HandedStream, StreamKeeper, StreamUser
from penstock.dataplane.io.loop import report_bug
from penstock.dataplane.tunnel.side import SideOwner, TunnelSide
from penstock.wire.http2.codes import CANCEL, NO_ERROR
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.stream import Stream, StreamReceiver
from penstock.wire.websocket import GOING_AWAY


class StreamSide(StreamReceiver, TunnelSide, StreamUser):
    """The codec owns windows and order; whether either half has ended stands in its ``Stream``."""

    _pending: bytes = b""  # that the peer's windows had no room for
    _pending_at: int = 0
    _ends_after: bool = False  # its half ends with what is pending
    _held: bool = False  # the other side takes no more
    _open: bool = True

    def __init__(self, relay: SideOwner, before: HandedStream) -> None:
        self._relay: SideOwner = relay
        self._codec: Http2Connection = before.codec
        self._stream: Stream = before.stream
        self._keeper: StreamKeeper = before.keeper
        before.stream.receiver = self
        before.stream.incremental = (
            True  # it is never whole: others have their turns (RFC 9218, 11)
        )
        before.user = self

    def begin(self, received: bytes) -> None:
        if received:
            self._relay.pass_on(self, received)
        self._consume()
        if not self._stream.remote_open and self._open:
            self._relay.end_of(self)
        if self._open:
            self._keeper.given()  # where too much waits already, the other is limited from here on

    # --- what comes of it -------------------------------------------------------------------

    def on_data(self, stream: Stream, data: bytes, end: bool) -> None:
        try:
            if data:
                self._relay.pass_on(self, data)
                self._consume()
            if end and self._open:
                self._relay.end_of(self)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash()

    def _consume(self) -> None:
        """The peer may send as much again as was passed on."""
        count = self._stream.unconsumed
        if count > 0 and not self._held:
            self._codec.consumed(self._stream, count)
            self._keeper.given()

    def hold(self) -> None:
        self._held = True

    def go_on(self) -> None:
        self._held = False
        self._consume()

    def limit_reading(self, most: int) -> None:
        """What comes is bounded by the stream's window."""

    def stop_reading(self) -> None:
        self.go_on()  # what came has its place in the connection's window

    # --- what it is sent --------------------------------------------------------------------

    def take(self, data: bytes) -> bool:
        if self._pending:
            self._pending = self._pending[self._pending_at :] + data
            self._pending_at = 0
            self._keeper.note_waiting(len(data))
            return False
        taken = self._codec.send_data(self._stream, data, False)
        self._keeper.given()
        if taken == len(data):
            return True
        self._pending = data
        self._pending_at = taken
        self._keeper.note_waiting(len(data) - taken)
        return False

    def on_room(self, stream: Stream) -> None:
        pending = self._pending
        if not pending:
            return
        at = self._pending_at
        taken = self._codec.send_data(stream, pending, self._ends_after, at)
        if at + taken < len(pending):
            self._pending_at = at + taken
            self._keeper.note_waiting(-taken)
            return
        self._pending = b""
        self._pending_at = 0
        self._keeper.note_waiting(-taken)
        try:
            self._relay.drained(self)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash()

    def end_sending(self) -> None:
        if self._pending:
            self._ends_after = True
        else:
            self._codec.send_data(self._stream, b"", True)
            self._keeper.given()

    def has_passed_all(self) -> bool:
        return not self._stream.remote_open and not self._stream.local_open

    def was_told_end(self) -> bool:
        return not self._stream.local_open

    def is_told_by_close(self) -> bool:
        return False  # by END_STREAM alone

    # --- ends -------------------------------------------------------------------------------

    def on_reset(self, stream: Stream, code: int) -> None:
        try:
            self._relay.broke(self)
        except Exception:  # noqa: BLE001 - one stream's bug must not end the others
            self._crash()

    def close(self) -> None:
        self._leave(CANCEL)

    def close_in_order(self) -> None:
        stream = self._stream
        if self._pending or not self._open:
            self._leave(CANCEL)
            return
        self._codec.send_data(stream, b"", True)
        # A server that has said all tells a client so that still sends (RFC 9113, 8.1).
        self._leave(CANCEL if self._codec.is_client else NO_ERROR)

    def reset(self) -> None:
        self._leave(CANCEL)

    def _leave(self, code: int) -> None:
        if not self._open:
            return
        self._open = False
        waiting = len(self._pending) - self._pending_at
        self._pending = b""
        self._pending_at = 0
        self._held = False
        self._consume()
        self._codec.reset(self._stream, code)
        if waiting:
            self._keeper.note_waiting(-waiting)
        self._keeper.given()
        self._keeper.tunnel_over()

    def _crash(self) -> None:
        report_bug(f"in a tunnel on stream {self._stream.id}")
        self._relay.cut_off()

    # --- its connection ---------------------------------------------------------------------

    def expire_at(self, at: float) -> None:
        self._keeper.look_at(at)

    def run_out_of_time(self) -> None:
        self._relay.run_out_of_time()

    def limit_other(self, most: int) -> None:
        if not self._pending:  # else the other is held already
            self._relay.limit_other(self, min(most, READ_BYTES))

    def go_away(self) -> None:
        self._relay.drain(GOING_AWAY)

    def cut_off(self) -> None:
        self._relay.cut_off()
