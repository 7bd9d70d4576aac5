"""Prefixes routed and answers made as balancers tell each other of them, from and to the board.

A journal numbers what this balancer's workers wrote into their rings, and keeps the last of it for
balancers that come later or missed some. What others tell goes into the supervisor's ring, which
workers read as they read each other's. ``RoutedPrefixes`` says what an entry is.
"""

from array import array
from typing import Final

from penstock.dataplane.board.layout import ROUTE_CELLS, ROUTES, RT_COUNT, RT_ENTRIES
from penstock.dataplane.board.memory import Board

_TOKEN_BITS: Final = 32
_TOKEN_MASK: Final = (1 << _TOKEN_BITS) - 1
PREFIX_WIDTH: Final = 3  # of what is told: hash of the block, of the endpoint's URL, and tokens
JOURNAL: Final = 131_072  # entries that are kept: 3 MiB
_AT_ONCE: Final = 16_384  # read from a ring between two messages


class PrefixLedger:
    """What this balancer's workers sent where."""

    def __init__(self, board: Board) -> None:
        self._cells: memoryview = board.cells
        self._rings: list[int] = [board.routes(worker) for worker in range(board.workers)]
        self._read: list[int] = [board.cells[at + RT_COUNT] for at in self._rings]
        self._urls: dict[int, int] = {}
        self._entries: memoryview = memoryview(array("q", [0]) * (JOURNAL * PREFIX_WIDTH))
        self.count: int = 0  # entries ever; the last of them are kept

    def configure(self, urls: dict[int, int]) -> None:
        """The hash of the URL of the endpoint in each row."""
        self._urls = urls

    def read(self) -> None:
        """Take what workers wrote since the last time."""
        cells = self._cells
        for which, ring in enumerate(self._rings):
            count: int = cells[ring + RT_COUNT]
            start = self._read[which]
            if count == start:
                continue
            if count < start or count - start > ROUTES:
                start = max(count - ROUTES // 2, 0)  # it began anew, or went past
            end = min(count, start + _AT_ONCE)
            self._take(ring + RT_ENTRIES, start, end)
            self._read[which] = end

    def _take(self, first: int, start: int, end: int) -> None:
        cells = self._cells
        entries = self._entries
        for number in range(start, end):
            at = first + (number % ROUTES) * ROUTE_CELLS
            meta: int = cells[at + 1]
            url = self._urls.get(meta >> _TOKEN_BITS)
            if url is None:
                continue
            to = (self.count % JOURNAL) * PREFIX_WIDTH
            entries[to] = cells[at]
            entries[to + 1] = url
            entries[to + 2] = meta & _TOKEN_MASK
            self.count += 1

    def first(self, wanted: int) -> int:
        """The first entry from ``wanted`` on that is kept."""
        return max(wanted, self.count - JOURNAL, 0)

    def entries(self, start: int, end: int) -> bytes:
        """These, as they are told; up to the journal's end there may be fewer."""
        at = start % JOURNAL
        upto = min(at + end - start, JOURNAL)
        told = self._entries[at * PREFIX_WIDTH : upto * PREFIX_WIDTH]
        return told.tobytes()


class ToldPrefixes:
    """What other balancers sent where."""

    def __init__(self, board: Board) -> None:
        self._cells: memoryview = board.cells
        self._at: int = board.told
        self._rows: dict[int, list[int]] = {}
        self.count: int = 0  # that concerned an endpoint known here

    def configure(self, rows: dict[int, list[int]]) -> None:
        """The board's rows of each endpoint, by the hash of its URL."""
        self._rows = rows

    def take(self, numbers: memoryview) -> None:
        """PREFIX_WIDTH numbers to each entry."""
        cells = self._cells
        first = self._at + RT_ENTRIES
        count: int = cells[self._at + RT_COUNT]
        told: list[int] = numbers.tolist()
        for at in range(0, len(told), PREFIX_WIDTH):
            rows = self._rows.get(told[at + 1])
            if rows is None:
                continue
            tokens = told[at + 2] & _TOKEN_MASK
            for row in rows:
                to = first + (count % ROUTES) * ROUTE_CELLS
                cells[to] = told[at]
                cells[to + 1] = row << _TOKEN_BITS | tokens
                count += 1
            self.count += 1
        cells[self._at + RT_COUNT] = count  # after the entries: readers go by it
