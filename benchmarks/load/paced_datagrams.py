"""UDP clients at a fixed rate, who count what comes back, and how late.

``python -m benchmarks.load.paced_datagrams --port 7777 --sessions 10000 --per-s 10000`` sends each
datagram from the next of so many sockets, and prints a JSON object. A datagram has its number in it
and must come back to the socket that sent it, once.
"""

import json
import select
import socket
import struct
import time
from array import array
from contextlib import suppress
from typing import Final

import click

from benchmarks.limits import raise_descriptor_limit
from benchmarks.load.delays import told_delays

_HEAD: Final = struct.Struct("=Qd")  # number, and when it was sent
_PADDING: Final = bytes(84)
_GRACE_S: Final = 3.0  # for the last answers
_AT_ONCE: Final = 256  # sent before answers are looked for


class Clients:
    """All sockets of one process."""

    def __init__(self, port: int, sessions: int, source: str) -> None:
        self.sent = 0
        self.refused = 0  # by the system: its buffers are full
        self.came = bytearray()  # by number: how often
        self.misled = 0  # to a socket that did not send it
        self.delays = array("d")
        self._poller = select.epoll()
        self._sockets: list[socket.socket] = []
        self._numbers: dict[int, int] = {}
        for number in range(sessions):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", port))
            self._poller.register(sock.fileno(), select.EPOLLIN)
            self._sockets.append(sock)
            self._numbers[sock.fileno()] = number

    def run(self, per_s: float, seconds: float) -> None:
        """Send for so long, then wait for the last answers."""
        begun = time.monotonic()
        planned = int(per_s * seconds)
        self.came = bytearray(planned)
        while self.sent < planned:
            due = min(planned, int((time.monotonic() - begun) * per_s) + 1)
            for number in range(self.sent, min(due, self.sent + _AT_ONCE)):
                self._send(number)
            self._take(0.0 if self.sent < due else max(0.0005, 0.5 / per_s))
        end = time.monotonic() + _GRACE_S
        while time.monotonic() < end and self.lost():
            self._take(0.1)

    def lost(self) -> int:
        """Of all that were planned."""
        return self.came.count(0)

    def repeated(self) -> int:
        return sum(count - 1 for count in self.came if count > 1)

    def _send(self, number: int) -> None:
        sock = self._sockets[number % len(self._sockets)]
        self.sent += 1
        try:
            sock.send(_HEAD.pack(number, time.monotonic()) + _PADDING)
        except OSError:  # it was not sent, so that it cannot be lost
            self.refused += 1
            self.came[number] = 1

    def _take(self, wait_s: float) -> None:
        for fd, _ in self._poller.poll(wait_s, 1024):
            session = self._numbers[fd]
            with suppress(OSError):
                data = self._sockets[session].recv(2048)
                number, sent_at = _HEAD.unpack_from(data)
                self.delays.append(time.monotonic() - sent_at)
                self.came[number] = min(self.came[number] + 1, 255)
                self.misled += number % len(self._sockets) != session


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--sessions", default=1000)
@click.option("--per-s", default=1000.0)
@click.option("--seconds", default=5.0)
@click.option("--source", default="127.0.0.1")
def main(port: int, sessions: int, per_s: float, seconds: float, source: str) -> None:
    """Print what came of it."""
    raise_descriptor_limit()
    clients = Clients(port, sessions, source)
    begun = time.process_time()
    clients.run(per_s, seconds)
    told = {
        "sent": clients.sent - clients.refused,
        "lost": clients.lost(),
        "repeated": clients.repeated(),
        "misled": clients.misled,
        "cpu_s": time.process_time() - begun,
        **told_delays(clients.delays),
    }
    click.echo(json.dumps(told))


if __name__ == "__main__":
    main()
