"""What workers tell the supervisor of prompts that were answered: a ring on the board for each.

From it the supervisor learns which tokens a text is (``core/prefixes/prefix_learner.py``). A sample
is enough, since prefixes worth knowing come again: what is known already is not told, and who reads
too late loses what was written before.
"""

from array import array
from typing import Final

from penstock.core.prefixes.prefix_learner import Sighting
from penstock.core.ticket import Ticket
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.board.layout import SG_COUNT, SG_ENTRIES, SIGHTING_CELLS
from penstock.dataplane.board.memory import Board, of_cell
from penstock.dataplane.llm.exact_prefixes import FactTable
from penstock.wire.inspection import Inspection
from penstock.wire.prompt_blocks import block_ends

_HEAD: Final = 7  # length, row, sent and first token in µs, tokens, cached tokens, bytes


class SightingRing:
    """One worker's, for writing."""

    def __init__(self, board: Board, worker: int) -> None:
        self._cells: memoryview = board.cells
        self._at: int = board.sightings(worker)
        self._table: FactTable = FactTable(board)

    def note(self, found: Inspection, ticket: Ticket) -> None:
        """A prompt was answered, if there is something to learn from it."""
        blocks = found.blocks
        endpoint = ticket.endpoint
        if not blocks or found.images or ticket.prompt_tokens <= 0 or ticket.cached_tokens < 0:
            return
        if ticket.first_byte_at <= 0.0 or not isinstance(endpoint, CountedEndpoint):
            return
        if self._table.holders(blocks[-1]) >= 0:
            return  # known
        values = array(
            "q",
            [
                _HEAD + len(blocks),
                endpoint.row,
                int(ticket.opened_at * 1e6),
                int(ticket.first_byte_at * 1e6),
                ticket.prompt_tokens,
                ticket.cached_tokens,
                found.prompt_bytes,
            ],
        )
        values.frombytes(array("Q", blocks).tobytes())
        cells = self._cells
        count = cells[self._at + SG_COUNT]
        start = count % SIGHTING_CELLS
        first = self._at + SG_ENTRIES
        fits = min(len(values), SIGHTING_CELLS - start)
        view = memoryview(values)
        cells[first + start : first + start + fits] = view[:fits]
        if fits < len(values):
            cells[first : first + len(values) - fits] = view[fits:]
        cells[self._at + SG_COUNT] = count + len(values)


class SightingReader:
    """The supervisor's place in the rings of all workers."""

    def __init__(self, board: Board) -> None:
        self._cells: memoryview = board.cells
        self._rings: list[int] = [board.sightings(worker) for worker in range(board.workers)]
        self._read: list[int] = [board.cells[at + SG_COUNT] for at in self._rings]

    def take(self, most: int) -> list[Sighting]:
        """What came since the last time, at most so many from each worker; the rest is let go."""
        found: list[Sighting] = []
        for which, ring in enumerate(self._rings):
            count: int = self._cells[ring + SG_COUNT]
            at = self._read[which]
            self._read[which] = count
            if count - at > SIGHTING_CELLS // 2:
                continue  # it may be written over while it is read
            taken = 0
            while at < count and taken < most:
                size = self._cell(ring, at)
                if size <= _HEAD or at + size > count:
                    break
                found.append(self._sighting([self._cell(ring, at + i) for i in range(size)]))
                at += size
                taken += 1
        return found

    def _cell(self, ring: int, number: int) -> int:
        value: int = self._cells[ring + SG_ENTRIES + number % SIGHTING_CELLS]
        return value

    def _sighting(self, values: list[int]) -> Sighting:
        digests = [of_cell(value) for value in values[_HEAD:]]
        return Sighting(
            row=values[1],
            sent_at=values[2] / 1e6,
            first_at=values[3] / 1e6,
            tokens=values[4],
            cached=values[5],
            digests=digests,
            ends=block_ends(len(digests)),
            size=values[6],
        )
