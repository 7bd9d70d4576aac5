"""What other balancers have at an endpoint counts for a worker's choice; of its bound this balancer
has what it leased."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.snapshot import Connections, Endpoint, EndpointTls, PoolTimeouts
from penstock.dataplane.board.layout import (
    O_IN_FLIGHT,
    O_KV_TOKENS,
    O_PENDING_PREFILL,
    O_PLACES,
    R_SLOTS,
)
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.pool.live_endpoint import LiveEndpoint


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(workers=1, endpoint_rows=2, pool_rows=1)
    yield made
    os.close(made.fd)


def endpoint_on(board: Board, env: Env) -> LiveEndpoint:
    spec = Endpoint(name="e", host="127.0.0.1", port=9, row=1, max_in_flight=5)
    settings = ConnectionSettings(PoolTimeouts(), Connections())
    endpoint = LiveEndpoint(spec, "a", settings, Board(board.fd), 0, Loop(env))
    endpoint.configure(spec, settings, [], None, EndpointTls())
    return endpoint


def test_a_single_worker_counts_what_other_balancers_have(board: Board) -> None:
    board.share()
    env = Env(Random(1))
    endpoint = endpoint_on(board, env)
    endpoint.acquire()
    at = board.others(1)
    board.cells[at + O_IN_FLIGHT] = 5
    board.cells[at + O_PENDING_PREFILL] = 700
    board.cells[at + O_KV_TOKENS] = 9000
    assert endpoint.load() == 6
    assert endpoint.has_room(), "where no places are leased, `max_in_flight` is of one balancer"
    assert not endpoint.is_overfull()
    endpoint.read_tokens_elsewhere()
    assert endpoint.tokens_elsewhere.pending_prefill == 700
    assert endpoint.tokens_elsewhere.held == 9000
    board.cells[at + O_IN_FLIGHT] = 0
    env.now += 1.0
    assert endpoint.load() == 1


def test_of_its_bound_this_balancer_has_what_it_leased(board: Board) -> None:
    board.share()
    endpoint = endpoint_on(board, Env(Random(1)))
    places = board.others(1) + O_PLACES
    board.cells[places] = 2 + 1
    for _ in range(2):
        assert endpoint.has_room()
        endpoint.acquire()
        assert not endpoint.is_overfull()
    assert not endpoint.has_room()
    endpoint.acquire()
    assert endpoint.is_overfull()
    board.cells[places] = 9 + 1
    assert endpoint.has_room()
    board.cells[places] = 0 + 1
    assert not endpoint.has_room()


def test_without_a_store_nobody_looks(board: Board) -> None:
    endpoint = endpoint_on(board, Env(Random(1)))
    board.cells[board.others(1) + O_IN_FLIGHT] = 5
    assert endpoint.load() == 0


def test_slots_are_not_chosen_where_other_balancers_send_too(board: Board) -> None:
    """They would not know of each other's prompts there."""
    board.cells[board.report(1) + R_SLOTS] = 4
    board.cells[board.report(1)] = 1
    alone = endpoint_on(board, Env(Random(1)))
    alone.take_report()
    assert alone.slots is not None
    board.share()
    shared = endpoint_on(board, Env(Random(1)))
    shared.take_report()
    assert shared.slots is None


def test_a_row_that_is_given_to_another_endpoint_has_nothing_of_others(board: Board) -> None:
    board.cells[board.others(0) + O_IN_FLIGHT] = 1
    board.cells[board.others(1) + O_IN_FLIGHT] = 2
    board.clear_others(0)
    assert board.cells[board.others(0) + O_IN_FLIGHT] == 0
    assert board.cells[board.others(1) + O_IN_FLIGHT] == 2
