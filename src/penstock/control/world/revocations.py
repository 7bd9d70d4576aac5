"""Revocation lists of listeners: told of days before they end, for then nobody gets in."""

import time
from collections.abc import Callable
from pathlib import Path

from penstock.config.compile.revocations import TOLD_AHEAD_S, told_end
from penstock.control.events import Events
from penstock.core.snapshot import Snapshot
from penstock.wire.crl import end_of


class RevocationLists:
    """``ends`` has, by listener, when the first of its lists ends (seconds since 1970)."""

    def __init__(self, events: Events, wall_clock: Callable[[], float] = time.time) -> None:
        self.ends: dict[str, float] = {}
        self._events = events
        self._wall_clock = wall_clock
        self._files: dict[str, str] = {}
        self._told: set[tuple[str, float, bool]] = set()  # file, its end, whether that is past

    def configure(self, snapshot: Snapshot) -> None:
        """Read those of the listeners that run."""
        self._files = {
            each.name: each.tls.crl_file for each in snapshot.listeners if each.tls.crl_file
        }
        ends = {name: read_end(Path(file)) for name, file in self._files.items()}
        self.ends = {name: end for name, end in ends.items() if end > 0.0}
        self.look()

    def look(self) -> None:
        """Tell of lists that end soon, or have ended: once each."""
        now = self._wall_clock()
        for name, end in self.ends.items():
            past = end <= now
            told = (self._files[name], end, past)
            if end - now > TOLD_AHEAD_S or told in self._told:
                continue
            self._told.add(told)
            text = f"{self._files[name]} of the listener {name!r} {told_end(end, now)}"
            if past:
                self._events.error("crl.ended", text, listener=name)
            else:
                self._events.warning("crl.ends", text, listener=name)


def read_end(file: Path) -> float:
    """When the lists in a file end; 0.0 where that cannot be told."""
    try:
        return end_of(file.read_bytes())
    except (OSError, ValueError):
        return 0.0  # what cannot be used is told by whoever tries it
