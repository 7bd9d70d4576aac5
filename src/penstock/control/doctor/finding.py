"""What a look found, and how much harm it does."""

from dataclasses import dataclass
from enum import IntEnum


class Harm(IntEnum):
    """The worse, the higher. ``ERROR``: it will not start, or requests fail now; ``WARNING``: it
    fails under load, later, or in part; ``ADVICE``: it works, and could do better."""

    ADVICE = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True)
class Finding:
    """``what`` is wrong with ``where``, and what to do."""

    harm: Harm
    where: str
    what: str
    do: str = ""


def in_order(findings: list[Finding]) -> list[Finding]:
    """The most harmful first; alike ones as they were found."""
    return sorted(findings, key=lambda each: -each.harm)
