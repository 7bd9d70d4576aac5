"""When a prefix is worth being computed once more, on a further endpoint.

A second copy lets later prompts choose the less busy of two endpoints; the prompt that makes it
waits for it. This is the ski rental problem (Karlin, Manasse, Rudolph, Sleator, "Competitive snoopy
caching", Algorithmica 3, 1988). Whenever a prompt goes to an endpoint that holds its prefix, what
it would have saved on another endpoint, had that one held the prefix too, is added up for the
prefix. Once the sum reaches what a copy costs at this moment, the copy is made. So whatever comes
later, at most twice the cost of the best decision is spent. A prefix is named by the block at which
matches end: a different one for every turn of a conversation, the same one for all prompts that
begin with what many share.

Copies are also limited to a small share of prompts, so that they do not make up the 99th
percentile: the prompts of some minutes would otherwise pay for all that come in hours.
"""

from typing import Final

_MOST: Final = 4096  # prefixes for which a sum is kept


class Copies:
    """What a copy of each prefix would have saved so far, and how many copies may be made."""

    def __init__(self, share: float) -> None:
        """``share``: of the prompts that ask, how many may make a copy; none of the first."""
        self.share: float = share
        self._allowed: float = 0.0
        self._saved: dict[int, float] = {}

    def __len__(self) -> int:
        """Prefixes for which a copy would have saved anything."""
        return len(self._saved)

    def saved_so_far_s(self, block: int) -> float:
        """What a copy of the prefix would have saved so far."""
        return self._saved.get(block, 0.0)

    def pays(self, block: int, saved_s: float, price_s: float) -> bool:
        """Whether to make a copy; asked once for each prompt that begins with the prefix.

        ``saved_s``: by how much less it would cost, could it go to one endpoint more.
        ``price_s``: how much more it would cost for making the copy.
        """
        self._allowed = min(self._allowed + self.share, 1.0)
        saved = self._saved.pop(block, 0.0) + max(saved_s, 0.0)
        buys = price_s <= saved and self._allowed >= 1.0
        if buys:
            self._allowed -= 1.0
            saved -= max(price_s, 0.0)
        if saved > 0.0:
            if len(self._saved) >= _MOST:
                del self._saved[next(iter(self._saved))]
            self._saved[block] = saved
        return buys
