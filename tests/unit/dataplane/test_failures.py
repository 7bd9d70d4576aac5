"""What a worker counts of an endpoint's failures, for the detectors of outliers."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.attempt_counts import EXCUSED_FOR_S
from penstock.core.env import Env
from penstock.core.health.breaker import CLOSED, OPEN, Breaker
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
from penstock.dataplane.board.layout import (
    L_1XX_TO_5XX,
    L_BLAMELESS_5XX,
    L_BROKEN,
    L_CONSECUTIVE_FAILURES,
    L_EXCUSED,
    L_FAILURES,
    L_FIRST_BYTE_SUM_US,
    L_GARBAGE,
    L_GATEWAY_ERRORS,
    L_RUN_5XX,
    L_RUN_GATEWAY,
    L_RUN_GATEWAY_ERRORS,
    L_RUN_LOCAL,
    L_TIMED,
    L_TOTAL_SUM_US,
)
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.pool.live_endpoint import LiveEndpoint

End = tuple[int, int]  # outcome, status
_REFUSED: End = (CONNECT_FAILED, 0)
_500: End = (DONE, 500)
_501: End = (DONE, 501)
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
    return LiveEndpoint(spec, "a", settings, board, 1, Loop(Env(Random(1))))


def settle(
    endpoint: LiveEndpoint, *ends: End, at: float = 2.0, through_breaker: bool = False
) -> None:
    policy = create("random", {})
    for outcome, status in ends:
        ticket = Ticket(endpoint, policy, Request(), 1.0)
        ticket.status = status
        if through_breaker and endpoint.breaker is not None:
            ticket.breaker, ticket.breaker_epoch = endpoint.breaker, endpoint.breaker.epoch
        ticket.settle(outcome, at)
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
        ([(TIMEOUT, 0), (RESET, 0)], [2, 2, 2, 0, 0]),
        ([_503, _501, _503], [2, 2, 0, 2, 2]),
        ([_503, (DONE, 505), (DONE, 699)], [1, 1, 0, 1, 1]),
        ([_503, (GARBAGE, 0), (GARBAGE, 200)], [1, 1, 0, 1, 1]),
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


def test_what_a_server_does_not_support_is_no_failure_of_it(board: Board) -> None:
    """llama.cpp answers 501 to embeddings asked of a chat model."""
    settle(endpoint_of(board), _501, (DONE, 505), (DONE, 600), (DONE, 999))
    assert cells(board, L_FAILURES, L_1XX_TO_5XX + 4, L_BLAMELESS_5XX) == [0, 4, 4]


def test_a_circuit_stays_closed_over_what_is_not_supported_or_framed_wrongly(board: Board) -> None:
    endpoint = endpoint_of(board)
    endpoint.breaker = Breaker(failures=2)
    for end in [_501, (GARBAGE, 0), (GARBAGE, 200)] * 3:
        settle(endpoint, end, through_breaker=True)
    assert endpoint.breaker.state == CLOSED
    settle(endpoint, _500, _503, through_breaker=True)
    assert endpoint.breaker.state == OPEN


def test_wrongly_framed_answers_are_excused_while_others_are_in_order(board: Board) -> None:
    """One faulty URL makes them, and is no reason to take the endpoint from all others."""
    endpoint = endpoint_of(board)
    for at in range(100):
        settle(endpoint, (GARBAGE, 0), (GARBAGE, 200), at=float(at))
        if at % 5 == 0:
            settle(endpoint, _OK, at=float(at))
    assert cells(board, L_FAILURES, L_CONSECUTIVE_FAILURES) == [0, 0]
    assert cells(board, L_GARBAGE, L_EXCUSED, L_BROKEN) == [200, 200, 100]


def test_an_endpoint_that_gives_only_wrongly_framed_answers_is_blamed_before_long(
    board: Board,
) -> None:
    endpoint = endpoint_of(board)
    settle(endpoint, _OK, at=1.0)
    settle(endpoint, *[(GARBAGE, 0)] * 5, at=1.0 + EXCUSED_FOR_S - 0.1)
    assert cells(board, L_FAILURES) == [0]
    settle(endpoint, *[(GARBAGE, 0)] * 5, at=1.0 + EXCUSED_FOR_S)
    assert cells(board, L_FAILURES, L_CONSECUTIVE_FAILURES, L_RUN_LOCAL) == [5, 5, 5]


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
    settle(endpoint, _CUT, _REFUSED, (CLIENT_GONE, 200))  # as long as they took, nobody was served
    assert cells(board, *times) == [1, 250_000, 2_000_000]
    settle(endpoint_of(board), _OK)  # no first byte was told: it came with the last
    assert cells(board, *times) == [2, 1_250_000, 3_000_000]
