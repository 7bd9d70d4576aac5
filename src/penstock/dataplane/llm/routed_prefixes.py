"""What workers tell each other of the prefixes that they sent to endpoints, through the board.

Each worker writes into a ring of its own: for every block that an endpoint is newly believed to
hold the block's hash, the endpoint's row and the block's tokens; and for every answer that a later
request may go on from its hash and the endpoint's row. The others read it before their next
decision and believe the same; so they do what other balancers told, in a ring of the supervisor's.
Who falls behind by more than a ring loses the oldest: a belief less, never a wrong request.
"""

from typing import Any, Final

from penstock._in_c import in_c
from penstock.core.endpoint import Endpoint
from penstock.core.prefixes.answer_endpoints import AnswerEndpoints
from penstock.core.prefixes.prefix_index import PrefixIndex, PrefixJournal
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.board.layout import ROUTE_CELLS, ROUTES, RT_COUNT, RT_ENTRIES
from penstock.dataplane.board.memory import Board, as_cell, of_cell

_AT_ONCE: Final = 8192  # entries read between two batches of events: a few milliseconds at most
_TOKEN_BITS: Final = 32
_TOKEN_MASK: Final = (1 << _TOKEN_BITS) - 1
_prefixes: Final[Any] = in_c("_prefixes")
_tell: Final[Any] = None if _prefixes is None else _prefixes.tell  # writes entries of two cells
_ANSWER: Final = _TOKEN_MASK  # in place of tokens, of which no block has so many


class Believer:
    """An endpoint, and what holds what is believed of it."""

    def __init__(
        self,
        endpoint: CountedEndpoint,
        index: PrefixIndex | None,
        answer_endpoints: AnswerEndpoints | None = None,
    ) -> None:
        self.endpoint: CountedEndpoint = endpoint
        self.index: PrefixIndex | None = index
        self.answer_endpoints: AnswerEndpoints | None = answer_endpoints


class RoutedPrefixes(PrefixJournal):
    """One worker's ring, and its place in those of the others."""

    def __init__(self, board: Board, worker: int) -> None:
        self._cells: memoryview = board.cells
        self._at: int = board.routes(worker)
        self._count: int = board.cells[self._at + RT_COUNT]
        self._others: list[int] = [
            board.routes(other) for other in range(board.workers) if other != worker
        ]
        if board.shared:
            self._others.append(board.told)
        # A worker that starts learns what the others still have.
        self._read: list[int] = [max(board.cells[at + RT_COUNT] - ROUTES, 0) for at in self._others]

    def added(self, endpoint: Endpoint, blocks: list[int], sizes: list[int]) -> None:
        self._write(endpoint, blocks, sizes)

    def answered(self, answer: int, endpoint: Endpoint) -> None:
        """The endpoint made that answer."""
        self._write(endpoint, [answer], [_ANSWER])

    def _write(self, endpoint: Endpoint, hashes: list[int], sizes: list[int]) -> None:
        if not isinstance(endpoint, CountedEndpoint):
            return
        cells = self._cells
        count = self._count
        first = self._at + RT_ENTRIES
        row = endpoint.row << _TOKEN_BITS
        if _tell is not None:
            count = int(_tell(cells, first, ROUTES, count, row, hashes, sizes))
            self._count = count
            cells[self._at + RT_COUNT] = count
            return
        for index, each in enumerate(hashes):
            at = first + (count % ROUTES) * ROUTE_CELLS
            cells[at] = as_cell(each)
            cells[at + 1] = row | min(sizes[index], _TOKEN_MASK)
            count += 1
        self._count = count
        cells[self._at + RT_COUNT] = count  # after the entries: readers go by it

    def refresh(self, believers: dict[int, Believer]) -> None:
        """Believe what the others told since the last time; by the endpoints' rows."""
        cells = self._cells
        for which, at in enumerate(self._others):
            count = cells[at + RT_COUNT]
            if count != self._read[which]:
                self._read[which] = self._read_from(at, self._read[which], count, believers)

    def _read_from(self, ring: int, start: int, count: int, believers: dict[int, Believer]) -> int:
        cells = self._cells
        if count < start or count - start > ROUTES:
            start = max(count - ROUTES // 2, 0)  # it began anew, or went past
        end = min(count, start + _AT_ONCE)
        first = ring + RT_ENTRIES
        for number in range(start, end):
            at = first + (number % ROUTES) * ROUTE_CELLS
            meta = cells[at + 1]
            believer = believers.get(meta >> _TOKEN_BITS)
            if believer is None:
                continue
            told = of_cell(cells[at])
            tokens = meta & _TOKEN_MASK
            if tokens == _ANSWER:
                if believer.answer_endpoints is not None:
                    believer.answer_endpoints.note(told, believer.endpoint)
            elif believer.index is not None:
                believer.index.learn(believer.endpoint, told, tokens)
        return end
