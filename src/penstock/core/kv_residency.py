"""How much an engine's prefix cache holds, followed event by event.

Sequence numbers make it exact: without a gap from the engine's first batch on, what is counted is
what is there. After a gap that cannot be closed nothing is told until the cache is cleared or the
engine begins anew.
"""

from collections.abc import Hashable


class KvResidency:
    """One engine's. Numbers of batches begin at 0 and rise by one."""

    def __init__(self) -> None:
        self.exact: bool = False
        self.next: int = 0  # the number of the batch to come
        self.clears: int = 0  # how often the cache was emptied while it was followed
        self._sizes: dict[Hashable, int] = {}
        self._tokens: int = 0

    @property
    def tokens(self) -> int:
        """In blocks that a prompt can find; -1 while that is not known."""
        return self._tokens if self.exact else -1

    def gap(self, number: int) -> bool:
        """Whether batches are missing before this one."""
        return number > self.next

    def restarted(self) -> None:
        """The engine counts from 0 again: it holds nothing of what was."""
        self._forget()
        self.exact = False
        self.next = 0
        self.clears += 1

    def begin(self, number: int) -> bool:
        """A batch comes that is applied next; False for one that was applied already.

        A gap before it that was not closed ends exactness.
        """
        if number < self.next:
            return False
        self.exact = number == 0 or (self.exact and number == self.next)
        self.next = number + 1
        return True

    def stored(self, block: Hashable, tokens: int) -> None:
        """A block can be found."""
        self._tokens += tokens - self._sizes.get(block, 0)
        self._sizes[block] = tokens

    def removed(self, block: Hashable) -> None:
        """A block cannot be found any more."""
        self._tokens -= self._sizes.pop(block, 0)

    def cleared(self) -> None:
        """Nothing can be found any more; from here on the count is exact."""
        self._forget()
        self.exact = True
        self.clears += 1

    def _forget(self) -> None:
        self._sizes = {}
        self._tokens = 0
