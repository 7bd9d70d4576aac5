"""Both ends of UDP sessions: an echo behind, and who sends in front.

``python -m benchmarks.load.datagrams serve --port 9000`` sends back what it gets. ``… ask --port
7777 --sessions 1000 --seconds 5`` sends from so many sockets in turn, a few datagrams under way
at a time, and prints how many came back.
"""

import select
import socket
import time
from contextlib import suppress
from typing import Final

import click

_PAYLOAD: Final = b"x" * 100
_ROOM_BYTES: Final = 4 << 20
# Fits every balancer's receive buffer as the system gives it unasked: 212,992 bytes, of which a
# small datagram takes 768.
_UNDER_WAY: Final = 128
_LOST_AFTER_S: Final = 0.5
_SO_RCVBUFFORCE: Final = 33


@click.group()
def main() -> None:
    """One end of what is relayed."""


@main.command()
@click.option("--port", type=int, required=True)
def serve(port: int) -> None:
    """Answer until the process is ended."""
    sock = bound(port)
    while True:
        data, address = sock.recvfrom(65536)
        sock.sendto(data, address)


def bound(port: int) -> socket.socket:
    """A socket with room for bursts."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM_BYTES)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM_BYTES)
    sock.bind(("127.0.0.1", port))
    return sock


@main.command()
@click.option("--port", type=int, required=True)
@click.option("--sessions", default=1000)
@click.option("--seconds", default=5.0)
def ask(port: int, sessions: int, seconds: float) -> None:
    """Print how many datagrams came back in that time."""
    poller = select.epoll()
    sockets: list[socket.socket] = []
    numbers: dict[int, socket.socket] = {}
    for _ in range(sessions):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))
        poller.register(sock.fileno(), select.EPOLLIN)
        sockets.append(sock)
        numbers[sock.fileno()] = sock
    turn = 0
    count = 0
    now = time.monotonic()
    end = now + seconds
    heard_at = 0.0
    while now < end:
        if now - heard_at > _LOST_AFTER_S:  # at the start, and when all under way are lost
            for _ in range(_UNDER_WAY):
                sockets[turn % sessions].send(_PAYLOAD)
                turn += 1
            heard_at = now
        for fd, _ in poller.poll(0.1, _UNDER_WAY):
            with suppress(BlockingIOError, ConnectionRefusedError):
                numbers[fd].recv(2048)
                count += 1
                heard_at = now
                sockets[turn % sessions].send(_PAYLOAD)
                turn += 1
        now = time.monotonic()
    click.echo(count)


if __name__ == "__main__":
    main()
