"""Many WebSockets that are held open, each with a message now and then.

``python -m benchmarks.load.paced_websockets --port 8080 --count 9000 --every 10 --seconds 60``
opens them, says so, sends 100 bytes on each every so many seconds, spread evenly, and prints a JSON
object. A message must come back whole to the WebSocket that sent it before it sends another.
"""

import json
import select
import socket
import time
from array import array
from typing import Final

import click

from benchmarks.limits import raise_descriptor_limit
from benchmarks.load.delays import told_delays
from benchmarks.load.echo import FRAME, open_websocket

_GRACE_S: Final = 5.0  # for the last answers


class Held:
    """All WebSockets of one process."""

    def __init__(self, port: int, count: int, source: str) -> None:
        self.sent = 0
        self.lost = 0  # ended, or still awaited when another was due or all was over
        self.delays = array("d")
        self._poller = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._sent_at: dict[int, float] = {}  # of what is awaited
        self._awaited: dict[int, int] = {}  # bytes
        for _ in range(count):
            sock = open_websocket(port, source)
            sock.setblocking(False)
            self._sockets[sock.fileno()] = sock
            self._poller.register(sock.fileno(), select.EPOLLIN)

    def run(self, every_s: float, seconds: float) -> None:
        """Send for so long, then wait for the last answers."""
        order = list(self._sockets)
        gap_s = every_s / len(order)
        begun = time.monotonic()
        planned = int(seconds / gap_s)
        while self.sent < planned:
            due = min(planned, int((time.monotonic() - begun) / gap_s) + 1)
            for number in range(self.sent, due):
                self._send(order[number % len(order)])
            self._take(0.001)
        end = time.monotonic() + _GRACE_S
        while self._awaited and time.monotonic() < end:
            self._take(0.1)
        self.lost += len(self._awaited)

    def _send(self, fd: int) -> None:
        self.sent += 1
        if fd in self._awaited or fd not in self._sockets:
            self.lost += 1
            return
        self._sent_at[fd] = time.monotonic()
        self._awaited[fd] = len(FRAME)
        self._sockets[fd].send(FRAME)

    def _take(self, wait_s: float) -> None:
        for fd, _ in self._poller.poll(wait_s, 1024):
            try:
                got = len(self._sockets[fd].recv(4096))
            except OSError:
                got = 0
            if not got:
                self._poller.unregister(fd)
                self._sockets.pop(fd).close()
                self._awaited.pop(fd, None)
                self.lost += 1
                continue
            left = self._awaited.get(fd, 0) - got
            if left == 0:
                self.delays.append(time.monotonic() - self._sent_at[fd])
                del self._awaited[fd]
            elif fd in self._awaited:
                self._awaited[fd] = left
            else:
                self.lost += 1  # it got what is not its own


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--count", default=1000)
@click.option("--every", default=10.0)
@click.option("--seconds", default=60.0)
@click.option("--source", default="127.0.0.1")
def main(port: int, count: int, every: float, seconds: float, source: str) -> None:
    """Print what came of it."""
    raise_descriptor_limit()
    held = Held(port, count, source)
    click.echo("open")
    begun = time.process_time()
    held.run(every, seconds)
    told = {
        "sent": held.sent,
        "lost": held.lost,
        "cpu_s": time.process_time() - begun,
        **told_delays(held.delays),
    }
    click.echo(json.dumps(told))


if __name__ == "__main__":
    main()
