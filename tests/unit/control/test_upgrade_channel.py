"""Messages and descriptors between the supervisors of an upgrade, and who may send them."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from penstock.control.upgrade.channel import (
    Channel,
    ChannelClosedError,
    check_peer,
    connect_to,
    listen_at,
)
from penstock.control.upgrade.messages import Failed, Message, Refusal, Taken

PATIENCE_S = 20.0


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    one, other = socket.socketpair()
    with one, other:
        yield Channel(one, PATIENCE_S), Channel(other, PATIENCE_S)


def test_a_message_brings_its_descriptors_in_order_and_uninherited(
    channels: tuple[Channel, Channel],
) -> None:
    one, other = channels
    pipes = [os.pipe() for _ in range(100)]  # more than the system takes at once
    sending = Thread(target=one.send, args=(Taken(), [writer for _, writer in pipes]))
    sending.start()
    message, descriptors = other.receive()
    sending.join()
    assert message == Taken()
    assert len(descriptors) == 100
    for number, descriptor in enumerate(descriptors):
        assert not os.get_inheritable(descriptor)
        os.write(descriptor, b"%d" % number)
        assert os.read(pipes[number][0], 9) == b"%d" % number
        os.close(descriptor)
    for reader, writer in pipes:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("message", [Failed("why"), Refusal("why")])
def test_messages_follow_one_another(channels: tuple[Channel, Channel], message: Message) -> None:
    one, other = channels
    for _ in range(3):
        one.send(message)
    assert [other.receive()[0] for _ in range(3)] == [message] * 3


def test_the_end_of_the_other_side_is_told(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    one.close()
    with pytest.raises(ChannelClosedError):
        other.receive()


def test_who_waits_is_told_that_the_channel_is_closed(channels: tuple[Channel, Channel]) -> None:
    one, other = channels
    told: list[BaseException] = []

    def wait() -> None:
        try:
            other.receive()
        except ChannelClosedError as error:
            told.append(error)

    waiting = Thread(target=wait)
    waiting.start()
    one.close()
    waiting.join(PATIENCE_S)
    assert len(told) == 1


@pytest.mark.parametrize("sent", [b"\xff" * 8, b"\0\0\0\2\0\0\0\0{]", b"\0\0\0\2\0\0\0\0{}"])
def test_what_is_no_message_is_refused(sent: bytes) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(sent)
        one.shutdown(socket.SHUT_WR)
        with pytest.raises(ValueError):
            Channel(other, PATIENCE_S).receive()


def test_the_socket_is_its_users_alone_and_its_path_may_be_long(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    path = directory / "supervisor.sock"
    with listen_at(path) as listening:
        assert stat.S_IMODE(path.stat().st_mode) & 0o177 == 0
        channel = connect_to(path, PATIENCE_S)
        accepted, _ = listening.accept()
        assert check_peer(accepted) == os.getpid()
        accepted.close()
        channel.close()


def test_a_stranger_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is neither we nor root: here the peer is we, and we are told to be another."""
    one, other = socket.socketpair()
    ours = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: ours + 1)
    if ours == 0:
        assert check_peer(one) == os.getpid(), "root may"
    else:
        with pytest.raises(PermissionError, match="another user"):
            check_peer(one)
    one.close()
    other.close()
