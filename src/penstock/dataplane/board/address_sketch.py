"""Connections per client address over all workers: a count-min sketch on the board.

An address is never counted too low; it is counted too high only when it shares both its slots with
others. The slots are parts of one keyed hash, so that they have nothing to do with each other, and
nobody who does not know the key can find addresses that share those of a victim. The key is made
with the board, and the same for all workers.
Sources: G. Cormode, S. Muthukrishnan, "An improved data stream summary", 2005, whose rows are to
have independent hash functions; J.-P. Aumasson et al., "BLAKE2", 2013, for the hash.
"""

from hashlib import blake2s
from typing import Final

from penstock.dataplane.board.layout import ADDRESS_SLOTS
from penstock.dataplane.board.memory import Board

MOST_KNOWN: Final = 1024
_ROW_BITS: Final = 32  # of the hash, for each of the two rows


class _Address:
    """One address, with its slot in each row."""

    def __init__(self, text: str, digest: int) -> None:
        self.text: str = text
        self.first: int = digest % ADDRESS_SLOTS
        self.second: int = (digest >> _ROW_BITS) % ADDRESS_SLOTS


class AddressSketch:
    """One worker's view: it writes its own cells and sums over everybody's.

    Addresses that came of late are remembered. They are few where that matters: a proxy in front
    makes the connections of thousands; where clients come themselves, each makes a few.
    """

    def __init__(self, board: Board, worker: int) -> None:
        self._board: Board = board
        self._worker: int = worker
        self._key: bytes = board.address_key()
        self._known: dict[str, _Address] = {}

    def shared(self, address: str) -> str:
        """The same text: one object for the many connections of one address."""
        return self._of(address).text

    def slots(self, address: str) -> tuple[int, int]:
        """Its slots, one in each row."""
        known = self._of(address)
        return known.first, known.second

    def add(self, address: str, amount: int) -> None:
        """Count connections of that address up or down."""
        board = self._board
        known = self._of(address)
        board.cells[board.address_slot(0, known.first, self._worker)] += amount
        board.cells[board.address_slot(1, known.second, self._worker)] += amount

    def count(self, address: str) -> int:
        """Connections that the address has, all workers together."""
        board = self._board
        known = self._of(address)
        first = 0
        second = 0
        for worker in range(board.workers):
            first += board.cells[board.address_slot(0, known.first, worker)]
            second += board.cells[board.address_slot(1, known.second, worker)]
        return min(first, second)

    def _of(self, address: str) -> _Address:
        found = self._known.get(address)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known = {}
            digest = blake2s(address.encode(), digest_size=8, key=self._key).digest()
            found = _Address(address, int.from_bytes(digest, "little"))
            self._known[address] = found
        return found
