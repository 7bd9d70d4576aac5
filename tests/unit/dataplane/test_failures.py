"""What a worker counts of an endpoint's failures, for the detectors of outliers."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.request import Request
from penstock.core.snapshot import Connections, Endpoint, PoolTimeouts
from penstock.core.ticket import (
    CLIENT_GONE,
    CONNECT_FAILED,
    DONE,
    GARBAGE,
    RESET,
    TIMEOUT,
    Ticket,
)
from penstock.dataplane.board import (
    L_BROKEN,
    L_CONSECUTIVE_FAILURES,
    L_FAILURES,
    L_FIRST_BYTE_SUM_US,
    L_GATEWAY_ERRORS,
    L_RUN_5XX,
    L_RUN_GATEWAY,
    L_RUN_GATEWAY_ERRORS,
    L_RUN_LOCAL,
    L_TIMED,
    L_TOTAL_SUM_US,
    Board,
    create_board,
)
from penstock.dataplane.live_endpoint import ConnectionSettings, LiveEndpoint

End = tuple[int, int]  # outcome, status
_REFUSED: End = (CONNECT_FAILED, 0)
_500: End = (DONE, 500)
_503: End = (DONE, 503)
_OK: End = (DONE, 200)
_CUT: End = (RESET, 200)
_RUNS = (
    L_CONSECUTIVE_FAILURES,
    L_RUN_GATEWAY,
    L_RUN_LOCAL,
    L_RUN_5XX,
    L_RUN_GATEWAY_ERRORS,
)


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(workers=2, endpoint_rows=1, pool_rows=1)
    yield made
    os.close(made.fd)


def endpoint_of(board: Board) -> LiveEndpoint:
    spec = Endpoint(name="e", host="127.0.0.1", port=9, row=0)
    settings = ConnectionSettings(PoolTimeouts(), Connections())
    return LiveEndpoint(spec, "a", settings, board, 1, Env(Random(1)))


def settle(endpoint: LiveEndpoint, *ends: End) -> None:
    policy = create("random", {})
    for outcome, status in ends:
        ticket = Ticket(endpoint, policy, Request(), 1.0)
        ticket.status = status
        ticket.settle(outcome, 2.0)
        endpoint.settled(ticket)
    endpoint.publish()


def cells(board: Board, *which: int) -> list[int]:
    return [board.cells[board.load(0, 1) + cell] for cell in which]


@pytest.mark.parametrize(
    ("ends", "runs"),
    [
        # every failure, gateway with local, local, 5xx alone, gateway alone
        ([_503] * 3, [3, 3, 0, 3, 3]),
        ([_503, _500], [2, 0, 0, 2, 0]),
        ([_500, _REFUSED, _503], [3, 2, 0, 2, 1]),
        ([_503, _REFUSED, _REFUSED], [3, 3, 2, 1, 1]),
        ([(GARBAGE, 0), (TIMEOUT, 0), (RESET, 0)], [3, 3, 3, 0, 0]),
        ([_500, _CUT], [2, 1, 1, 0, 0]),
        ([_503, _REFUSED, _OK], [0, 0, 0, 0, 0]),
        ([_503, (CLIENT_GONE, 0)], [1, 1, 0, 1, 1]),
        ([_503, (CLIENT_GONE, 200)], [0, 0, 0, 0, 0]),
    ],
)
def test_runs_of_failures_by_kind(board: Board, ends: list[End], runs: list[int]) -> None:
    settle(endpoint_of(board), *ends)
    assert cells(board, *_RUNS) == runs


def test_errors_of_gateways_and_broken_responses_are_counted(board: Board) -> None:
    settle(endpoint_of(board), _503, _500, (DONE, 504), _CUT, _REFUSED, _OK)
    assert cells(board, L_FAILURES, L_GATEWAY_ERRORS, L_BROKEN) == [5, 2, 1]


def test_a_worker_goes_on_counting_where_the_one_before_it_ended(board: Board) -> None:
    settle(endpoint_of(board), _503, _CUT)
    successor = endpoint_of(board)
    assert cells(board, *_RUNS) == [0, 0, 0, 0, 0]
    settle(successor, _503)
    assert cells(board, L_GATEWAY_ERRORS, L_BROKEN) == [2, 1]


def test_times_are_those_of_whole_responses_and_go_on_with_the_next_worker(board: Board) -> None:
    times = (L_TIMED, L_FIRST_BYTE_SUM_US, L_TOTAL_SUM_US)
    endpoint = endpoint_of(board)
    ticket = Ticket(endpoint, create("random", {}), Request(), 1.0)
    ticket.first_byte(1.25)
    ticket.settle(DONE, 3.0)
    endpoint.settled(ticket)
    settle(endpoint, _CUT, _REFUSED, (CLIENT_GONE, 200))  # as long as they took, nobody was served
    assert cells(board, *times) == [1, 250_000, 2_000_000]
    settle(endpoint_of(board), _OK)  # no first byte was told: it came with the last
    assert cells(board, *times) == [2, 1_250_000, 3_000_000]
