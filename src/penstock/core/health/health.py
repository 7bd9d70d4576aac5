"""Active health: turns the results of checks into a verdict, and says when to check next.

The first result decides at once, either way. Afterwards ``rise`` successes in a row bring an
endpoint up, ``fall`` failures in a row take it down (HAProxy's words). While the results disagree
with the verdict, checks come at the fast interval.
"""

from typing import Final

from penstock.core.env import Env
from penstock.core.snapshot import HealthCheck

# Verdicts.
STARTING: Final = 0  # none yet
UP: Final = 1
DOWN: Final = 2

STATE_NAMES: tuple[str, ...] = ("starting", "up", "down")


class HealthChange:
    """A change of verdict: ``was`` and ``state`` are STARTING, UP or DOWN."""

    def __init__(self, was: int, state: int, reason: str, at: float) -> None:
        self.was: int = was
        self.state: int = state
        self.reason: str = reason
        self.at: float = at

    def __repr__(self) -> str:
        return f"<{STATE_NAMES[self.was]} → {STATE_NAMES[self.state]}: {self.reason}>"


class Health:
    """One endpoint's active health. ``state`` is what the board should say.

    It begins STARTING (which may be picked) or, where the check says ``initial: down``, DOWN;
    ``decided`` is False until the first result.
    """

    def __init__(self, check: HealthCheck) -> None:
        self._rise: int = check.rise
        self._fall: int = check.fall
        self._interval_s: float = check.interval_s
        self._fast_interval_s: float = min(check.fast_interval_s, check.interval_s)
        self._jitter: float = check.jitter
        self.state: int = STARTING if check.initial == "up" else DOWN
        self.decided: bool = False
        self.streak: int = 0  # results in a row that disagree with the state
        self.last_result: str = ""  # of the newest check, for people

    @property
    def in_doubt(self) -> bool:
        """Whether the verdict is open, or the last result disagrees with it."""
        return not self.decided or self.streak > 0

    def succeeded(self, detail: str, now: float) -> HealthChange | None:
        """A check passed; ``detail`` says how. Returns the change of verdict, if it is one."""
        return self._take(UP, self._rise, detail, now)

    def failed(self, detail: str, now: float) -> HealthChange | None:
        """A check failed; ``detail`` says how. Returns the change of verdict, if it is one."""
        return self._take(DOWN, self._fall, detail, now)

    def first_check_at(self, env: Env) -> float:
        """When to check first: spread over a fast interval, so that a start is no volley."""
        return env.now + self._fast_interval_s * env.random()

    def next_check_at(self, env: Env) -> float:
        """When to check again after a result that came at ``env.now``."""
        interval_s = self._fast_interval_s if self.in_doubt else self._interval_s
        return env.now + interval_s * (1.0 + self._jitter * (2.0 * env.random() - 1.0))

    def _take(self, result: int, needed: int, detail: str, now: float) -> HealthChange | None:
        self.last_result = detail
        if not self.decided:
            self.decided = True
            return self._change(result, f"first check: {detail}", now)
        if result == self.state:
            self.streak = 0
            return None
        self.streak += 1
        if self.streak < needed:
            return None
        checks = "check" if needed == 1 else "checks in a row"
        passed = "passed" if result == UP else "failed"
        return self._change(result, f"{needed} {checks} {passed}, last: {detail}", now)

    def _change(self, state: int, reason: str, now: float) -> HealthChange | None:
        was = self.state
        self.state = state
        self.streak = 0
        return None if was == state else HealthChange(was, state, reason, now)
