"""A connection to an endpoint, on its own."""

import os
import socket
from collections.abc import Iterator
from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.snapshot import Connections, Endpoint, PoolTimeouts
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.board.memory import Board, create_board
from penstock.dataplane.endpoint.address_race import Address
from penstock.dataplane.endpoint.connector import ConnectionSettings, Connector
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.io.loop import BROKEN, PEER_CLOSED, WRITABLE, Loop


@pytest.fixture
def board() -> Iterator[Board]:
    made = create_board(workers=1, endpoint_rows=1, pool_rows=1)
    yield made
    os.close(made.fd)


class Nobody(ResponseSink):
    """Wants a response that never comes."""

    def on_connected(self) -> None:
        pass

    def on_endpoint_drained(self) -> None:
        pass


@pytest.fixture
def pair(board: Board) -> Iterator[tuple[Http1Connection, socket.socket]]:
    """A connection, and the endpoint's side of it."""
    spec = Endpoint(name="e", host="127.0.0.1", port=1, row=0)
    settings = ConnectionSettings(PoolTimeouts(), Connections())
    loop = Loop(Env(Random(1)))
    connector = Connector(loop, CountedEndpoint(spec, "a", board, 0), settings)
    near, far = socket.socketpair()
    near.setblocking(False)
    address = Address(socket.AF_INET, ("127.0.0.1", 1))
    connection = Http1Connection(connector, near, address, None)
    loop.add(connection, connection.events)
    connection.begin(Nobody(), False, 0.0)
    connection.on_ready(WRITABLE)  # it is connected
    yield connection, far
    connection.close()
    far.close()


@pytest.mark.parametrize("told", [[PEER_CLOSED], [PEER_CLOSED, PEER_CLOSED | BROKEN]])
def test_more_can_be_sent_after_the_endpoint_ended_while_reading_is_paused(
    pair: tuple[Http1Connection, socket.socket], told: list[int]
) -> None:
    """It half-closed while its answer waits for a slow client, and still takes the body."""
    connection, far = pair
    connection.pause_reading()
    for events in told:
        connection.on_ready(events)
    body = b"x" * 5_000_000
    assert not connection.send(body)
    connection.resume_reading()
    taken = 0
    far.setblocking(False)
    while connection.unsent is not None:
        taken += len(far.recv(1 << 20))
        connection.on_ready(WRITABLE)
    while taken < len(body):
        taken += len(far.recv(1 << 20))
    assert taken == len(body)


def test_an_end_is_told_once_while_reading_is_paused(
    pair: tuple[Http1Connection, socket.socket],
) -> None:
    """Else the loop would spin until the client reads."""
    connection, _ = pair
    connection.pause_reading()
    connection.on_ready(PEER_CLOSED)
    assert not connection.events & PEER_CLOSED
