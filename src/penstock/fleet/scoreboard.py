"""Who got what: requests counted as their sender saw them, by the endpoint that answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

# Enough for a steady 99th percentile, few enough to follow a change within seconds.
_RECENT = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint's line. Latencies are seconds over the recent requests, 0 without any."""

    name: str
    requests: int
    share: float
    p50_s: float
    p99_s: float


@dataclass(slots=True)
class _Tally:
    requests: int = 0
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))


class Scoreboard:
    """Counts of one run."""

    def __init__(self, names: Sequence[str]) -> None:
        self._tallies = {name: _Tally() for name in names}
        self.sent = 0
        self.failures: dict[str, int] = {}  # by reason

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def answered(self, name: str, latency_s: float) -> None:
        """A request that ``name`` answered well."""
        tally = self._tallies.setdefault(name, _Tally())
        tally.requests += 1
        tally.recent_s.append(latency_s)

    def failed_with(self, reason: str) -> None:
        """A request that got no good answer."""
        self.failures[reason] = self.failures.get(reason, 0) + 1

    def rows(self) -> list[Row]:
        total = sum(tally.requests for tally in self._tallies.values())
        return [
            Row(
                name,
                tally.requests,
                tally.requests / total if total else 0.0,
                quantile(sorted(tally.recent_s), 0.50),
                quantile(sorted(tally.recent_s), 0.99),
            )
            for name, tally in self._tallies.items()
        ]


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of the values do not exceed; 0 of none."""
    if not ascending:
        return 0.0
    rank = -(-len(ascending) * share // 1)  # ceiling
    return ascending[max(0, int(rank) - 1)]
