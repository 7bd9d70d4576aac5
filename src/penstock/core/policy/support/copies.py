"""When a prefix is worth being computed once more, on a further endpoint.

A second copy lets later prompts choose the less busy of two endpoints; the prompt that makes it
waits for it. As skis are rented until the rents add up to their price (Karlin, Manasse, Rudolph,
Sleator, "Competitive snoopy caching", Algorithmica 3, 1988): whenever a prompt goes to a holder of
its prefix, what it would have cost on another endpoint, were the prefix there as well, is put by if
it is less; once that adds up to what a copy costs at this moment, it is made. So whatever comes
after, no more is spent than twice what the best decision would. A prefix is named by the block at
which matches end, which is another one with every turn of a conversation, and the same one for all
that begin with what many share.

Besides, copies are a small share of prompts, so that they are not what the 99th percentile is: the
prompts of some minutes would else pay for all that come in hours.
"""

from typing import Final

_MOST: Final = 4096  # prefixes that something is put by for


class Copies:
    """What is put by for each prefix, and how many copies may be made."""

    def __init__(self, share: float) -> None:
        """``share``: of the prompts that ask, how many may make a copy; none of the first."""
        self.share: float = share
        self._allowed: float = 0.0
        self._saved: dict[int, float] = {}

    def __len__(self) -> int:
        """Prefixes that something is put by for."""
        return len(self._saved)

    def put_by(self, block: int) -> float:
        """Seconds that are put by for the prefix."""
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
