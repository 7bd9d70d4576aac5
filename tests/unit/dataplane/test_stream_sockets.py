"""Sockets of our C module do what Python's do, and never wait."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.dataplane.io.connection import READ_BYTES

Pair = Callable[[], tuple[Any, Any]]


def plain() -> Any:
    return socket.SocketType


def ours() -> Any:
    module = pytest.importorskip("penstock._streams", reason="the C module is not built")
    return module.StreamSocket


@pytest.fixture(params=[plain, ours])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    kind = request.param()
    made: list[Any] = []

    def make() -> tuple[Any, Any]:
        for end in socket.socketpair():
            made.append(kind(socket.AF_UNIX, socket.SOCK_STREAM, 0, end.detach()))
            made[-1].setblocking(False)
        return made[-2], made[-1]

    yield make
    for sock in made:
        sock.close()


@pytest.mark.parametrize("data", [b"a", bytearray(b"ab"), memoryview(b"abc")[1:]])
def test_what_is_sent_is_received(pair: Pair, data: bytes) -> None:
    one, other = pair()
    assert one.send(data) == len(data)
    assert other.recv(READ_BYTES) == bytes(data)


def test_no_more_is_received_than_was_asked_for(pair: Pair) -> None:
    one, other = pair()
    one.send(b"abcdef")
    assert other.recv(4) == b"abcd"
    assert other.recv(0) == b""
    assert other.recv(4) == b"ef"


def test_much_and_little_by_turns_is_the_same_bytes(pair: Pair) -> None:
    """After much, the next is received straight into what is handed out."""
    one, other = pair()
    for size in (10, 40_000, 10, READ_BYTES, 3, READ_BYTES, READ_BYTES, 1):
        sent = bytes(range(256)) * (size // 256 + 1)
        sent = sent[: one.send(sent[:size])]
        received = b""
        while len(received) < len(sent):
            received += other.recv(READ_BYTES)
        assert received == sent


def test_flags_are_heeded(pair: Pair) -> None:
    one, other = pair()
    one.send(b"ab", 0)
    assert other.recv(1, socket.MSG_PEEK) == b"a"
    assert other.recv(9) == b"ab"


def test_where_nothing_is_it_says_so_at_once(pair: Pair) -> None:
    one, other = pair()
    with pytest.raises(BlockingIOError):
        other.recv(1)
    fill = iter(lambda: one.send(bytes(READ_BYTES)), 0)
    with pytest.raises(BlockingIOError):
        list(fill)


def test_a_peer_that_left_and_a_socket_that_is_closed(pair: Pair) -> None:
    one, other = pair()
    other.close()
    assert one.recv(1) == b""
    with pytest.raises(BrokenPipeError):
        one.send(b"a")
    one.close()
    assert one.fileno() == -1
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        one.recv(1)
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        one.send(b"a")


@pytest.mark.parametrize("wrong", ["a", None, 1.5])
def test_what_is_no_bytes_or_number_is_a_type_error(pair: Pair, wrong: object) -> None:
    one, _ = pair()
    with pytest.raises(TypeError):
        one.recv(wrong)
    with pytest.raises(TypeError):
        one.send(wrong)
    with pytest.raises(ValueError, match="negative"):
        one.recv(-1)
