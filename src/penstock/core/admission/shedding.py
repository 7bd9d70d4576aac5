"""Priority shedding: under overload, only requests above a level of priority are let in.

Overload is a mean wait above 20 ms over a window of one second or 2000 requests, counting all that
were let in, those that did not have to wait included. The level for the next window is read from a
histogram of the priorities in the last one, so it is found at once rather than by trial:

    overloaded:  let in 5% less than were let in      otherwise:  1% more of all that came

The most important requests that came are never refused: where all are equally important, that would
refuse all of them. All servers along a path use the same priorities, so a request that one of them
lets in is let in by the next.
Source: H. Zhou et al., "Overload control for scaling WeChat microservices" (DAGOR), SoCC 2018.

O(1) per request, O(levels) per window.
"""

from typing import Final

WINDOW_S: Final = 1.0
WINDOW_REQUESTS: Final = 2000
_DECREASE: Final = 0.05
_INCREASE: Final = 0.01


class SheddingChange:
    """The level moved: requests of a priority number above ``level`` are refused."""

    def __init__(self, level: int, reason: str, at: float) -> None:
        self.level: int = level
        self.reason: str = reason
        self.at: float = at


class PriorityShedding:
    """Priorities are 0 (most important) to ``levels`` − 1; those up to ``level`` are let in."""

    def __init__(self, levels: int = 128, mean_wait_s: float = 0.02) -> None:
        self.level: int = levels - 1
        self._levels: int = levels
        self._bearable_wait_s: float = mean_wait_s
        self._came: list[int] = [0] * levels  # in this window, by priority
        self._came_sum: int = 0
        self._let_in: int = 0
        self._waits: int = 0
        self._wait_sum_s: float = 0.0
        self._began_at: float = -1.0

    def allows(self, priority: int) -> bool:
        """Whether a request of this priority is let in; it is counted."""
        priority = min(max(priority, 0), self._levels - 1)
        self._came[priority] += 1
        self._came_sum += 1
        if priority > self.level:
            return False
        self._let_in += 1
        return True

    def waited(self, wait_s: float) -> None:
        """A request that was let in left the queue after this time, 0 where it did not wait there:
        it began to be served, its time ran out, or its client left."""
        self._waits += 1
        self._wait_sum_s += wait_s

    def observe(self, now: float) -> SheddingChange | None:
        """To be called now and then; at the end of a window returns how the level moved."""
        if self._began_at < 0.0:
            self._began_at = now
        if now - self._began_at < WINDOW_S and self._came_sum < WINDOW_REQUESTS:
            return None
        before = self.level
        mean_s = self._wait_sum_s / self._waits if self._waits else 0.0
        if mean_s > self._bearable_wait_s:
            self._lower((1.0 - _DECREASE) * self._let_in)
        else:
            self._raise(self._let_in + _INCREASE * self._came_sum)
        self._came = [0] * self._levels
        self._came_sum = 0
        self._let_in = 0
        self._waits = 0
        self._wait_sum_s = 0.0
        self._began_at = now
        if self.level == before:
            return None
        return SheddingChange(self.level, f"requests queued {mean_s * 1e3:.1f} ms on average", now)

    def _lower(self, wanted: float) -> None:
        expected = float(self._let_in)
        while self.level > 0 and expected > wanted:
            if expected <= self._came[self.level]:
                return  # none are more important
            expected -= self._came[self.level]
            self.level -= 1

    def _raise(self, wanted: float) -> None:
        expected = float(self._let_in)
        while self.level < self._levels - 1 and expected < wanted:
            self.level += 1
            expected += self._came[self.level]
