"""Slow start: an endpoint that comes into service gets its weight by and by.

    share(t) = max(min_share, (max(t, 1 s) / window)^(1 / aggression))

Source: Envoy, slow start mode.
"""

from penstock.core import snapshot


class SlowStart:
    """One endpoint's ramp. Without a window, or before ``begin``, its share is 1."""

    def __init__(self, settings: snapshot.SlowStart) -> None:
        self._window_s: float = settings.window_s
        self._power: float = 1.0 / settings.aggression
        self._min_share: float = settings.min_share
        self._began_at: float = 0.0
        self._ramping: bool = False

    def begin(self, now: float) -> None:
        """The endpoint came into service: it is new, up again, or no longer ejected."""
        self._began_at = now
        self._ramping = self._window_s > 0.0

    def ramping(self, now: float) -> bool:
        """Whether the share is still below 1."""
        if self._ramping and now - self._began_at >= self._window_s:
            self._ramping = False
        return self._ramping

    def share(self, now: float) -> float:
        """What the configured weight is to be multiplied by, 0 < share ≤ 1."""
        if not self.ramping(now):
            return 1.0
        elapsed_s = max(now - self._began_at, 1.0)
        share: float = (elapsed_s / self._window_s) ** self._power
        return min(1.0, max(self._min_share, share))
