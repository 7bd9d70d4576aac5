"""Both ends of what is relayed unread: an echo or a source behind, and who asks it in front.

``python -m benchmarks.load.echo serve --port 9000`` plays the endpoint: it answers a WebSocket's
handshake, if one comes, and then sends back what it gets; to who sends ``SOURCE`` it sends bytes
without end, and what begins with ``ONCE`` it sends back and closes. ``… ask --port 8080
--connections 64 --seconds 5`` counts messages there and back, with ``--fresh`` each on a connection
of its own, or with ``--megabytes`` what comes of one source; it prints one number.
"""

import base64
import hashlib
import select
import socket
import time
from typing import Final

import click

from benchmarks.limits import raise_descriptor_limit

SOURCE: Final = b"SOURCE\n"
ONCE: Final = b"ONCE\n"
_HANDSHAKE_S: Final = 30.0
_READ_BYTES: Final = 1 << 20
HEAD_END: Final = b"\r\n\r\n"
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_MEGABYTE: Final = 1_000_000
_PIECE: Final = bytes(_MEGABYTE)
# A masked text frame with 100 bytes of payload; the mask is zero, which nobody here minds.
FRAME: Final = b"\x81\xe4\0\0\0\0" + b"x" * 100
_ONE: Final = ONCE + b"x" * (len(FRAME) - len(ONCE))
HANDSHAKE: Final = (
    b"GET /echo HTTP/1.1\r\nHost: site.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@click.group()
def main() -> None:
    """One end of what is relayed."""


@main.command()
@click.option("--port", type=int, required=True)
def serve(port: int) -> None:
    """Answer until the process is ended."""
    raise_descriptor_limit()
    listening = socket.create_server(("127.0.0.1", port), backlog=4096)
    listening.setblocking(False)
    poller = select.epoll()
    poller.register(listening.fileno(), select.EPOLLIN)
    begun: dict[int, bool] = {}
    sockets: dict[int, socket.socket] = {}
    while True:
        for fd, _ in poller.poll():
            if fd == listening.fileno():
                accepted, _ = listening.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sockets[accepted.fileno()] = accepted
                begun[accepted.fileno()] = False
                poller.register(accepted.fileno(), select.EPOLLIN)
            elif not _answer(sockets[fd], fd, begun):
                poller.unregister(fd)
                sockets.pop(fd).close()


def _answer(sock: socket.socket, fd: int, begun: dict[int, bool]) -> bool:
    try:
        data = sock.recv(_READ_BYTES)
        if not data:
            return False
        if begun[fd]:
            sock.sendall(data)
            return True
        if data.startswith(ONCE):
            sock.sendall(data)
            return False  # it ends first, so that nobody in front runs out of ports
        if data == SOURCE:
            while True:  # one client, which nobody else waits for
                sock.sendall(_PIECE)
        if data.endswith(HEAD_END):
            sock.sendall(_response(data))
            begun[fd] = b"pgrade: websocket" in data
            return True
        begun[fd] = True
        sock.sendall(data)
    except OSError:
        return False
    return True


def _response(head: bytes) -> bytes:
    if b"pgrade: websocket" not in head:
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"  # a health check
    key = next(
        line.partition(b":")[2].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


@main.command()
@click.option("--port", type=int, required=True)
@click.option("--connections", default=64)
@click.option("--seconds", default=5.0)
@click.option("--websocket", is_flag=True)
@click.option("--megabytes", is_flag=True)
@click.option("--fresh", is_flag=True)
def ask(
    port: int, connections: int, seconds: float, websocket: bool, megabytes: bool, fresh: bool
) -> None:
    """Print how much came in that time."""
    if megabytes:
        click.echo(_megabytes(port, seconds))
    elif fresh:
        click.echo(_fresh(port, seconds))
    else:
        click.echo(_messages(port, connections, seconds, websocket))


def _megabytes(port: int, seconds: float) -> int:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(SOURCE)
    buffer = bytearray(_READ_BYTES)
    count = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = sock.recv_into(buffer)
        if not got:
            raise SystemExit("the connection ended")
        count += got
    return count // _MEGABYTE


def _fresh(port: int, seconds: float) -> int:
    """One at a time, until its end."""
    count = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(_ONE)
            came = 0
            while got := len(sock.recv(4096)):
                came += got
            if came != len(_ONE):
                raise SystemExit("a connection ended")
        count += 1
    return count


def open_websocket(port: int, source: str = "") -> socket.socket:
    """One that was agreed to, from that address."""
    bound = (source, 0) if source else None  # else ports may be those of connections that ended
    sock = socket.create_connection(("127.0.0.1", port), timeout=_HANDSHAKE_S, source_address=bound)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(HANDSHAKE)
    said = b""
    while not said.endswith(HEAD_END):
        piece = sock.recv(4096)
        if not piece:
            break
        said += piece
    if b" 101 " not in said.partition(b"\r\n")[0]:
        raise SystemExit(f"no WebSocket: {said!r}")
    sock.settimeout(None)
    return sock


def _messages(port: int, connections: int, seconds: float, websocket: bool) -> int:
    poller = select.epoll()
    sockets: dict[int, socket.socket] = {}
    waiting: dict[int, int] = {}
    for _ in range(connections):
        if websocket:
            sock = open_websocket(port)
        else:
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[sock.fileno()] = sock
        poller.register(sock.fileno(), select.EPOLLIN)
    count = 0
    for fd, sock in sockets.items():
        sock.sendall(FRAME)
        waiting[fd] = len(FRAME)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for fd, _ in poller.poll(0.1):
            sock = sockets[fd]
            got = len(sock.recv(4096))
            if not got:
                raise SystemExit("a connection ended")
            waiting[fd] -= got
            if waiting[fd] <= 0:
                count += 1
                waiting[fd] = len(FRAME)
                sock.sendall(FRAME)
    return count


if __name__ == "__main__":
    main()
