"""CoDel: drops from a queue that stands, and leaves alone one that only swells now and then.

Once every request has waited longer than ``target_s`` for ``interval_s``, one is dropped as it
leaves the queue, and then further ones after interval/√2, interval/√3, … until a request has
waited less than the target. Source: K. Nichols, V. Jacobson, RFC 8289 (5 ms, 100 ms). O(1).
"""

from math import sqrt


class CoDel:
    """The state of one queue. Ask ``drops`` about every request that leaves it."""

    def __init__(self, target_s: float = 0.005, interval_s: float = 0.1) -> None:
        self._target_s: float = target_s
        self._interval_s: float = interval_s
        self.dropping: bool = False
        self._above_since: float = -1.0  # when waits above the target will have lasted; −1: none
        self._next_drop: float = 0.0
        self._count: int = 0  # drops since dropping began
        self._last_count: int = 0

    def another(self) -> "CoDel":
        """For another queue, with the same settings."""
        return CoDel(self._target_s, self._interval_s)

    def drops(self, waited_s: float, now: float, last: bool = False) -> bool:
        """Whether to drop the request that leaves the queue after this wait.

        ``last``: nothing waits behind it, so dropping it would help nobody.
        """
        standing = self._stands(waited_s, now, last)
        if not self.dropping:
            if standing:
                self._begin(now)
                return True
            return False
        if not standing:
            self.dropping = False
            return False
        if now < self._next_drop:
            return False
        self._count += 1
        self._next_drop += self._interval_s / sqrt(self._count)
        return True

    def _stands(self, waited_s: float, now: float, last: bool) -> bool:
        if waited_s < self._target_s or last:
            self._above_since = -1.0
            return False
        if self._above_since < 0.0:
            self._above_since = now + self._interval_s
            return False
        return now >= self._above_since

    def _begin(self, now: float) -> None:
        """Start dropping, at the pace reached before if that was lately (RFC 8289, 5.5)."""
        self.dropping = True
        lately = now - self._next_drop < 16.0 * self._interval_s
        grown = self._count - self._last_count
        self._count = grown if grown > 1 and lately else 1
        self._last_count = self._count
        self._next_drop = now + self._interval_s / sqrt(self._count)
