"""What an engine reports of its load, in the same terms whatever engine it is."""

from dataclasses import dataclass, field
from math import inf
from typing import Final

UNKNOWN: Final = -1
_MOST_REQUESTS: Final = 2**31


class UnreadableError(Exception):
    """The answer is not what that engine sends. The text is for people."""


@dataclass
class Reading:
    """Figures that the engine does not tell, or that cannot be, are -1.

    ``kv_usage`` is the share of its cache that running requests hold, ``kv_capacity`` its size in
    tokens; ``prefix_queries`` and ``prefix_hits`` are running totals of prompt tokens.
    ``slots`` hold a sequence each, and requests may choose among them; ``most_running`` requests
    are served at a time, and those beyond wait for an answer to end.
    ``loaded`` names models and adapters in its memory. ``ids_way``: of ``wire.resume.token_ids``.
    """

    running: float = UNKNOWN
    waiting: float = UNKNOWN
    kv_usage: float = UNKNOWN
    kv_capacity: int = UNKNOWN
    prefix_queries: int = UNKNOWN
    prefix_hits: int = UNKNOWN
    loaded: list[str] = field(default_factory=list)
    slots: int = UNKNOWN
    most_running: int = UNKNOWN
    ids_way: int = 0

    def __post_init__(self) -> None:
        """Engines tell NaN before their first request, and nonsense at times."""
        self.running = _bounded(self.running, _MOST_REQUESTS)
        self.waiting = _bounded(self.waiting, _MOST_REQUESTS)
        self.kv_usage = min(_bounded(self.kv_usage, inf), 1.0)
        self.kv_capacity = whole(self.kv_capacity)
        self.prefix_queries = whole(self.prefix_queries)
        self.prefix_hits = whole(self.prefix_hits)

    @property
    def kv_tokens(self) -> int:
        """Tokens that running requests hold."""
        if self.kv_usage < 0 or self.kv_capacity < 0:
            return UNKNOWN
        return round(self.kv_usage * self.kv_capacity)


def _bounded(value: float, most: float) -> float:
    return value if 0 <= value < most else UNKNOWN


def whole(value: float) -> int:
    """As a number of tokens; UNKNOWN for what is none."""
    return int(value) if 0 <= value < 2**62 else UNKNOWN
