"""The readiness loop: events reach those they are about."""

import os
import socket
from collections.abc import Iterator
from random import Random
from time import monotonic

import pytest

from penstock._form import form
from penstock.core.env import Env
from penstock.dataplane.io.loop import READABLE, Alarm, Loop, Pollable


class Recorder(Pollable):
    """Notes that it was told; then does what it was given to do."""

    def __init__(self, fd: int, loop: Loop) -> None:
        super().__init__(fd)
        self.loop = loop
        self.told = 0
        self.rival: Recorder | None = None
        self.successor: Recorder | None = None

    def on_ready(self, events: int) -> None:
        self.told += 1
        os.read(self.fd, 100)
        rival = self.rival
        if rival is None or rival.told:
            self.loop.stop()
            return
        # The rival's event waits in this batch while its descriptor goes to somebody else.
        self.loop.remove(rival)
        silent, peer = socket.socketpair()
        silent.setblocking(False)
        os.dup2(silent.fileno(), rival.fd)
        self.successor = Recorder(rival.fd, self.loop)
        self.loop.add(self.successor, READABLE)
        silent.close()
        peer.detach()
        self.loop.stop()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(2)]
    yield made
    for one, other in made:
        one.close()
        other.close()


@pytest.mark.skipif(form() == "compiled", reason="tests cannot inherit from compiled classes")
def test_an_event_of_a_closed_descriptor_is_not_taken_for_its_successors(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    loop = Loop(Env(Random(1)))
    first, second = (Recorder(reader.fileno(), loop) for _, reader in pairs)
    first.rival, second.rival = second, first
    for item in (first, second):
        loop.add(item, READABLE)
    for writer, _ in pairs:
        writer.send(b"x")
    loop.run()
    earlier = first if first.told else second
    assert first.told + second.told == 1
    assert earlier.successor is not None
    assert earlier.successor.told == 0


class Broken(Alarm):
    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.crashed = False

    def ring(self, now: float) -> None:
        raise ZeroDivisionError

    def on_crash(self) -> None:
        self.crashed = True
        raise ZeroDivisionError


class Last(Alarm):
    def __init__(self, loop: Loop) -> None:
        self.loop = loop

    def ring(self, now: float) -> None:
        self.loop.stop()


@pytest.mark.skipif(form() == "compiled", reason="tests cannot inherit from compiled classes")
def test_an_alarm_that_crashes_ends_neither_the_loop_nor_other_alarms(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A policy of a user's own picks while one rings."""
    now = monotonic()
    loop = Loop(Env(Random(1), now))
    broken = Broken(loop)
    loop.set_alarm(broken, now)
    loop.set_alarm(Last(loop), now + 0.01)
    loop.run()
    assert broken.crashed
    assert "ZeroDivisionError" in capfd.readouterr().err
