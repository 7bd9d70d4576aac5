"""What engines' caches certainly hold, by their KV events: a table on the board.

The supervisor alone writes it: for every text block of which it learned which tokens they are, the
bits of the endpoints that hold it. Workers look blocks up where they stand, so what enters or
leaves a cache counts for all of them at once. A ring beside it tells which blocks left, for the
sake of what workers believe besides. Who reads while an entry changes may see another's bits: a
belief that is wrong once, never a wrong request.
"""

from typing import Final

from penstock.core.prefixes.prefix_index import ExactPrefixes, PrefixIndex
from penstock.dataplane.board.layout import (
    FA_COUNT,
    FA_ENTRIES,
    FA_LEARNED,
    FA_TABLE,
    FACT_CELLS,
    FACT_SETS,
    FACT_WAYS,
    FACTS,
    FACTS_CELLS,
)
from penstock.dataplane.board.memory import Board, as_cell, of_cell

_SET_MASK: Final = FACT_SETS - 1
_SET_CELLS: Final = FACT_WAYS * 2
_FREE: Final = 0  # in place of a digest
_AT_ONCE: Final = 4096  # entries read between two batches of events
ALL: Final = -1  # every slot, in the ring


class FactTable(ExactPrefixes):
    """``holders`` is for everyone, the rest for the supervisor."""

    def __init__(self, board: Board) -> None:
        self._cells: memoryview = board.cells
        self._facts: int = board.facts
        self._table: int = board.facts + FA_TABLE

    def holders(self, block: int) -> int:
        key = as_cell(block)
        if key == _FREE:
            return -1
        at = self._find(key, block)
        bits: int = self._cells[at + 1] if at >= 0 else -1
        return bits

    def put(self, block: int, bits: int) -> bool:
        """These slots hold it. False when there is no room for it."""
        cells = self._cells
        key = as_cell(block)
        at = self._find(key, block)
        if at < 0:
            at = self._find(_FREE, block)
        if at < 0 or key == _FREE:
            return False
        cells[at + 1] = bits
        cells[at] = key  # last: whoever finds it finds its bits
        return True

    def drop(self, block: int) -> None:
        """Nobody can tell any more who holds it."""
        at = self._find(as_cell(block), block)
        if at >= 0:
            self._cells[at] = _FREE

    def clear(self) -> None:
        """Nothing is known any more."""
        cells = self._cells
        end = self._facts + FACTS_CELLS
        cells[self._facts + FA_LEARNED] = 0
        for at in range(self._table, end, 2):
            if cells[at] != _FREE:
                cells[at] = _FREE

    def tell(self, block: int, slot: int) -> None:
        """It is not there (any more); ALL: look for all slots that do not hold it."""
        cells = self._cells
        count = cells[self._facts + FA_COUNT]
        at = self._facts + FA_ENTRIES + (count % FACTS) * FACT_CELLS
        cells[at] = as_cell(block)
        cells[at + 1] = slot + 1
        cells[self._facts + FA_COUNT] = count + 1  # after the entry: readers go by it

    def _find(self, key: int, block: int) -> int:
        """The cell with that content in the block's set; -1 without one."""
        cells = self._cells
        at = self._table + (block & _SET_MASK) * _SET_CELLS
        end = at + _SET_CELLS
        while at < end:
            if cells[at] == key:
                return at
            at += 2
        return -1


class FactsReader:
    """One worker's place in the ring."""

    def __init__(self, board: Board) -> None:
        self.table: FactTable = FactTable(board)
        self._cells: memoryview = board.cells
        self._facts: int = board.facts
        # What a worker that starts hears from the others may be gone already.
        self._read: int = max(board.cells[board.facts + FA_COUNT] - FACTS, 0)

    def refresh(self, indexes: list[PrefixIndex]) -> None:
        """Disprove what left caches since the last time."""
        cells = self._cells
        count = cells[self._facts + FA_COUNT]
        start = self._read
        if count == start:
            return
        if count - start > FACTS:
            start = count - FACTS // 2  # the oldest are lost: beliefs that go with time
        end = min(count, start + _AT_ONCE)
        first = self._facts + FA_ENTRIES
        for number in range(start, end):
            at = first + (number % FACTS) * FACT_CELLS
            block = of_cell(cells[at])
            for index in indexes:
                index.disprove(block, cells[at + 1] - 1)
        self._read = end
