"""A count over the last seconds, in slots: cheap to bump, and old counts leave by themselves."""


class SlidingCount:
    """How often something happened within ``slots`` slots of ``slot_s`` seconds, the current one
    included. Times must not be negative; one that runs backwards counts in the newest slot."""

    def __init__(self, slots: int, slot_s: float = 1.0) -> None:
        self.total: int = 0  # as of the last call of ``add`` or ``at``
        self._slots: int = slots
        self._slot_s: float = slot_s
        self._counts: list[int] = [0] * slots
        self._newest: int = 0

    def add(self, now: float, times: int = 1) -> None:
        """It happened once more, or so many times."""
        slot = int(now / self._slot_s)
        if slot > self._newest:
            self._advance(slot)
        self._counts[self._newest % self._slots] += times
        self.total += times

    def at(self, now: float) -> int:
        """The count at ``now``."""
        slot = int(now / self._slot_s)
        if slot > self._newest:
            self._advance(slot)
        return self.total

    def _advance(self, slot: int) -> None:
        passed = min(slot - self._newest, self._slots)
        for step in range(passed):
            left = (slot - step) % self._slots
            self.total -= self._counts[left]
            self._counts[left] = 0
        self._newest = slot
