"""The body of a request while it comes: when the next piece of it is due."""

from penstock.dataplane.client.body_pace import BodyPace
from penstock.dataplane.client.settings import ClientSettings
from penstock.wire.http1 import RequestHead


class AwaitedBody:
    """One body, or one after the other of a connection. Each piece is due soon after the last, and
    all of them at a rate."""

    # A client that waits for 100 rightly sends nothing before it (RFC 9110, 10.1.1).
    awaits_continue: bool = False

    def __init__(self, settings: ClientSettings) -> None:
        self._idle_s: float = settings.body_idle_s
        self._pace: BodyPace | None = None
        if settings.body_rate > 0 and settings.body_idle_s > 0.0:
            self._pace = BodyPace(settings.body_idle_s, settings.body_rate)

    def begin(self, head: RequestHead, begun: bytes) -> None:
        """The body of that head is awaited; ``begun`` came along with it."""
        self.awaits_continue = head.expects_continue and not begun
        if self._pace is not None:
            self._pace.begin()

    def came(self, size: int, now: float) -> None:
        """So many bytes of it came."""
        self.awaits_continue = False
        if self._pace is not None:
            self._pace.came(size, now)

    def hold(self, now: float) -> None:
        """The endpoint takes no more for now: the client is not to blame meanwhile."""
        if self._pace is not None:
            self._pace.stop(now)

    def due(self, now: float) -> float:
        """It is the client's turn, until the time returned; 0.0: for ever."""
        if self._idle_s <= 0.0:
            return 0.0
        until = now + self._idle_s
        return until if self._pace is None else min(until, self._pace.wait(now))
