"""An endpoint at work: what it takes over from the configuration and from the board."""

import os
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.snapshot import Connections, Endpoint, EndpointTls, PoolTimeouts
from penstock.dataplane.board import S_MAX_IN_FLIGHT, Board, create_board
from penstock.dataplane.live_endpoint import Address, ConnectionSettings, LiveEndpoint


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(workers=1, endpoint_rows=1, pool_rows=1)
    yield made
    os.close(made.fd)


@pytest.mark.parametrize(("said", "bound"), [(0, 7), (31, 30), (1, 0)])
def test_the_bound_that_an_agent_asks_for_comes_before_the_configured_one(
    board: Board, said: int, bound: int
) -> None:
    spec = Endpoint(name="e", host="127.0.0.1", port=9, row=0, max_in_flight=7)
    settings = ConnectionSettings(PoolTimeouts(), Connections())
    endpoint = LiveEndpoint(spec, "a", settings, board, 0, Env(Random(1)))
    endpoint.configure(spec, settings, Address(2, ("127.0.0.1", 9)), None, EndpointTls())
    board.cells[board.state(0) + S_MAX_IN_FLIGHT] = said
    endpoint.read_state()
    assert endpoint.max_in_flight == bound
