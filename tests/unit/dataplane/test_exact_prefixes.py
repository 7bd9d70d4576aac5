"""The table of what caches hold: one writes, all read, and no more is known than there is room."""

import os
from collections.abc import Iterator

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.dataplane.board.layout import FACT_SETS, FACT_WAYS, FACTS
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.llm.exact_prefixes import ALL, FactsReader, FactTable

BIG = (1 << 64) - 1
ROUNDS = 20_000


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(1, endpoint_rows=4, pool_rows=1)
    yield made
    os.close(made.fd)


def of_one_set(count: int) -> list[int]:
    """Blocks that compete for the same places."""
    return [7 + FACT_SETS * (number + 1) for number in range(count)]


def test_what_is_put_is_found_until_it_is_dropped(board: Board) -> None:
    table = FactTable(board)
    assert table.holders(BIG) == -1
    assert table.put(BIG, 0b101)
    assert FactTable(board).holders(BIG) == 0b101
    assert table.put(BIG, 0)  # nobody holds it, which is known
    assert table.holders(BIG) == 0
    table.drop(BIG)
    table.drop(BIG)
    assert table.holders(BIG) == -1


def test_the_highest_slot_is_a_bit_as_any_other(board: Board) -> None:
    table = FactTable(board)
    assert table.put(9, 1 << 61)
    assert table.holders(9) == 1 << 61


def test_a_block_that_looks_like_a_free_place_is_not_known(board: Board) -> None:
    table = FactTable(board)
    assert not table.put(0, 1)
    assert table.holders(0) == -1
    assert table.put(FACT_SETS, 2)  # of the same set


def test_a_full_set_takes_no_more_and_loses_nothing(board: Board) -> None:
    table = FactTable(board)
    blocks = of_one_set(FACT_WAYS + 1)
    for number, block in enumerate(blocks[:-1]):
        assert table.put(block, number)
    assert not table.put(blocks[-1], 99)
    assert table.holders(blocks[-1]) == -1
    assert [table.holders(block) for block in blocks[:-1]] == list(range(FACT_WAYS))
    assert table.put(blocks[0], 5)  # those that are there can change
    assert table.put(blocks[0] + 1, 6)  # and other sets have room
    table.drop(blocks[1])
    assert table.put(blocks[-1], 99)
    assert table.holders(blocks[-1]) == 99


def test_who_reads_while_it_is_written_sees_what_was_written_and_nothing_between(
    board: Board,
) -> None:
    """Another process changes the bits of one block while its neighbours come and go."""
    table = FactTable(board)
    steady, *others = of_one_set(FACT_WAYS)
    table.put(steady, 1)
    child = os.fork()
    if child == 0:
        try:
            for number in range(ROUNDS):
                table.put(others[0], 4)
                table.put(others[1], 8)
                table.put(steady, 1 + number % 2)
                table.drop(others[0])
                table.drop(others[1])
            table.put(others[2], 16)
        finally:
            os._exit(0)
    seen: set[int] = set()
    neighbours: set[int] = set()
    while table.holders(others[2]) < 0:
        seen.add(table.holders(steady))
        neighbours.add(table.holders(others[0]))
        if os.waitpid(child, os.WNOHANG)[0]:
            child = 0
            break
    if child:
        os.waitpid(child, 0)
    assert table.holders(others[2]) == 16  # the other process came to its end
    assert seen <= {1, 2}
    assert neighbours <= {-1, 4, 8, 16}  # another's bits, at worst


class Believer:
    """A worker that sent one block to one endpoint."""

    def __init__(self, board: Board, blocks: list[int]) -> None:
        self.reader = FactsReader(board)
        self.endpoint = Endpoint("e")
        self.endpoint.exact_slot = 3
        self.index = PrefixIndex()
        self.index.exact = self.reader.table
        for block in blocks:
            self.index.insert(_prompt(block), self.endpoint)

    def believes(self) -> int:
        """How many blocks, after hearing what is told."""
        self.reader.refresh([self.index])
        return self.index.blocks_of(self.endpoint)


def _prompt(block: int) -> Request:
    return Request(prompt_tokens=16, blocks=[block], block_tokens=16)


def test_what_left_a_cache_is_not_believed_any_more(board: Board) -> None:
    table = FactTable(board)
    believer = Believer(board, [1, BIG])
    table.put(BIG, 0)
    assert believer.believes() == 2  # not told yet
    table.tell(BIG, 2)  # of another endpoint
    assert believer.believes() == 2
    table.tell(BIG, 3)
    assert believer.believes() == 1
    table.put(1, 1 << 3)
    table.tell(1, ALL)
    assert believer.believes() == 1  # it is there
    table.put(1, 0)
    table.tell(1, ALL)
    assert believer.believes() == 0


def test_who_hears_too_late_goes_on_with_what_is_left(board: Board) -> None:
    table = FactTable(board)
    believer = Believer(board, [1, 2])
    table.put(1, 0)
    table.put(2, 0)
    table.tell(1, 3)
    for _ in range(FACTS):
        table.tell(9, 3)
    table.tell(2, 3)
    while True:
        before = believer.reader._read
        believed = believer.believes()
        if believer.reader._read == before:
            break
    assert believed == 1  # that the first had left was written over


def test_who_begins_to_read_hears_what_is_still_there(board: Board) -> None:
    table = FactTable(board)
    table.put(1, 0)
    table.tell(1, 3)
    assert Believer(board, [1]).believes() == 0
