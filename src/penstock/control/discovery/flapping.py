"""Damping: an endpoint that leaves and comes back again and again leaves later each time.

Staying costs little, as health checks spare an endpoint that is down; going and coming costs its
connections, its statistics and its clients' stickiness, and a resolver that answers now with these
records and now with those (haproxy#1160) would do it with every answer.
"""

from dataclasses import dataclass
from typing import Final

from penstock.control.discovery.source import Place

FIRST_S: Final = 5.0  # that it stays for when it leaves the second time within the window
LONGEST_S: Final = 300.0
WINDOW_S: Final = 60.0  # who is back within that has flapped
CALM_S: Final = 600.0  # after which the flaps of one that neither left nor came are forgotten
_MOST_KNOWN: Final = 100_000


@dataclass
class _Record:
    flaps: int = 0
    left_at: float | None = None  # in the source's answers; None: it is in them
    changed_at: float = 0.0


class Flapping:
    """Of one source in one pool."""

    def __init__(self) -> None:
        self._known: dict[Place, _Record] = {}

    def leaves(self, place: Place, now: float) -> float:
        """It is missing from an answer; returns when it is to go. Said again, nothing changes."""
        record = self._known.get(place)
        if record is None:
            self._make_room(now)
            record = self._known[place] = _Record()
        elif now - record.changed_at > CALM_S and record.left_at is None:
            record.flaps = 0
        if record.left_at is None:
            record.left_at = record.changed_at = now
        if record.flaps == 0:
            return record.left_at
        return record.left_at + min(FIRST_S * 2.0 ** min(record.flaps - 1, 16), LONGEST_S)

    def comes(self, place: Place, now: float) -> None:
        """It is in an answer."""
        record = self._known.get(place)
        if record is None or record.left_at is None:
            return
        away_s = now - record.left_at
        # Who flapped before may have been kept for long; that it comes again is a flap even so.
        flapped = away_s <= (LONGEST_S if record.flaps else WINDOW_S)
        record.flaps = record.flaps + 1 if flapped else 0
        record.left_at, record.changed_at = None, now

    def _make_room(self, now: float) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known = {
                place: each
                for place, each in self._known.items()
                if now - each.changed_at <= WINDOW_S
            }
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
