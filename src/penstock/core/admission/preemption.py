"""Who gives its place to a more important request, where a pool wants that.

Only requests that have had no token: they can be sent again, and lose what was computed of their
prompt, no word of the answer. Whether one may be sent again at all is its owner's to know
(``core.attempts``). One that went on because its class was passed over for too long keeps its
place, and nobody loses it more often than ``times``: so nobody is starved.
"""

from collections.abc import Sequence

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Holder:
    """A request that has a place."""

    preempted: int = 0  # how often it lost one
    promoted: bool = False  # it has this one because its class was passed over for too long

    def __init__(
        self, importance: int, admitted_at: float, counter: float = 0.0, *, begun: bool = False
    ) -> None:
        self.importance: int = importance  # 0 most
        self.admitted_at: float = admitted_at
        self.counter: float = counter  # its tenant's
        self.begun: bool = begun  # its answer has


class Holders:
    """Those of one gate that may lose their place."""

    def __init__(self, times: int) -> None:
        self._times: int = times  # that one may
        self._all: dict[Holder, None] = {}

    def join(self, holder: Holder) -> None:
        """It has a place."""
        if holder.preempted < self._times and not holder.promoted:
            self._all[holder] = None

    def leave(self, holder: Holder) -> None:
        """It has none any more, or keeps it from here on."""
        self._all.pop(holder, None)

    def less_important(self, importance: int) -> list[Holder]:
        """Those of less important classes."""
        return [holder for holder in self._all if holder.importance > importance]


def who_yields(holders: Sequence[Holder], importance: int) -> Holder | None:
    """The one that a waiting request of this importance takes the place of; None: it waits on.

    Of those strictly less important whose answer has not begun the least important, of these the
    one whose tenant was given most, of these the last that came: it loses least.
    """
    chosen: Holder | None = None
    for holder in holders:
        if holder.begun or holder.importance <= importance:
            continue
        if chosen is None or _yields_before(holder, chosen):
            chosen = holder
    return chosen


def _yields_before(one: Holder, other: Holder) -> bool:
    if one.importance != other.importance:
        return one.importance > other.importance
    if one.counter != other.counter:
        return one.counter > other.counter
    return one.admitted_at > other.admitted_at
