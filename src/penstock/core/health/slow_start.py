"""Slow start: an endpoint that comes into service gets its weight step by step.

    share(t) = max(min_share, (max(t, 1 s) / window)^(1 / aggression))

Source: Envoy, slow start mode.
"""

from typing import Final

from penstock.core import snapshot

RAMP_S: Final = 0.5  # between two steps of an effective weight


class SlowStart:
    """One endpoint's ramp; without a window its share is always 1.

    ``follow`` it whenever the endpoint's state changed. ``in_service``: whether it is when this is
    made; one that is not yet, because it is new, begins with its first step into service.
    """

    def __init__(self, settings: snapshot.SlowStart, in_service: bool = True) -> None:
        self._in_service: bool = in_service
        self._window_s: float = settings.window_s
        self._power: float = 1.0 / settings.aggression
        self._min_share: float = settings.min_share
        self._began_at: float = 0.0
        self._ramping: bool = False

    def follow(self, in_service: bool, now: float) -> None:
        """Whether it is in service: neither down, nor draining, nor ejected. Coming into service
        begins the ramp."""
        if in_service and not self._in_service:
            self._began_at = now
            self._ramping = self._window_s > 0.0
        self._in_service = in_service

    @property
    def ramping_since(self) -> float:
        """When the ramp under way began; 0.0: there is none."""
        return self._began_at if self._ramping else 0.0

    def go_on(self, in_service: bool, ramping_since: float) -> None:
        """Have its state be that of another, whose ``ramping_since`` it was."""
        self._in_service = in_service
        self._began_at = ramping_since
        self._ramping = ramping_since > 0.0 and self._window_s > 0.0

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
