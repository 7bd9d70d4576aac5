"""Connections per client address over all workers: a count-min sketch on the board.

An address is never counted too low; it is counted too high only when it shares both its slots with
others. Cormode and Muthukrishnan, "An improved data stream summary", 2005.
"""

import zlib
from typing import Final

from penstock.dataplane.board import ADDRESS_SLOTS, Board

_ROWS: Final = 2
_SEEDS: Final = (0x9E3779B9, 0x7F4A7C15)


class AddressSketch:
    """One worker's view: it writes its own cells and sums over everybody's."""

    def __init__(self, board: Board, worker: int) -> None:
        self._board: Board = board
        self._worker: int = worker

    def add(self, address: str, amount: int) -> None:
        """Count connections of that address up or down."""
        board = self._board
        for row in range(_ROWS):
            board.cells[board.address_slot(row, _slot(address, row), self._worker)] += amount

    def count(self, address: str) -> int:
        """Connections that the address has, all workers together."""
        board = self._board
        least = -1
        for row in range(_ROWS):
            slot = _slot(address, row)
            total = 0
            for worker in range(board.workers):
                total += board.cells[board.address_slot(row, slot, worker)]
            if least < 0 or total < least:
                least = total
        return least


def _slot(address: str, row: int) -> int:
    return zlib.crc32(address.encode(), _SEEDS[row]) % ADDRESS_SLOTS
