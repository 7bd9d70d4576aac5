"""How long endpoints take from being asked for until they serve."""

from typing import Final

_KEPT: Final = 64  # the latest


class StartTimes:
    """Seconds, as seen; ``assumed_s`` until the first."""

    def __init__(self, assumed_s: float, quantile: float) -> None:
        self.seen: list[float] = []
        self._assumed_s: float = assumed_s
        self._quantile: float = quantile

    def add(self, seconds: float) -> None:
        """One took this long."""
        self.seen.append(max(seconds, 0.0))
        if len(self.seen) > _KEPT:
            del self.seen[0]

    def lead_s(self) -> float:
        """How far ahead a need must be seen: the quantile of those seen."""
        if not self.seen:
            return self._assumed_s
        ordered = sorted(self.seen)
        return ordered[min(int(self._quantile * len(ordered)), len(ordered) - 1)]
