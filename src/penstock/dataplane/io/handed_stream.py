"""A stream of an HTTP/2 connection on its way from who opened it to a tunnel that goes on on it.

Between the two stands what each asks of the other; a connection as a whole has the same as a
``Connection``.
"""

from typing import TypeAlias

from mypy_extensions import trait

from penstock.dataplane.io.connection import Connection
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.stream import Stream


@trait
class StreamKeeper:
    """Who opened the stream, and knows its connection."""

    def given(self) -> None:
        """Something was given to the codec, which is to be sent."""
        raise NotImplementedError

    def note_waiting(self, more: int) -> None:
        """So many more bytes wait for the peer to make room for them, or fewer."""
        raise NotImplementedError

    def look_at(self, at: float) -> None:
        """Tell the tunnel when that time has come; 0.0: never."""
        raise NotImplementedError

    def tunnel_over(self) -> None:
        """Nothing is left to be done on the stream."""
        raise NotImplementedError


@trait
class StreamUser:
    """The tunnel, as the stream's keeper tells it what happens to the connection."""

    def run_out_of_time(self) -> None:
        """The time has come that it asked for."""
        raise NotImplementedError

    def limit_other(self, most: int) -> None:
        """Too much waits on the connection: read the other side by so many bytes at most; at 0, for
        now not at all."""
        raise NotImplementedError

    def go_away(self) -> None:
        """The worker stops, and its deadline is near."""
        raise NotImplementedError

    def cut_off(self) -> None:
        """It is over at once."""
        raise NotImplementedError


class HandedStream:
    """The stream, and both of them."""

    def __init__(self, codec: Http2Connection, stream: Stream, keeper: StreamKeeper) -> None:
        self.codec: Http2Connection = codec
        self.stream: Stream = stream
        self.keeper: StreamKeeper = keeper
        self.user: StreamUser | None = None  # once it was taken over


# What a tunnel goes on from.
Handed: TypeAlias = Connection | HandedStream
