"""What looks again and again whether something changed, for somebody who waits to be told."""

from typing import Final

from mypy_extensions import trait

from penstock.dataplane.io.loop import Chore

MOST_WATCHES: Final = 1000  # of one worker


@trait
class Watch:
    """One who waits."""

    def look(self, now: float) -> None:
        """Say what changed since the last look, if anything did."""
        raise NotImplementedError


class Watches(Chore):
    """All of one worker; each looks at every sweep."""

    def __init__(self) -> None:
        self._running: dict[Watch, None] = {}  # in their order

    def __len__(self) -> int:
        return len(self._running)

    def has_room(self) -> bool:
        """Whether another may begin."""
        return len(self._running) < MOST_WATCHES

    def add(self, watch: Watch) -> None:
        """It begins."""
        self._running[watch] = None

    def drop(self, watch: Watch) -> None:
        """It is over, if it ever began."""
        self._running.pop(watch, None)

    def on_sweep(self, now: float) -> None:
        if self._running:
            for watch in list(self._running):
                watch.look(now)
