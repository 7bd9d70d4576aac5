"""What lasts at an endpoint, tunnels and streamed answers, and what comes of it as that leaves."""

from mypy_extensions import trait

from penstock.core import snapshot
from penstock.dataplane.tunnel.side import SideOwner
from penstock.wire.websocket import GOING_AWAY, SERVICE_RESTART


@trait
class MovableStream:
    """An answer under way with which another endpoint could go on."""

    def move(self) -> None:
        """Have another go on, if that may be."""
        raise NotImplementedError


class LongLived:
    """Of one endpoint. It leaves while it drains, and for good once it is configured no longer."""

    def __init__(self) -> None:
        self.tunnels: set[SideOwner] = set()  # that are open to it
        self.streams: set[MovableStream] = set()  # that it answers; where they are moved at all
        self.moves_streams: bool = False
        self._move_streams_s: float = 0.0
        self._deadline_s: float = 0.0
        self._leaves_since: float = 0.0  # 0.0: it does not

    def configure(self, spec: snapshot.Drain) -> None:
        """What becomes of them after how long, when it leaves; 0.0: nothing."""
        self._deadline_s = spec.deadline_s
        self._move_streams_s = spec.move_streams_s
        self.moves_streams = spec.move_streams_s > 0.0

    def drain(self, now: float, *, draining: bool, removed: bool) -> None:
        """End the tunnels, and move the streams, of one that has been leaving for as long as is
        configured."""
        if not draining and not removed:
            self._leaves_since = 0.0
            return
        if self._leaves_since == 0.0:
            self._leaves_since = now
        left_s = now - self._leaves_since
        if 0.0 < self._deadline_s <= left_s:
            code = GOING_AWAY if removed else SERVICE_RESTART
            for relay in list(self.tunnels):
                relay.drain(code)
        if 0.0 < self._move_streams_s <= left_s:
            for stream in list(self.streams):
                stream.move()
