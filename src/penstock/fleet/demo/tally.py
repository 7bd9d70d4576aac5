"""What became of the requests to one pool, as their sender saw it."""

from __future__ import annotations

from collections import deque

from penstock.fleet.replay.client import CUT, EMPTY, UNFINISHED, Outcome
from penstock.fleet.replay.result import Distribution, distribution

# Enough for a steady 99th percentile, few enough to be sorted at every look.
_RECENT = 2000

# An answer that began and did not end.
_CUT = frozenset((CUT, UNFINISHED, EMPTY))


class Tally:
    """Counts of one run; times to first token are in the engines' seconds."""

    def __init__(self, speedup: float) -> None:
        self._speedup = speedup
        self._first_token_s: deque[float] = deque(maxlen=_RECENT)
        self.sent = 0
        self.answered = 0
        self.cut = 0  # died with the engine in the middle of the answer
        self.failures: dict[str, int] = {}  # got no answer, by reason
        self.prompt_tokens = 0
        self.cached_tokens = 0

    def add(self, outcome: Outcome) -> None:
        """A request came to its end."""
        if not outcome.failure:
            self.answered += 1
            self._first_token_s.append(outcome.ttft_s * self._speedup)
            self.prompt_tokens += outcome.prompt_tokens
            self.cached_tokens += outcome.cached_tokens
        elif outcome.failure in _CUT:
            self.cut += 1
        else:
            self.failures[outcome.failure] = self.failures.get(outcome.failure, 0) + 1

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def hit_rate(self) -> float:
        """Share of the prompt tokens that the engines had in their caches."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    def first_token(self) -> Distribution:
        """Times to first token of the recent requests."""
        return distribution(tuple(self._first_token_s))
