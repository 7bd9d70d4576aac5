"""Why a pool cannot be scaled: each reason is told once, and a start that failed is tried later."""

from typing import Final

from penstock.control.events import Events

_BACK_OFF_S: Final = 5.0  # after a start that failed; doubled with each in a row
_LONGEST_BACK_OFF_S: Final = 300.0


class Trouble:
    """Of one pool."""

    def __init__(self, events: Events, pool: str) -> None:
        self._events = events
        self._pool = pool
        self._problem = ""  # until one is ready
        self._stuck = ""  # until somebody can be stopped
        self._blind = ""  # until the actuator knows again what there is
        self._failures = 0
        self._start_after = 0.0

    @property
    def shown(self) -> str:
        """The worst of it; empty where there is none."""
        return self._problem or self._stuck or self._blind

    def may_start(self, now: float) -> bool:
        """Whether the pause after a start that failed is over."""
        return now >= self._start_after

    def start_failed(self, reason: str, now: float) -> None:
        """The next try is some time later."""
        pause_s = min(_BACK_OFF_S * 2.0**self._failures, _LONGEST_BACK_OFF_S)
        self._failures += 1
        self._start_after = now + pause_s
        self.complain(f"{reason}; the next try is in {pause_s:g} s")

    def one_is_ready(self) -> None:
        """Starting works."""
        self._failures = 0
        self._problem = ""

    def complain(self, problem: str) -> None:
        """Until one is ready."""
        self._problem = self._told(problem, self._problem)

    def stop_failed(self, reason: str) -> None:
        """Somebody cannot be stopped."""
        self._stuck = self._told(reason, self._stuck)

    def stopped(self) -> None:
        """Stopping works."""
        self._stuck = ""

    def look_failed(self, reason: str) -> None:
        """Nobody knows what there is."""
        self._blind = self._told(reason, self._blind)

    def looked(self) -> None:
        """It is known what there is."""
        self._blind = ""

    def _told(self, problem: str, before: str) -> str:
        """It, once it is in the log."""
        if problem != before:
            text = f"pool {self._pool} cannot be scaled: {problem}"
            self._events.error("scale.failed", text, pool=self._pool)
        return problem
