"""What tests of the admin server share."""

import os
from collections.abc import Iterator

import pytest

from penstock.dataplane.board.memory import Board, create_board
from tests.unit.admin.balancer import PlainBalancer


@pytest.fixture
def board() -> Iterator[Board]:
    """Room for two workers, eight endpoints, four pools."""
    made = create_board(2, endpoint_rows=8, pool_rows=4)
    yield made
    os.close(made.fd)


@pytest.fixture
def balancer(board: Board) -> PlainBalancer:
    return PlainBalancer(board)
