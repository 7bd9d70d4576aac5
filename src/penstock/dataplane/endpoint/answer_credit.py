"""How much of an answer an endpoint may send on a stream: as much again as was passed on."""

from penstock.dataplane.endpoint.http2_owner import Http2Owner
from penstock.wire.http2.connection import Http2Connection
from penstock.wire.http2.stream import Stream


class AnswerCredit:
    """Of one answer. While it is held back, what was passed on is given back later."""

    held: bool = False  # back
    _unconsumed: int = 0

    def __init__(self, owner: Http2Owner) -> None:
        self._owner: Http2Owner = owner
        self._codec: Http2Connection = owner.http2()

    def hold(self, stream: Stream | None, holds: bool) -> bool:
        """Give nothing back for now, or again; whether that is a change."""
        if self.held == holds:
            return False
        self.held = holds
        if not holds and stream is not None:
            self._codec.consumed(stream, self._unconsumed)
            self._unconsumed = 0
            self._owner.touch()
        return True

    def passed_on(self, stream: Stream, size: int) -> None:
        """So many bytes of it were."""
        if size == 0:
            return
        if self.held:
            self._unconsumed += size
        else:
            self._codec.consumed(stream, size)
            self._owner.touch()
