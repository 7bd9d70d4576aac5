"""The poller of our C module tells what Python's epoll tells."""

import errno
import os
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.dataplane.io.loop import PEER_CLOSED, READABLE, WRITABLE


def plain() -> Any:
    return select.epoll()


def ours() -> Any:
    module = pytest.importorskip("penstock._poller", reason="the C module is not built")
    return module.Poller()


@pytest.fixture(params=[plain, ours])
def poller(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param()
    yield made
    made.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    yield one, other
    one.close()
    other.close()


Ends = tuple[socket.socket, socket.socket]


def test_what_is_ready_is_told_with_its_events_alone(poller: Any, ends: Ends) -> None:
    one, other = ends
    poller.register(one.fileno(), READABLE)
    assert poller.poll(0.0, 8) == []
    other.send(b"x")
    assert poller.poll(1.0, 8) == [(one.fileno(), READABLE)]
    poller.modify(one.fileno(), WRITABLE | PEER_CLOSED)
    assert poller.poll(1.0, 8) == [(one.fileno(), WRITABLE)]
    poller.unregister(one.fileno())
    assert poller.poll(0.0, 8) == []


def test_no_more_events_are_told_than_were_asked_for(poller: Any, ends: Ends) -> None:
    for end in ends:
        poller.register(end.fileno(), WRITABLE)
    assert len(poller.poll(1.0, 1)) == 1
    assert len(poller.poll(1.0, 2)) == 2


def test_what_the_kernel_refuses_is_raised(poller: Any, ends: Ends) -> None:
    one, _ = ends
    with pytest.raises(FileNotFoundError):
        poller.modify(one.fileno(), READABLE)
    with pytest.raises(FileNotFoundError):
        poller.unregister(one.fileno())
    poller.register(one.fileno(), READABLE)
    with pytest.raises(FileExistsError):
        poller.register(one.fileno(), READABLE)


def test_a_closed_one_tells_nothing() -> None:
    made = ours()
    made.close()
    made.close()
    with pytest.raises(OSError) as told:
        made.poll(0.0, 1)
    assert told.value.errno == errno.EBADF


@pytest.mark.parametrize(("timeout_s", "most"), [(0.0, 0), (0.0, 257)])
def test_a_number_of_events_without_room_is_refused(timeout_s: float, most: int) -> None:
    with pytest.raises(ValueError, match="256 events"):
        ours().poll(timeout_s, most)


def test_its_descriptor_is_closed_with_it() -> None:
    made = ours()
    fd = made.fileno()
    del made
    with pytest.raises(OSError):
        os.fstat(fd)
