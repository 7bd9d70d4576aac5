"""Endpoints that were started with other settings give way to new ones, some at a time.

The new one is started first, beside what the planner wants; once it serves, it stands in the place
of the old one, which is drained. Where it cannot be started, the old ones serve on.
"""

from collections.abc import Iterable
from typing import Final

from penstock.control.scale.actuator import Unit

_PART: Final = 4  # of those that are left, this part of them at a time, and one at least


class Replacing:
    """Of one pool, by names."""

    def __init__(self) -> None:
        self.outdated: set[str] = set()  # started with other settings, and not given way yet
        self._standing_in: dict[str, str] = {}  # those that start, and for whom
        self._outgoing: set[str] = set()  # given way, and there still

    def begin(self, names: Iterable[str]) -> None:
        """These were started with other settings."""
        self.outdated |= set(names) - self._outgoing

    def hides(self, name: str) -> bool:
        """Whether it is no member in the planner's eyes: it stands in for one, or gave way."""
        return name in self._standing_in or name in self._outgoing

    def next(self, kept: Iterable[str]) -> int:
        """How many to start now, of whom those that are kept can be replaced."""
        waiting = self.outdated & set(kept)
        if not waiting or self._standing_in:
            return 0
        return max(len(waiting) // _PART, 1)

    def started(self, names: Iterable[str], kept: Iterable[str]) -> None:
        """These start, for as many of those that are kept."""
        waiting = sorted(self.outdated & set(kept))
        self._standing_in |= dict(zip(sorted(names), waiting, strict=False))

    def swap(self, units: Iterable[Unit], kept: Iterable[str]) -> list[tuple[str, str]]:
        """Who gives way, and to whom: those that are ready stand in their places from now on."""
        there = {unit.name: unit for unit in units}
        swapped = []
        for new, old in list(self._standing_in.items()):
            unit = there.get(new)
            if unit is None or old not in kept:  # it failed, or nobody is left to give way
                del self._standing_in[new]
            elif unit.state == "ready":
                del self._standing_in[new]
                self.outdated.discard(old)
                self._outgoing.add(old)
                swapped.append((old, new))
        self.outdated &= there.keys()
        self._outgoing &= there.keys()
        return swapped
