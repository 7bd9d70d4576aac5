"""What an engine says of its load, in the same terms whatever engine it is."""

from dataclasses import dataclass, field
from math import inf
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

UNKNOWN: Final = -1
_MOST_REQUESTS: Final = 2**31
_MOST_DIGITS: Final = 18


class UnreadableError(Exception):
    """What came back is not what that engine says. The text is for people."""


class UnreachableError(UnreadableError):
    """Nothing came back."""


class TimedOutError(UnreachableError):
    """Nothing came back in time, though it may yet serve requests."""


class NotNowError(UnreadableError):
    """It has no answer yet, or any more: a status of 500 and above."""


class LoadingError(NotNowError):
    """It is not ready: status 503."""


@dataclass
class Reading:
    """Figures that the engine does not tell, or that cannot be, are -1.

    ``kv_usage`` is the share of its cache that running requests hold, ``kv_capacity`` its size in
    tokens; ``prefix_queries`` and ``prefix_hits`` are running totals of prompt tokens.
    ``slots`` hold a sequence each, and requests may choose among them.
    ``loaded`` names models and adapters in its memory.
    """

    running: float = UNKNOWN
    waiting: float = UNKNOWN
    kv_usage: float = UNKNOWN
    kv_capacity: int = UNKNOWN
    prefix_queries: int = UNKNOWN
    prefix_hits: int = UNKNOWN
    loaded: list[str] = field(default_factory=list)
    slots: int = UNKNOWN

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


Sample = tuple[dict[str, str], float]


class Samples:
    """Samples of an exposition, by the metric's name."""

    def __init__(self, text: str) -> None:
        """Raises UnreadableError."""
        self._found: dict[str, list[Sample]] = {}
        try:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    same = self._found.setdefault(sample.name, [])
                    same.append((dict(sample.labels), sample.value))
        except (ValueError, IndexError, KeyError) as error:
            raise UnreadableError(f"its metrics cannot be read: {error}") from error

    def of(self, *names: str) -> list[Sample]:
        """Those of the first of these names that there is."""
        for name in names:
            if name in self._found:
                return self._found[name]
        return []

    def sum(self, *names: str) -> float:
        """Over all labels: ranks of one engine are one endpoint. UNKNOWN without any."""
        found = self.of(*names)
        return sum(value for _, value in found) if found else UNKNOWN

    def mean(self, *names: str) -> float:
        """Over all labels. UNKNOWN without any."""
        found = self.of(*names)
        return sum(value for _, value in found) / len(found) if found else UNKNOWN

    def labelled(self, name: str, label: str, *values: str) -> float:
        """The sum of samples whose label has the first of these values that there is."""
        for wanted in values:
            found = [value for labels, value in self.of(name) if labels.get(label) == wanted]
            if found:
                return sum(found)
        return UNKNOWN


def _bounded(value: float, most: float) -> float:
    return value if 0 <= value < most else UNKNOWN


def whole(value: float) -> int:
    """As a number of tokens; UNKNOWN for what is none."""
    return int(value) if 0 <= value < 2**62 else UNKNOWN


def product(labels: dict[str, str], *names: str) -> int:
    """Of labels that hold numbers, as ``…_info`` metrics have them. UNKNOWN if one does not."""
    result = 1
    for name in names:
        value = labels.get(name, "")
        if not value.isdecimal() or len(value) > _MOST_DIGITS:
            return UNKNOWN
        result *= int(value)
    return result
