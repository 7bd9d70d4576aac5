"""When a prefix that many share is worth being computed once more, on a further endpoint.

A second copy lets later prompts choose the less busy of two endpoints; the prompt that makes it
waits for it. As skis are rented until the rents add up to their price (Karlin, Manasse, Rudolph,
Sleator, "Competitive snoopy caching", Algorithmica 3, 1988): whenever such a prompt goes to a
holder, what it would have cost on another endpoint, were the prefix there as well, is put by if it
is less; once that adds up to what a copy costs at this moment, it is made. So whatever comes after,
no more is spent than twice what the best decision would.

Copies are a small share of prompts besides, so that they are not what the 99th percentile is.
"""

from typing import Final

_MOST: Final = 4096  # prefixes that something is put by for


class Copies:
    """What is put by for each prefix, which is named by its last block."""

    def __init__(self, share: float) -> None:
        """``share``: of the prompts that ask, how many may be told to make a copy."""
        self.share: float = share
        self._allowed: float = 1.0
        self._saved: dict[int, float] = {}

    def __len__(self) -> int:
        """Prefixes that something is put by for."""
        return len(self._saved)

    def pays(self, block: int, saved_s: float, price_s: float) -> bool:
        """Whether to make a copy; asked once for each prompt that begins with the prefix.

        ``saved_s``: by how much less it would cost, could it go to one endpoint more.
        ``price_s``: how much more it would cost for making the copy.
        """
        self._allowed = min(self._allowed + self.share, 1.0)
        saved = self._saved.pop(block, 0.0) + max(saved_s, 0.0)
        buys = saved >= price_s and self._allowed >= 1.0
        if buys:
            self._allowed -= 1.0
            saved -= max(price_s, 0.0)
        if len(self._saved) >= _MOST:
            del self._saved[next(iter(self._saved))]
        self._saved[block] = saved
        return buys
