"""A tunnel on a client's HTTP/2 stream, between its connection and who relays."""

from typing import Final

from mypy_extensions import trait

from penstock.dataplane.client.http2_host import Http2Host
from penstock.dataplane.io.connection import READ_BYTES
from penstock.dataplane.io.handed_stream import HandedStream, StreamKeeper, StreamUser
from penstock.wire.http2.stream import Stream

_LEAST_READ_BYTES: Final = 1024  # a client that gives room by the byte is not worth more calls


@trait
class TunnelOpener:
    """The stream on which it was asked for."""

    def on_tunnel_due(self, at: float) -> None:
        """It is to be told when that time has come; 0.0: never."""
        raise NotImplementedError

    def on_tunnel_over(self) -> None:
        """Nothing is left to be done on the stream."""
        raise NotImplementedError


class StreamTunnel(StreamKeeper):
    """Of one stream."""

    def __init__(self, host: Http2Host, stream: Stream, opener: TunnelOpener) -> None:
        self._host: Http2Host = host
        self._stream: Stream = stream
        self._opener: TunnelOpener | None = opener
        self._handed: HandedStream | None = None

    def hand_over(self) -> HandedStream:
        """What relays go on from."""
        handed = self._handed = HandedStream(self._host.http2(), self._stream, self)
        return handed

    def given(self) -> None:
        self._host.touch()
        if self._host.is_short():
            self.fit()

    def note_waiting(self, more: int) -> None:
        self._host.note_waiting(more)

    def look_at(self, at: float) -> None:
        if self._opener is not None:
            self._opener.on_tunnel_due(at)

    def tunnel_over(self) -> None:
        opener = self._opener
        self._opener = None  # they know one another: no cycle is left for the collector
        self._handed = None
        if opener is not None:
            opener.on_tunnel_over()

    # --- what happens to the connection -----------------------------------------------------

    def fit(self) -> None:
        """Too much waits on it: let no more be read than has room."""
        user = self._user()
        if user is not None:
            user.limit_other(readable(self._host.room(self._stream)))

    def be_free(self) -> None:
        """There is room again."""
        user = self._user()
        if user is not None:
            user.limit_other(READ_BYTES)

    def go_away(self) -> None:
        """The worker stops, and its deadline is near."""
        user = self._user()
        if user is not None:
            user.go_away()

    def run_out_of_time(self) -> None:
        """The time has come that it asked for."""
        user = self._user()
        if user is not None:
            user.run_out_of_time()

    def cuts_off(self) -> bool:
        """It is over at once; False where nobody has taken it over."""
        user = self._user()
        if user is not None:
            user.cut_off()
        return user is not None

    def _user(self) -> StreamUser | None:
        return self._handed.user if self._handed is not None else None


def readable(room: int) -> int:
    """How much of an answer is read at a time where there is so much room for it."""
    return min(max(room, _LEAST_READ_BYTES), READ_BYTES) if room > 0 else 0
