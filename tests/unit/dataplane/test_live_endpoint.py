"""An endpoint at work: what it takes over from the configuration and from the board."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.snapshot import Connections, Endpoint, EndpointTls, PoolTimeouts
from penstock.dataplane.board import (
    R_AT_US,
    R_COLD,
    R_PREFIX_HITS,
    S_MAX_IN_FLIGHT,
    Board,
    create_board,
)
from penstock.dataplane.live_endpoint import Address, ConnectionSettings, LiveEndpoint
from penstock.wire.openai import CHAT, EMBEDDING


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(workers=1, endpoint_rows=1, pool_rows=1)
    yield made
    os.close(made.fd)


def endpoint_on(board: Board) -> LiveEndpoint:
    spec = Endpoint(name="e", host="127.0.0.1", port=9, row=0, max_in_flight=7)
    settings = ConnectionSettings(PoolTimeouts(), Connections())
    endpoint = LiveEndpoint(spec, "a", settings, board, 0, Env(Random(1)))
    endpoint.configure(spec, settings, Address(2, ("127.0.0.1", 9)), None, EndpointTls())
    return endpoint


@pytest.mark.parametrize(("said", "bound"), [(0, 7), (31, 30), (1, 0)])
def test_the_bound_that_an_agent_asks_for_comes_before_the_configured_one(
    board: Board, said: int, bound: int
) -> None:
    endpoint = endpoint_on(board)
    board.cells[board.state(0) + S_MAX_IN_FLIGHT] = said
    endpoint.read_state()
    assert endpoint.max_in_flight == bound


def test_an_engine_that_tells_hits_alone_tells_misses_by_silence(board: Board) -> None:
    endpoint = endpoint_on(board)
    assert endpoint.cached_tokens(CHAT, -1) == -1  # it may tell nothing ever
    assert endpoint.cached_tokens(CHAT, 64) == 64
    assert endpoint.cached_tokens(CHAT, -1) == 0
    assert endpoint.cached_tokens(EMBEDDING, -1) == -1  # another answer, other habits


def test_the_silence_of_an_engine_that_tells_misses_tells_nothing(board: Board) -> None:
    endpoint = endpoint_on(board)
    endpoint.cached_tokens(CHAT, 0)
    endpoint.cached_tokens(CHAT, 64)
    assert endpoint.cached_tokens(CHAT, -1) == -1


def test_an_engine_that_was_restarted_may_have_other_habits(board: Board) -> None:
    endpoint = endpoint_on(board)
    endpoint.cached_tokens(CHAT, 64)
    board.cells[board.report(0) + R_COLD] += 1
    board.cells[board.report(0) + R_AT_US] = 1
    endpoint.take_report()
    assert endpoint.cached_tokens(CHAT, -1) == -1


def test_an_engine_that_never_hit_is_known_by_its_counters_while_they_are_young(
    board: Board,
) -> None:
    endpoint = endpoint_on(board)
    at = board.report(0)
    for number, (hits, never) in enumerate([(-1, False), (0, True), (16, False), (0, True)]):
        board.cells[at + R_PREFIX_HITS] = hits
        board.cells[at + R_AT_US] = 1 + number
        endpoint.take_report()
        assert endpoint.never_hit is never
    endpoint.expire_report(1e9, 5.0)
    assert not endpoint.never_hit
