"""Whether a client is still there that says nothing while something is done for it (RFC 9113, 6.7).

A gateway whose machine dies sends no end, and says nothing either while it waits for an answer. TCP
notices neither as long as there is nothing to send.
"""

from typing import Final

from penstock.dataplane.client.http2_host import Http2Host
from penstock.wire.http2.connection import Http2Connection

_ASKED: Final = b"there?\0\0"  # a ping's eight bytes


class Silence:
    """Of one connection. ``after_s``: of silence while streams are open, until it is asked, and as
    long again until it is given up; 0: never."""

    _asked_at: float = 0.0

    def __init__(self, codec: Http2Connection, after_s: float) -> None:
        self._codec: Http2Connection = codec
        self._after_s: float = after_s

    def watch(self, host: Http2Host) -> None:
        """A stream begins."""
        if self._after_s > 0.0:
            host.watch_until(self._due_at())

    def sooner(self, at: float) -> float:
        """When to look again, by then at the latest; 0.0: never."""
        if self._after_s == 0.0 or not self._codec.streams:
            return at
        due_at = self._due_at()
        return due_at if at == 0.0 or due_at < at else at

    def why_over(self, now: float) -> str:
        """Why it is given up; "" where it is not. It is asked first."""
        codec = self._codec
        if self._after_s == 0.0 or not codec.streams or now < self._due_at():
            return ""
        if self._asked_at > codec.now:  # when it said something last
            return f"the client did not answer a PING for {self._after_s:g} s"
        self._asked_at = now
        codec.ping(_ASKED)
        return ""

    def _due_at(self) -> float:
        return max(self._codec.now, self._asked_at) + self._after_s
