"""The rules of UDP sessions, without a socket: how long they last, how many there may be, and how
much is sent to who may not be who they say.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

# Of IP and UDP: what a victim's line carries besides the payload, and a source's.
HEADER_BYTES: Final = 28
ALLOWED: Final = 0
TOO_MANY: Final = 1  # datagrams
TOO_MUCH: Final = 2  # bytes
_MOST_SOURCES: Final = 65536  # whose rates are known at a time; clients choose them


class SessionRules:
    """What one session has received and sent, and when it was used last."""

    last_at: float  # a datagram came from either side
    bounded: bool  # its source has not gone on sending after a first reply

    def __init__(
        self, key: Any, opened_at: float, idle_s: float, amplification: float = 0.0
    ) -> None:
        """``key``: by which its listener knows it. ``amplification``: bytes that it may be sent
        for each of its own; 0.0: any number."""
        self.key: Any = key
        self.opened_at: float = opened_at
        self.last_at = opened_at
        self.idle_s: float = idle_s
        self.bounded = amplification > 0.0
        self.received_bytes: int = 0  # from the client
        self.received: int = 0  # datagrams
        self.sent_bytes: int = 0
        self.sent: int = 0
        self.dropped: int = 0
        self.ended: bool = False
        self._amplification: float = amplification

    def take(self, size: int, now: float) -> None:
        """A datagram came from the client."""
        self.last_at = now
        self.received_bytes += size
        self.received += 1
        if self.sent > 0:
            self.bounded = False

    def may_send(self, size: int) -> bool:
        """Whether a reply of that size may go to the client (RFC 9000, 8.1, has that for QUIC)."""
        if not self.bounded:
            return True
        received = self.received_bytes + self.received * HEADER_BYTES
        sent = self.sent_bytes + size + (self.sent + 1) * HEADER_BYTES
        return sent <= self._amplification * received

    def replied(self, size: int, now: float) -> None:
        """A reply went to the client."""
        self.last_at = now
        self.sent_bytes += size
        self.sent += 1

    def expires_at(self) -> float:
        """When it ends unless it is used before."""
        return self.last_at + self.idle_s


class SessionTable:
    """The sessions of one listener in the order in which they expire; ``bound`` of them at most.

    A datagram changes nothing here but its session's ``last_at``: an entry of the heap says when
    its session expires *at the earliest*, and is put right when that comes up.
    """

    def __init__(
        self,
        bound: int,
        on_expired: Callable[[SessionRules], None],
        on_evicted: Callable[[SessionRules], None],
    ) -> None:
        self.bound: int = bound
        self.open: int = 0
        self._on_expired: Callable[[SessionRules], None] = on_expired
        self._on_evicted: Callable[[SessionRules], None] = on_evicted
        self._heap: list[tuple[float, int, SessionRules]] = []
        self._count: int = 0  # tells entries of the same time apart

    def add(self, session: SessionRules) -> None:
        """One more; where there are too many, the one that has been idle for the longest, measured
        by what it may, leaves."""
        while self.open >= self.bound:
            oldest = self._next()
            if oldest is None:
                break
            self.remove(oldest)
            self._on_evicted(oldest)
        self.open += 1
        self._push(session)

    def remove(self, session: SessionRules) -> None:
        """It is over. Its entry goes when it comes up."""
        if not session.ended:
            session.ended = True
            self.open -= 1

    def retime(self, session: SessionRules) -> None:
        """It may expire sooner than was known."""
        self._push(session)

    def expire(self, now: float) -> None:
        """End those whose time is over."""
        while True:
            session = self._next()
            if session is None:
                return
            if session.expires_at() > now:
                self._push(session)
                return
            self.remove(session)
            self._on_expired(session)

    def _next(self) -> SessionRules | None:
        """The session that expires first; its entry is taken out."""
        heap = self._heap
        while heap:
            stamped, _, session = heappop(heap)
            if session.ended:
                continue
            if session.expires_at() > stamped:
                self._push(session)
                continue
            return session
        return None

    def _push(self, session: SessionRules) -> None:
        self._count += 1
        heappush(self._heap, (session.expires_at(), self._count, session))


class _Allowance:
    """What one source may still send, and when that was so."""

    def __init__(self, datagrams: float, size: float, at: float) -> None:
        self.datagrams: float = datagrams
        self.bytes: float = size
        self.at: float = at


class SourceRates:
    """How much each source address may send a second: datagrams, and their bytes without heads. A
    second's worth may come at once."""

    def __init__(self, datagrams_per_s: int = 0, bytes_per_s: int = 0) -> None:
        """0: no limit."""
        self.bounded: bool = datagrams_per_s > 0 or bytes_per_s > 0
        self._datagrams_per_s: float = float(datagrams_per_s)
        self._bytes_per_s: float = float(bytes_per_s)
        self._left: dict[str, _Allowance] = {}

    def take(self, source: str, size: int, now: float) -> int:
        """Whether one more datagram may come, which is then counted: ALLOWED, TOO_MANY or
        TOO_MUCH."""
        left = self._left.get(source)
        if left is None:
            if len(self._left) >= _MOST_SOURCES:
                self.forget(now)
            if len(self._left) >= _MOST_SOURCES:
                self._left.clear()  # rather let through too much than keep everybody out
            left = _Allowance(self._datagrams_per_s, self._bytes_per_s, now)
            self._left[source] = left
        else:
            gone_s = now - left.at
            left.at = now
            left.datagrams = min(
                left.datagrams + gone_s * self._datagrams_per_s, self._datagrams_per_s
            )
            left.bytes = min(left.bytes + gone_s * self._bytes_per_s, self._bytes_per_s)
        if self._datagrams_per_s > 0.0 and left.datagrams < 1.0:
            return TOO_MANY
        # One that is larger than what is left may come, and those after it wait for longer: else
        # none would that is larger than a second's worth.
        if self._bytes_per_s > 0.0 and left.bytes <= 0.0:
            return TOO_MUCH
        left.datagrams -= 1.0
        left.bytes -= size
        return ALLOWED

    def forget(self, now: float) -> None:
        """Those who sent nothing for a second, and have no debt, may send as much as anybody."""
        self._left = {
            source: left
            for source, left in self._left.items()
            if now - left.at < 1.0 or left.bytes < 0.0
        }
