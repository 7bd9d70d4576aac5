"""What a worker counts reaches the board whole, once, and goes on after the worker."""

import os
from collections.abc import Iterator

import pytest

from penstock.core.measure.histogram import BUCKETS, bucket_of
from penstock.dataplane.board.counters import PoolCounters, WorkerCounters
from penstock.dataplane.board.layout import (
    P_1XX_TO_5XX,
    P_HISTOGRAMS,
    P_QUEUE_SUM_US,
    P_REQUESTS,
    W_BYTES_FROM_CLIENTS,
    W_BYTES_TO_CLIENTS,
    W_REQUESTS,
)
from penstock.dataplane.board.memory import Board, create_board

FIRST_BYTE, TOTAL = 2, 3


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(1, endpoint_rows=1, pool_rows=1)
    yield made
    os.close(made.fd)


@pytest.mark.parametrize("status", [101, 200, 204, 302, 404, 503])
def test_answered_at_once_is_a_first_byte_and_an_end(board: Board, status: int) -> None:
    """It is a short way to count the same."""
    at_once, in_two = PoolCounters(board, 0, 0), PoolCounters(board, 0, 0)
    for seconds in (0.0, 0.001, 0.001, 0.02, 7.5):
        at_once.answered_at_once(status, seconds)
        in_two.record(FIRST_BYTE, seconds)
        in_two.ended(status, seconds)
    at_once.publish()
    in_two.publish()
    assert at_once.values == in_two.values


def test_what_was_published_is_published_once(board: Board) -> None:
    counters = PoolCounters(board, 0, 0)
    at = board.pool(0, 0)
    for times in (1, 2, 2):
        if times > counters.requests:
            counters.came()
            counters.answered_at_once(200, 0.001)
        counters.publish()
        cells = board.cells[at : at + P_HISTOGRAMS + 4 * BUCKETS]
        assert cells[P_REQUESTS] == cells[P_1XX_TO_5XX + 1] == times
        assert cells[P_QUEUE_SUM_US + TOTAL] == times * 1000
        assert cells[P_HISTOGRAMS + TOTAL * BUCKETS + bucket_of(1000)] == times


def test_who_comes_after_a_worker_goes_on_from_its_totals(board: Board) -> None:
    for total in (1, 2):
        counters = PoolCounters(board, 0, 0)
        counters.came()
        counters.publish()
        assert board.pool_sum(0, P_REQUESTS) == total


def test_requests_and_bytes_of_clients_are_added_to_what_tunnels_count(board: Board) -> None:
    """Those bump the list itself."""
    counters = WorkerCounters(board, 0, 1)
    for _ in range(2):
        counters.requests += 1
        counters.bytes_from_clients += 10
        counters.bytes_to_clients += 100
        counters.values[W_BYTES_TO_CLIENTS] += 1000
        counters.changed = True
        counters.publish()
    counters.publish()
    assert board.worker_sum(W_REQUESTS) == 2
    assert board.worker_sum(W_BYTES_FROM_CLIENTS) == 20
    assert board.worker_sum(W_BYTES_TO_CLIENTS) == 2200
