"""Which prefixes many conversations begin with, such as system prompts.

A prompt that goes on with a conversation is known up to where the turn before it ended, and so ends
its match at a block where no other does. One that begins a conversation ends it where the text ends
that others began with as well. So a block at which matches end again and again is the end of a
prefix that is shared, however long the conversations are. O(1) per prompt.
"""

from typing import Final

# Eight beginnings among the last 4,096 to 8,192 prompts: one in a thousand. To have it computed
# once more on one endpoint costs little beside that.
_HOT: Final = 8
_MEMORY: Final = 4096  # prompts between two halvings, and so a bound on blocks: twice as many


class HotPrefixes:
    """Counts at which blocks the longest matches of prompts end; old counts fade."""

    def __init__(self) -> None:
        self._ends: dict[int, int] = {}
        self._noted: int = 0

    def __len__(self) -> int:
        """Blocks that are counted."""
        return len(self._ends)

    def note(self, block: int) -> None:
        """The longest match of a prompt ended with this block."""
        self._ends[block] = self._ends.get(block, 0) + 1
        self._noted += 1
        if self._noted >= _MEMORY:
            self._noted = 0
            kept: dict[int, int] = {}
            for each, count in self._ends.items():
                if count > 1:
                    kept[each] = count >> 1
            self._ends = kept

    def ends_with(self, block: int) -> bool:
        """Whether a prefix that ends with this block is hot."""
        return self._ends.get(block, 0) >= _HOT
