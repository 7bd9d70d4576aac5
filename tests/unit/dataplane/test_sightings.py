"""Workers tell of prompts that were answered, in rings that are written over and over."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.prefixes.prefix_learner import Sighting
from penstock.core.request import Request
from penstock.core.snapshot import Connections, Endpoint, PoolTimeouts
from penstock.core.ticket import Ticket
from penstock.dataplane.board.layout import SG_COUNT, SIGHTING_CELLS
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.llm.exact_prefixes import FactTable
from penstock.dataplane.llm.sightings import SightingReader, SightingRing
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.wire.inspection import Inspection
from penstock.wire.openai import CHAT
from penstock.wire.prompt_blocks import MAX_BLOCKS, block_ends

ROW = 1
BIG = (1 << 64) - 1  # hashes are unsigned, cells are not
ALL = 10**6


class Worker:
    """One that answers prompts and tells of them."""

    def __init__(self, board: Board, number: int = 0) -> None:
        settings = ConnectionSettings(PoolTimeouts(), Connections())
        spec = Endpoint("e", "127.0.0.1", 9, row=ROW)
        self.endpoint = LiveEndpoint(spec, "a", settings, board, number, Loop(Env(Random(1))))
        self.ring = SightingRing(board, number)

    def answers(
        self, blocks: list[int], *, tokens: int = 100, cached: int = 0, images: int = 0
    ) -> None:
        found = Inspection(CHAT)
        found.blocks = blocks
        found.prompt_bytes = 256 * len(blocks) + 7
        found.images = images
        ticket = Ticket(self.endpoint, create("round-robin"), Request(), 2.0)
        ticket.first_byte_at = 2.5
        ticket.prompt_tokens = tokens
        ticket.cached_tokens = cached
        self.ring.note(found, ticket)


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(2, endpoint_rows=4, pool_rows=1)
    yield made
    os.close(made.fd)


def digests(seen: list[Sighting]) -> list[list[int]]:
    return [each.digests for each in seen]


def test_what_a_worker_tells_is_read_as_it_was(board: Board) -> None:
    reader = SightingReader(board)
    Worker(board).answers([1, BIG], tokens=130, cached=16)
    [seen] = reader.take(ALL)
    assert seen.digests == [1, BIG]
    assert seen.ends == block_ends(2)
    assert (seen.row, seen.tokens, seen.cached, seen.size) == (ROW, 130, 16, 519)
    assert (seen.sent_at, seen.first_at) == (2.0, 2.5)
    assert reader.take(ALL) == []


def test_each_worker_has_a_ring_of_its_own(board: Board) -> None:
    reader = SightingReader(board)
    Worker(board, 1).answers([2])
    Worker(board, 0).answers([1])
    assert digests(reader.take(ALL)) == [[1], [2]]


def test_what_goes_round_the_end_of_the_ring_is_read_whole(board: Board) -> None:
    """Lengths that do not divide the ring's: every entry that crosses its end is cut elsewhere."""
    reader = SightingReader(board)
    worker = Worker(board)
    written = 0
    number = 0
    crossed = set()
    while written < 40 * SIGHTING_CELLS:
        number += 1
        length = 1 + number * 37 % MAX_BLOCKS
        blocks = [BIG - number * MAX_BLOCKS - each for each in range(length)]
        worker.answers(blocks)
        before, written = written, board.cells[board.sightings(0) + SG_COUNT]
        if before // SIGHTING_CELLS != written // SIGHTING_CELLS:
            crossed.add(written % SIGHTING_CELLS)
        assert digests(reader.take(ALL)) == [blocks]
    assert len(crossed) > 20


def test_who_reads_too_late_goes_on_with_what_comes(board: Board) -> None:
    reader = SightingReader(board)
    worker = Worker(board)
    cells = board.sightings(0) + SG_COUNT
    while board.cells[cells] <= SIGHTING_CELLS // 2:
        worker.answers([1] * MAX_BLOCKS)
    assert reader.take(ALL) == []
    worker.answers([2])
    assert digests(reader.take(ALL)) == [[2]]
    for number in range(10):
        worker.answers([number])
    assert digests(reader.take(3)) == [[0], [1], [2]]
    assert reader.take(ALL) == []  # the rest was let go


def test_who_begins_to_read_hears_what_comes_from_then_on(board: Board) -> None:
    worker = Worker(board)
    worker.answers([1])
    reader = SightingReader(board)
    worker.answers([2])
    assert digests(reader.take(ALL)) == [[2]]


def test_what_teaches_nothing_is_not_told(board: Board) -> None:
    reader = SightingReader(board)
    worker = Worker(board)
    FactTable(board).put(5, 1)
    worker.answers([4, 5])  # known
    worker.answers([])  # too short
    worker.answers([6], images=1)  # of unknown length
    worker.answers([7], cached=-1)  # the engine does not tell
    worker.answers([8], tokens=-1)
    assert reader.take(ALL) == []
