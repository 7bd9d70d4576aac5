"""Whether an engine's KV events are complete, by the sequence numbers of their batches.

Without a gap since the engine's first batch, the events describe what the cache holds. After a gap
that cannot be closed, nothing is certain until the cache is cleared or the engine restarts.
"""


class KvSequence:
    """One engine's. Numbers of batches begin at 0 and rise by one."""

    def __init__(self) -> None:
        self.whole: bool = False
        self.next: int = 0  # the number of the batch to come
        self.clears: int = 0  # how often the cache was emptied while it was followed

    def gap(self, number: int) -> bool:
        """Whether batches are missing before this one."""
        return number > self.next

    def restarted(self) -> None:
        """The engine counts from 0 again: it holds nothing of what was."""
        self.whole = False
        self.next = 0
        self.clears += 1

    def begin(self, number: int) -> bool:
        """A batch comes that is applied next; False for one that was applied already."""
        if number < self.next:
            return False
        self.whole = number == 0 or (self.whole and number == self.next)
        self.next = number + 1
        return True

    def cleared(self) -> None:
        """The cache was emptied: whatever was missed does not matter any more."""
        self.whole = True
        self.clears += 1
