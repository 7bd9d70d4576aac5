"""Who goes on next of those that wait for a pool: what a gate asks, whoever decides it.

A gate knows whether there is room and lets in; a scheduler keeps those who wait in order. The queue
of one worker is one (``queue``); one over all workers and tenants can take its place.
"""

from mypy_extensions import mypyc_attr


class QueueEntry:
    """A request that waits: what waits, until when, how important it is (0 most), and what it can
    use: those with the same ``needs`` can use the same.

    ``number`` is its place in line, 0 for a new one, which gets the last; ``queued_at`` is since
    when it has waited in all. ``cost`` is what it is thought to use, in tokens of a language model,
    or 1 for each request; ``cached`` are tokens of its prompt that a cache holds where there may
    be room. ``due`` is what it stands in line by: of one that gave up a place, when it came.
    """

    promoted: bool = False  # its class was passed over for too long, and it goes before others
    tenant: str = ""
    account: str = ""  # the tenant's, in this class
    weight: float = 1.0  # of the tenant
    cost: float = 1.0
    cached: float = 0.0

    def __init__(
        self, item: object, deadline: float, importance: int = 0, needs: str = "", number: int = 0
    ) -> None:
        self.item: object = item
        self.deadline: float = deadline
        self.due: float = deadline
        self.importance: int = importance
        self.needs: str = needs
        self.number: int = number
        self.queued_at: float = 0.0
        self.queued: bool = False


@mypyc_attr(allow_interpreted_subclasses=True)
class Scheduler:
    """Times are seconds on any monotonic clock."""

    def waiting(self) -> int:
        """How many wait."""
        raise NotImplementedError

    def push(self, entry: QueueEntry, now: float, *, kept: bool = False) -> QueueEntry | None:
        """Have it wait. Returns who is turned away for that: nobody, another one, or it.

        One that comes back to the place that it had, or is ``kept`` from another scheduler, is let
        in however many wait.
        """
        raise NotImplementedError

    def heads(self) -> list[QueueEntry]:
        """Those of whom it is to be known what caches hold, before ``next_in_line``."""
        return []

    def next_in_line(self, now: float) -> list[QueueEntry]:
        """Who may go on next, best first: for what the first need there may be no room."""
        raise NotImplementedError

    def take(self, entry: QueueEntry, now: float) -> bool:
        """Take one out to be served; False when it is among those turned away instead."""
        raise NotImplementedError

    def served(self, needs: str, now: float) -> None:
        """One that was taken out is being served: the pace follows."""
        raise NotImplementedError

    def freed(self, now: float) -> None:
        """A request that was let in has ended: its place is free."""
        raise NotImplementedError

    def remove(self, entry: QueueEntry) -> bool:
        """Take one out whose client left; False when it does not wait here any more."""
        raise NotImplementedError

    def remove_all(self) -> list[QueueEntry]:
        """Let nobody wait any more; the most important first, and equals in order."""
        raise NotImplementedError

    def turned_away(self, now: float) -> list[QueueEntry]:
        """Those who waited too long, since this was last asked."""
        raise NotImplementedError

    def charge(self, account: str, cost: float, weight: float) -> None:
        """A request of that account used this without a wait, or more, or less, than thought."""

    def counter(self, account: str) -> float:
        """What an account was given, for its tenant's weight."""
        return 0.0

    def expected_wait_s(
        self, importance: int = 0, needs: str = "", tenant: str = "", weight: float = 1.0
    ) -> float:
        """How long one of this importance that needs this would wait at the pace of late."""
        raise NotImplementedError

    def waits_before(self, importance: int, needs: str) -> bool:
        """Whether one waits that needs the same and is as important."""
        raise NotImplementedError
