"""Who gives its place to a more important request, if that is wanted: a rule, no act.

Only requests whose answer has not begun: they can be sent again elsewhere, and lose what was
computed of their prompt, no word of the answer.
"""

from collections.abc import Sequence


class Holder:
    """A request that has a place."""

    def __init__(
        self, importance: int, admitted_at: float, counter: float = 0.0, *, begun: bool = False
    ) -> None:
        self.importance: int = importance  # 0 most
        self.admitted_at: float = admitted_at
        self.counter: float = counter  # its tenant's
        self.begun: bool = begun  # its answer has


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
