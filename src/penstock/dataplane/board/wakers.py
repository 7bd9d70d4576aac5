"""Workers wake one another: an eventfd for each, which all workers of one supervisor have."""

import os
from contextlib import suppress


class Wakers:
    """By index; those of another version's workers are not known, and these look by themselves."""

    def __init__(self, first: int = 0, descriptors: list[int] | None = None) -> None:
        self.first: int = first
        self.descriptors: list[int] = descriptors if descriptors is not None else []
        self.woken: int = 0  # how often any was

    def wake(self, worker: int) -> None:
        """Have that worker see who goes on next. Never waits."""
        place = worker - self.first
        if 0 <= place < len(self.descriptors):
            self.woken += 1
            # Full, or closed: it is to wake anyway, or never again.
            with suppress(OSError):
                os.eventfd_write(self.descriptors[place], 1)

    def own(self, worker: int) -> int:
        """That worker's own descriptor; -1 where it has none."""
        place = worker - self.first
        return self.descriptors[place] if 0 <= place < len(self.descriptors) else -1

    def close(self) -> None:
        """Nobody is to be woken any more."""
        descriptors = self.descriptors
        self.descriptors = []
        for descriptor in descriptors:
            os.close(descriptor)
