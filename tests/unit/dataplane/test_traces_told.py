"""Traced requests travel to the supervisor in messages that are never too long."""

import socket

from penstock.dataplane.io.loop import WRITABLE
from penstock.dataplane.worker.mailbox import Mailbox
from penstock.dataplane.worker.messages import Inbox
from tests.harness.fake.stage import Stage


def received(sock: socket.socket) -> bytes:
    """What came so far; empty when nothing did."""
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


def told(requests: int, dropped: int, length: int = 1) -> list[tuple[int, int]]:
    """What a supervisor that reads nothing before gets: requests and drops of each message."""
    ours, theirs = socket.socketpair()
    with ours, theirs, Stage() as stage:
        ours.setblocking(False)
        theirs.setblocking(False)
        mailbox = Mailbox(stage.worker, ours)
        mailbox.tell_traces([{"path": "a" * length} for _ in range(requests)], dropped)
        inbox = Inbox()
        messages = []
        while data := received(theirs):
            messages += inbox.feed(data)
            mailbox.on_ready(WRITABLE)  # what waits follows
    found = []
    for message in messages:
        if message["kind"] == "traces":
            some, drops = message["requests"], message["dropped"]
            assert isinstance(some, list)
            assert isinstance(drops, int)
            found.append((len(some), drops))
    return found


def test_many_go_in_several_messages() -> None:
    assert told(120, 3) == [(50, 3), (50, 0), (20, 0)]


def test_drops_alone_are_told_too() -> None:
    assert told(0, 3) == [(0, 3)]


def test_while_the_supervisor_does_not_read_they_are_dropped_and_counted() -> None:
    found = told(500, 0, length=10_000)
    assert sum(some for some, _ in found) < 500
    assert sum(some + drops for some, drops in found) == 500
