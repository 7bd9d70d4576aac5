"""Workers believe of endpoints what other workers sent there."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.prefixes.answer_endpoints import AnswerEndpoints
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.snapshot import Connections, Endpoint, PoolTimeouts
from penstock.dataplane.board.layout import ROUTES
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.llm.routed_prefixes import Believer, RoutedPrefixes
from penstock.dataplane.pool.live_endpoint import LiveEndpoint

ROW = 1


class Worker:
    """What one of two workers believes of one endpoint."""

    def __init__(self, board: Board, number: int, max_blocks: int = 1000) -> None:
        spec = Endpoint(name="e", host="127.0.0.1", port=9, row=ROW)
        settings = ConnectionSettings(PoolTimeouts(), Connections())
        self.endpoint = LiveEndpoint(spec, "a", settings, board, number, Loop(Env(Random(1))))
        self.index = PrefixIndex(max_blocks)
        self.routed = RoutedPrefixes(board, number)
        self.index.journal = self.routed
        self.answer_endpoints = AnswerEndpoints()

    def send(self, *blocks: int) -> int:
        """Returns how many tokens were believed to be there."""
        return self.index.insert(prompt(*blocks), self.endpoint)

    def hear(self) -> None:
        self.routed.refresh({ROW: Believer(self.endpoint, self.index, self.answer_endpoints)})

    def believes(self, *blocks: int) -> int:
        """How many tokens of that prompt are there, after hearing the others."""
        self.hear()
        return self.index.matches(prompt(*blocks), [self.endpoint])[0]


def prompt(*blocks: int) -> Request:
    return Request(prompt_tokens=16 * len(blocks), blocks=list(blocks), block_tokens=16)


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(2, endpoint_rows=4, pool_rows=1)
    yield made
    os.close(made.fd)


def test_what_one_worker_sends_the_other_believes(board: Board) -> None:
    one, two = Worker(board, 0), Worker(board, 1)
    big = (1 << 64) - 1  # hashes are unsigned, cells are not
    one.send(7, big)
    assert two.believes(7, big, 9) == 32
    two.send(7, big, 9)
    assert one.believes(7, big, 9) == 48


def test_nothing_is_told_twice(board: Board) -> None:
    one, two = Worker(board, 0), Worker(board, 1)
    one.send(1, 2)
    two.believes(1, 2)
    assert two.send(1, 2) == 32
    one.index.forget(one.endpoint)
    assert one.believes(1, 2) == 0


def test_a_worker_that_starts_learns_what_the_others_know(board: Board) -> None:
    Worker(board, 0).send(1, 2, 3)
    assert Worker(board, 1).believes(1, 2, 3) == 48


def test_a_restarted_worker_goes_on_in_its_ring(board: Board) -> None:
    two = Worker(board, 1)
    Worker(board, 0).send(1)
    assert two.believes(1) == 16
    Worker(board, 0).send(2)
    assert two.believes(2) == 16


def test_who_made_an_answer_is_told_between_prefixes(board: Board) -> None:
    one, two = Worker(board, 0), Worker(board, 1)
    big = (1 << 64) - 1
    one.send(1)
    one.routed.answered(big, one.endpoint)
    one.send(1, 2)
    assert two.believes(1, 2) == 32
    assert two.answer_endpoints.of(big) is two.endpoint
    assert two.answer_endpoints.of(1) is None
    assert two.believes(big) == 0


def test_a_pool_without_prefixes_hears_of_answers_alone(board: Board) -> None:
    one, two = Worker(board, 0), Worker(board, 1)
    one.send(1)
    one.routed.answered(7, one.endpoint)
    two.routed.refresh({ROW: Believer(two.endpoint, None, two.answer_endpoints)})
    assert two.answer_endpoints.of(7) is two.endpoint
    assert two.believes(1) == 0


def test_endpoints_that_are_not_known_are_passed_over(board: Board) -> None:
    one, two = Worker(board, 0), Worker(board, 1)
    one.send(1)
    two.routed.refresh({})
    assert two.believes(1) == 0


def test_who_falls_behind_by_a_ring_loses_the_oldest_only(board: Board) -> None:
    one, two = Worker(board, 0, 2 * ROUTES), Worker(board, 1, 2 * ROUTES)
    for block in range(ROUTES + 10):
        one.send(block)
    for _ in range(10):
        two.believes(0)
    assert two.believes(0) == 0
    assert two.believes(ROUTES + 9) == 16
