"""Which of an engine's slots a prompt is sent to, where a slot holds one sequence (llama.cpp).

By itself such an engine takes the free slot whose sequence begins most like the prompt, and cuts it
where they part: conversations that share a system prompt cut one another. Here

- a prompt that goes on from what a slot holds is sent to that slot, and so is one of the same
  conversation that keeps at least half of it (an edited turn);
- a conversation that begins gets a slot that holds none, or else the one used least recently;
- a prompt that goes on from what is not known is left to the engine, which may have it.

A slot that may be at work is never chosen, and none is chosen while requests are under way whose
slot is not known: a chosen slot is waited for, even while others are free.
"""

from typing import Final

ANY: Final = -1  # the engine chooses
_NONE: Final[list[int]] = []  # shared, never changed


class _Slot:
    """What it was given last, as far as is known."""

    def __init__(self) -> None:
        self.conversation: int = 0
        self.blocks: list[int] = _NONE
        self.used: int = 0  # when, in requests; 0: never
        self.works: int = 0  # requests that it may be at work on


class EngineSlots:
    """The slots of one engine, as whoever alone sends to it knows them."""

    def __init__(self, count: int) -> None:
        self.count: int = count
        self.unplaced: int = 0  # requests under way that may be in any slot
        self._slots: list[_Slot] = [_Slot() for _ in range(count)]
        self._taken: int = 0  # so far
        # Slots of requests that ended without a whole answer, and of those before the last report.
        self._lingering: list[int] = []
        self._lingered: list[int] = []

    def choose(self, conversation: int, blocks: list[int], answered: int) -> int:
        """The slot for a prompt, or ANY.

        ``conversation`` is a hash that all turns of one have in common, 0 where there is none.
        ``blocks`` are hashes of the prompt's blocks, each standing for all before it as well.
        So many turns of it were ``answered`` before; -1 where that is not told.
        """
        if self.unplaced > 0 or (conversation == 0 and not blocks):
            return ANY
        unused = ANY
        oldest = ANY
        best = ANY
        most = -1  # blocks in common with the best
        whole = False  # of the best nothing is lost
        for number, slot in enumerate(self._slots):
            if slot.works > 0:
                continue
            if slot.used == 0:
                if unused < 0:
                    unused = number
                continue
            if oldest < 0 or slot.used < self._slots[oldest].used:
                oldest = number
            if slot.conversation != conversation:
                continue
            common = _in_common(slot.blocks, blocks)
            held = len(slot.blocks)
            keeps = common == held and (held > 0 or conversation != 0)
            if not keeps and (conversation == 0 or common * 2 < held):
                continue
            if keeps == whole and common <= most:
                continue
            if keeps or not whole:
                best, most, whole = number, common, keeps
        if best >= 0:
            return best
        if answered > 0:
            return ANY
        if unused >= 0:
            return unused
        return oldest if answered == 0 else ANY

    def take(self, slot: int, conversation: int, blocks: list[int]) -> None:
        """A request is sent there, or to ANY."""
        if slot < 0:
            self.unplaced += 1
            return
        self._taken += 1
        taken = self._slots[slot]
        taken.conversation = conversation
        taken.blocks = blocks
        taken.used = self._taken
        taken.works += 1

    def free(self, slot: int, whole: bool) -> None:
        """A request that was sent there, or to ANY, has ended, with a whole answer or not.

        Without one the engine may work on: llama.cpp does on answers that are not streamed.
        """
        if whole:
            self._free(slot)
        else:
            self._lingering.append(slot)

    def told_idle(self) -> None:
        """The engine told that it works on nothing but what is known to be under way.

        What ended while it was asked may have been counted as under way: the next time tells.
        """
        for slot in self._lingered:
            self._free(slot)
        self._lingered = self._lingering
        self._lingering = []

    def _free(self, slot: int) -> None:
        if slot < 0:
            self.unplaced -= 1
        else:
            self._slots[slot].works -= 1


def _in_common(one: list[int], other: list[int]) -> int:
    """How many blocks both begin with: as each stands for all before it, equal ones come first."""
    low = 0
    high = min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[middle - 1] == other[middle - 1]:
            low = middle
        else:
            high = middle - 1
    return low
