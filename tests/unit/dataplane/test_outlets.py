"""Sockets towards UDP endpoints: each has one session of every endpoint, and a place that a session
left is not another's at once."""

import errno
import socket
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from penstock.core.env import Env
from penstock.dataplane.board.layout import WORKER_CELLS
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.io.system import System
from penstock.dataplane.tunnel.outlets import FAILED, SENT, TOO_BIG, Outlets, OutletUser
from tests.harness.waiting import wait_until

A, B = ("127.0.0.1", 7001), ("127.0.0.1", 7002)
V4 = socket.AF_INET
QUIET_S = 10.0


class User(OutletUser):
    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.unreachable: list[int] = []

    def on_reply(self, data: bytes) -> None:
        self.heard.append(data)

    def on_unreachable(self, number: int, data: bytes) -> None:
        self.unreachable.append(number)


class Few(System):
    """There are so many sockets, and no more."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def datagrams(self, family: int) -> Any:
        if not self.left:
            raise OSError(errno.EMFILE, "Too many open files")
        self.left -= 1
        return super().datagrams(family)


@pytest.fixture
def outlets() -> Iterator[Outlets]:
    yield from made(100)


def made(left: int) -> Iterator[Outlets]:
    loop = Loop(Env(Random(1), 100.0), Few(left))
    outlets = Outlets(loop, [0] * WORKER_CELLS, 1000)
    yield outlets
    outlets.close_all()


def test_one_socket_has_a_session_of_each_endpoint(outlets: Outlets) -> None:
    first, second = outlets.take(V4, A, User()), outlets.take(V4, A, User())
    assert first is not second
    assert outlets.take(V4, B, User()) is first
    assert outlets.take(V4, B, User()) is second
    assert len(outlets.loop.by_fd) == 2


def test_families_have_sockets_of_their_own(outlets: Outlets) -> None:
    four = outlets.take(V4, A, User())
    six = outlets.take(socket.AF_INET6, ("::1", 7001, 0, 0), User())
    assert four is not six


def test_place_that_a_session_left_stays_empty_for_a_while(outlets: Outlets) -> None:
    first = outlets.take(V4, A, User())
    assert first is not None
    outlets.release(first, V4, A, QUIET_S)
    assert outlets.take(V4, A, User()) is not first
    assert outlets.take(V4, B, User()) is first
    outlets.loop.env.now += QUIET_S
    assert outlets.take(V4, A, User()) is first


def test_the_place_that_has_been_empty_longest_is_taken_where_sockets_have_run_out() -> None:
    for outlets in made(2):
        one, two = outlets.take(V4, A, User()), outlets.take(V4, A, User())
        assert one is not None
        assert two is not None
        assert outlets.take(V4, A, User()) is None
        outlets.release(two, V4, A, QUIET_S)
        outlets.release(one, V4, A, QUIET_S)
        assert outlets.take(V4, A, User()) is two
        assert outlets.take(V4, A, User()) is one
        assert outlets.take(V4, A, User()) is None


def test_sockets_that_nobody_uses_are_closed_and_opened_when_needed(outlets: Outlets) -> None:
    used, unused = outlets.take(V4, A, User()), outlets.take(V4, A, User())
    assert unused is not None
    outlets.release(unused, V4, A, QUIET_S)
    outlets.loop.env.now += QUIET_S
    outlets.trim(outlets.loop.env.now)
    assert list(outlets.loop.by_fd.values()) == [used]
    again = outlets.take(V4, A, User())
    assert again is not unused
    assert again is not used


def test_unreachable_endpoint_is_told_to_its_session_alone(outlets: Outlets) -> None:
    with (
        socket.socket(V4, socket.SOCK_DGRAM) as there,
        socket.socket(V4, socket.SOCK_DGRAM) as gone,
    ):
        there.bind(("127.0.0.1", 0))
        gone.bind(("127.0.0.1", 0))
        alive, dead = there.getsockname(), gone.getsockname()
        gone.close()
        fine, lost = User(), User()
        outlet = outlets.take(V4, alive, fine)
        assert outlet is not None
        assert outlets.take(V4, dead, lost) is outlet
        for _ in range(20):
            assert outlet.send(b"x", dead) in (SENT, FAILED)
            assert outlet.send(b"x", alive) == SENT
        outlet.on_ready(0)
        wait_until(lambda: bool(lost.unreachable), "it is told")
        assert set(lost.unreachable) == {errno.ECONNREFUSED}
        assert fine.unreachable == []
        there.settimeout(5.0)
        assert [there.recv(10) for _ in range(20)] == [b"x"] * 20


def test_what_cannot_be_sent_is_told(outlets: Outlets) -> None:
    outlet = outlets.take(V4, A, User())
    assert outlet is not None
    assert outlet.send(bytes(65_536), A) == TOO_BIG
    assert outlet.send(b"x", ("255.255.255.255", 9)) == FAILED
    assert outlet.error == errno.EACCES
