"""When outlier detection looks at endpoints: soon after a failure, else once a second.

Judging costs a look at every endpoint. A run of failures ejects only when a new failure comes; the
ends of ejections, silence and the sweeps over an interval can wait for a second.
"""

from math import inf
from typing import Final

LOOK_S: Final = 0.1  # between two questions whether a look is due
_QUIET_S: Final = 1.0  # between two looks while nothing fails
RECONNECT_S: Final = 1.0  # between two tries to connect to what is out because nobody could


class OutlierWatch:
    """Paces the looks at all pools of one process."""

    def __init__(self) -> None:
        self._failures: int = 0
        self._looked_at: float = -inf

    def look_at_once(self) -> None:
        """The pools, or their settings, changed."""
        self._looked_at = -inf

    def is_due(self, failures: int, now: float) -> bool:
        """Whether to look now that there were so many failures in all."""
        if failures == self._failures and now - self._looked_at < _QUIET_S:
            return False
        self._failures = failures
        self._looked_at = now
        return True
