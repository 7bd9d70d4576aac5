"""When a failed attempt may be repeated: what is safe, and what the budget allows."""

from typing import Final

# RFC 9110, 9.2.2: doing it twice means no more than doing it once.
IDEMPOTENT_METHODS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"))

_WINDOW_S: Final = 10.0  # Finagle's retry budget


class RetryBudget:
    """Retries are a share of recent requests, and at least a few each second.

    A bucket: each request puts in ``share``, time puts in ``min_per_s`` a second, each retry takes
    out one. It holds no more than what ten seconds put in, and ``share`` fades with that window.
    """

    def __init__(self, share: float, min_per_s: float) -> None:
        self.share: float = share
        self.min_per_s: float = min_per_s
        self._earned: float = 0.0  # by requests; fades
        self._granted: float = min_per_s  # by time; capped at one second's worth
        self._at: float = -1.0

    def request(self) -> None:
        """A first attempt was made."""
        self._earned += self.share

    def take(self, now: float) -> bool:
        """Whether one more retry is allowed at ``now`` (seconds); if so it is counted."""
        if self._at >= 0.0:
            passed = max(0.0, now - self._at)
            self._earned *= max(0.0, 1.0 - passed / _WINDOW_S)
            self._granted = min(self.min_per_s, self._granted + passed * self.min_per_s)
        self._at = now
        if self._granted >= 1.0:
            self._granted -= 1.0
            return True
        if self._earned >= 1.0:
            self._earned -= 1.0
            return True
        return False
