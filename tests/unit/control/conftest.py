"""What tests of the control plane share: boards, a clock that is moved by hand, fake workers."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock.control.events import Events
from penstock.control.workers.sockets import ListeningSockets
from penstock.control.workers.workers import Workers
from penstock.dataplane.board.memory import Board, create_board

FAKE_WORKER = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(clock: Clock) -> Events:
    return Events(clock)


@pytest.fixture
def board() -> Iterator[Board]:
    """Room for two workers, eight endpoints, four pools."""
    made = create_board(2, endpoint_rows=8, pool_rows=4)
    yield made
    os.close(made.fd)


@pytest.fixture
def sockets() -> Iterator[ListeningSockets]:
    made = ListeningSockets(2)
    yield made
    made.close_except(())


@pytest.fixture
async def workers(
    board: Board, sockets: ListeningSockets, events: Events
) -> AsyncIterator[Workers]:
    """Two fake ones, not started."""
    made = Workers(board, sockets, events, command=FAKE_WORKER)
    yield made
    await made.kill()
