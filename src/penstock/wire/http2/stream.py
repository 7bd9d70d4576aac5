"""A stream as the connection keeps it, and who is told what comes on it."""

from typing import Final

from mypy_extensions import mypyc_attr

from penstock.wire.http2.header_block import DEFAULT_URGENCY, HeaderBlock


@mypyc_attr(allow_interpreted_subclasses=True)
class StreamReceiver:
    """One exchange, on either side. After a call with ``end``, or ``on_reset``, none follows but
    ``on_room`` while the own side is unfinished."""

    def on_head(self, stream: "Stream", block: HeaderBlock, end: bool) -> None:
        """A request's or a final response's head; ``end``: nothing follows."""

    def on_interim(self, stream: "Stream", block: HeaderBlock) -> None:
        """A response's 1xx head (client side)."""

    def on_data(self, stream: "Stream", data: bytes, end: bool) -> None:
        """Part of the content, as it came and never more than a read's worth; ``data`` may be
        empty where ``end`` is. Pass what was handed on to ``Http2Connection.consumed``."""

    def on_trailers(self, stream: "Stream", block: HeaderBlock) -> None:
        """A trailer section, which ends the message."""

    def on_reset(self, stream: "Stream", code: int) -> None:
        """The stream is over, both ways: the peer reset it, we had to, or the connection ended.

        REFUSED_STREAM says that the peer did not process it: whatever its method, it can be sent
        again on another connection.
        """

    def on_room(self, stream: "Stream") -> None:
        """``send_data``, which had taken less than offered, takes more now."""


# Of a stream that is over: who was told of it and the stream would keep each other in memory until
# the garbage collector comes.
NOBODY: Final = StreamReceiver()


class Stream:
    """One stream (RFC 9113, 5.1). It is open while either side is, and then known by its id.

    Only ``receiver``, ``urgency`` and ``incremental`` are for others to set.
    """

    def __init__(self, stream_id: int, send_window: int, receive_window: int) -> None:
        self.id: int = stream_id
        self.receiver: StreamReceiver = NOBODY
        self.urgency: int = DEFAULT_URGENCY  # RFC 9218: 0 comes first, 7 last
        self.incremental: bool = False
        self.opened_at: float = 0.0  # by the peer
        # Of the peer's side.
        self.remote_open: bool = True
        self.head: HeaderBlock | None = None  # received: the request, or the final response
        self.receive_window: int = receive_window  # what the peer may still send
        self.unconsumed: int = 0  # handed to the receiver and not yet consumed
        self.credit: int = 0  # consumed and not yet given back to the peer
        self.expected: int = -1  # content still to come by content-length; -1: not told
        self.bodiless: bool = False  # the response has no content whatever its content-length
        # Of our side.
        self.local_open: bool = True
        self.head_sent: bool = False
        self.send_window: int = send_window  # negative after the peer lowered it
        self.waiting: bool = False  # ``on_room`` is due, once it is this stream's turn
        self.starved: bool = False  # it waits for a window of its own first
        self.connect: bool = False  # its request is CONNECT
        self.tunnel: bool = False  # CONNECT was accepted: only DATA belongs here from now on
