"""Connections per client address: never too low, seldom too high, and nobody else's to choose."""

import os
from collections import Counter
from collections.abc import Iterator
from itertools import combinations

import pytest

from penstock.dataplane.board.address_sketch import MOST_KNOWN, AddressSketch
from penstock.dataplane.board.layout import ADDRESS_SLOTS
from penstock.dataplane.board.memory import Board, create_board

ADDRESSES = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(8000)]


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(2, 1, 1)
    yield made
    os.close(made.fd)


def test_an_address_is_counted_over_all_workers(board: Board) -> None:
    """Workers, and who comes after one, know the board's key."""
    one, other = AddressSketch(board, 0), AddressSketch(Board(board.fd), 1)
    one.add("10.0.0.1", 3)
    other.add("10.0.0.1", 2)
    assert one.count("10.0.0.1") == other.count("10.0.0.1") == 5
    assert AddressSketch(board, 0).count("10.0.0.1") == 5
    one.add("10.0.0.1", -3)
    assert other.count("10.0.0.1") == 2


def pairs(places: Counter[object]) -> int:
    """How many pairs share a place."""
    return sum(count * (count - 1) // 2 for count in places.values())


def test_rows_have_nothing_to_do_with_each_other(board: Board) -> None:
    """Of n addresses n²/2m pairs share a slot of m in one row, and n²/2m² in both.

    3,906 and 0.48 here: more than 7 in both is 1 in 10^7.
    """
    sketch = AddressSketch(board, 0)
    slots = [sketch.slots(address) for address in ADDRESSES]
    expected = len(ADDRESSES) ** 2 / 2 / ADDRESS_SLOTS
    for row in range(2):
        assert pairs(Counter(each[row] for each in slots)) == pytest.approx(expected, rel=0.2)
    assert pairs(Counter(slots)) <= 7


def test_addresses_that_collide_are_others_on_every_board(board: Board) -> None:
    """So that nobody can work out which ones count towards a victim's limit."""
    other = create_board(1, 1, 1)

    def colliding(on: Board) -> set[tuple[str, str]]:
        sketch = AddressSketch(on, 0)
        first = ADDRESSES[:1500]
        slots = {address: sketch.slots(address)[0] for address in first}
        return {pair for pair in combinations(first, 2) if slots[pair[0]] == slots[pair[1]]}

    ones, others = colliding(board), colliding(other)
    os.close(other.fd)
    assert len(ones) > 50
    assert len(ones & others) < 10  # 137²/1,124,250 = 0.02 expected


def test_connections_of_an_address_share_its_text_and_few_are_remembered(board: Board) -> None:
    sketch = AddressSketch(board, 0)
    first = sketch.shared("10.0.0.1")
    assert sketch.shared("".join(["10.0.", "0.1"])) is first
    for address in ADDRESSES:
        sketch.add(address, 1)
        sketch.shared(address)
    assert len(sketch._known) <= MOST_KNOWN
    assert all(sketch.count(address) >= 1 for address in ADDRESSES)
