"""Samples of a Prometheus exposition. Only the lines that are wanted are parsed: vLLM's has over a
thousand."""

from collections.abc import Iterable
from typing import Final

from penstock.wire.engines.reading import UNKNOWN, UnreadableError, whole

_MOST_DIGITS: Final = 18
Wanted = tuple[bytes, ...]  # how the lines of wanted samples begin
Sample = tuple[dict[str, str], float]


class Samples:
    """By the metric's name."""

    def __init__(self, text: str) -> None:
        """Raises UnreadableError."""
        # Only the names of engines are needed to read a configuration; this takes 40 ms.
        from prometheus_client.parser import text_string_to_metric_families

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


def product(labels: dict[str, str], *names: str) -> int:
    """Of labels that hold numbers, as ``…_info`` metrics have them. UNKNOWN if one does not."""
    result = 1
    for name in names:
        value = labels.get(name, "")
        if not value.isdecimal() or len(value) > _MOST_DIGITS:
            return UNKNOWN
        result *= int(value)
    return result


def wanted(names: Iterable[str]) -> Wanted:
    """How lines of samples of these metrics begin."""
    return tuple(name.encode() + mark for name in names for mark in (b"{", b" "))


def lines(body: bytes, beginnings: Wanted) -> str:
    """The wanted lines of an exposition."""
    found = [line for line in body.splitlines() if line.startswith(beginnings)]
    return b"\n".join(found).decode("utf-8", "replace") + "\n"


def capacity(samples: Samples, name: str, *labels: str) -> int:
    """The sum over ranks of the product of these labels."""
    sizes = [product(found, *labels) for found, _ in samples.of(name)]
    return sum(sizes) if sizes and UNKNOWN not in sizes else UNKNOWN


def capacity_of_blocks(block_tokens: float, blocks: float) -> int:
    """Tokens in so many blocks. UNKNOWN where one of the two is."""
    return whole(block_tokens * blocks) if block_tokens > 0 and blocks > 0 else UNKNOWN
