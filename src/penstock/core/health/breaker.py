"""A circuit breaker: closed (all may pass), open (none may), half-open (a few may try).

``failures`` in a row open it. After ``open_s`` it is half-open: up to ``trials`` requests at a
time are let through; ``trials`` successes close it, one failure opens it again for twice as long,
up to ``max_open_s``. Source: M. Nygard, "Release It!", 2007; the doubling is common exponential
backoff.
"""

from typing import Final

from penstock.core import snapshot

CLOSED: Final = 0
OPEN: Final = 1
HALF_OPEN: Final = 2
STATE_NAMES: Final = ("closed", "open", "half-open")


class BreakerChange:
    """A change of state, with its reason."""

    def __init__(self, state: int, reason: str, at: float) -> None:
        self.state: int = state
        self.reason: str = reason
        self.at: float = at

    def __repr__(self) -> str:
        return f"<{STATE_NAMES[self.state]}: {self.reason}>"


class Breaker:
    """One circuit. Every request that ``allows`` let through must be reported once.

    ``epoch`` counts changes of state. A request is reported with the epoch in which it was let
    through, and decides nothing in a later one: a success from before the circuit opened says
    nothing of the endpoint now, and a failure from then is no failed trial.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        open_s: float = 5.0,
        max_open_s: float = 60.0,
        trials: int = 1,
    ) -> None:
        self._needed: int = failures
        self._base_open_s: float = open_s
        self._max_open_s: float = max_open_s
        self._trials: int = trials
        self.state: int = CLOSED
        self.epoch: int = 0
        self._failures: int = 0  # in a row, while closed
        self._open_s: float = open_s
        self._until: float = 0.0
        self._trying: int = 0
        self._succeeded: int = 0  # trials, while half-open

    @staticmethod
    def of(settings: snapshot.Breaker) -> "Breaker":
        """One with these settings, closed."""
        return Breaker(
            failures=settings.failures,
            open_s=settings.open_s,
            max_open_s=settings.max_open_s,
            trials=settings.trials,
        )

    def allows(self, now: float) -> bool:
        """Whether a request may pass; in the half-open state it is a trial from here on."""
        if self.state == OPEN and now >= self._until:
            self._enter(HALF_OPEN)
            self._trying = 0
            self._succeeded = 0
        if self.state == CLOSED:
            return True
        if self.state == HALF_OPEN and self._trying + self._succeeded < self._trials:
            self._trying += 1
            return True
        return False

    def is_full(self, now: float) -> bool:
        """Whether ``allows`` would say no."""
        if self.state == OPEN:
            return now < self._until
        return self.state == HALF_OPEN and self._trying + self._succeeded >= self._trials

    def retry_after_s(self, now: float) -> float:
        """How long until a request may pass, as far as is known; 0 when one may at once."""
        return max(0.0, self._until - now) if self.state == OPEN else 0.0

    def succeeded(self, epoch: int, now: float) -> BreakerChange | None:
        """A request that was let through in that epoch went well."""
        if epoch != self.epoch:
            return None
        if self.state == CLOSED:
            self._failures = 0
            return None
        self._trying = max(0, self._trying - 1)
        self._succeeded += 1
        if self._succeeded < self._trials:
            return None
        self._enter(CLOSED)
        self._failures = 0
        self._open_s = self._base_open_s
        return BreakerChange(CLOSED, f"{self._trials} of {self._trials} trials succeeded", now)

    def failed(self, epoch: int, now: float) -> BreakerChange | None:
        """A request that was let through in that epoch failed."""
        if epoch != self.epoch:
            return None
        if self.state == CLOSED:
            self._failures += 1
            if self._failures < self._needed:
                return None
            return self._open(f"{self._failures} failures in a row", now)
        self._open_s = min(self._open_s * 2.0, self._max_open_s)
        return self._open("a trial failed", now)

    def abandoned(self, epoch: int) -> None:
        """A request that was let through told nothing: its client left, it was not sent."""
        if epoch == self.epoch and self.state == HALF_OPEN:
            self._trying = max(0, self._trying - 1)

    def _open(self, reason: str, now: float) -> BreakerChange:
        self._enter(OPEN)
        self._failures = 0
        self._until = now + self._open_s
        return BreakerChange(OPEN, f"{reason}; closed to requests for {self._open_s:g} s", now)

    def _enter(self, state: int) -> None:
        self.state = state
        self.epoch += 1
