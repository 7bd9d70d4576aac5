"""A client that opens many keep-alive connections, makes one request on each and then is silent.

``python -m benchmarks.load.idle_client --port 8080 --connections 5000``; a line on stdin is
answered, once all are open, with how many still are.
"""

import json
import select
import socket
import sys
from typing import Final

import click

_REQUEST: Final = (
    b"GET /v1/models HTTP/1.1\r\nHost: inference.example.com\r\nUser-Agent: Client/Python 1.99\r\n"
    b"Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en\r\n"
    b"Authorization: Bearer sk-0123456789abcdef\r\nX-Stainless-Lang: python\r\n\r\n"
)


def open_connection(port: int) -> socket.socket:
    """A connection whose first response has been read. Raises RuntimeError."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30.0)
    connection.sendall(_REQUEST)
    head = b""
    while b"\r\n\r\n" not in head or not head.endswith(b"}"):  # the body is a JSON object
        piece = connection.recv(65536)
        if not piece:
            raise RuntimeError(f"the connection ended after {head!r}")
        head += piece
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not the expected answer: {head!r}")
    return connection


def still_open(connections: list[socket.socket]) -> int:
    """How many the other side has not ended."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN | select.POLLRDHUP)
    return len(connections) - len(poll.poll(0))


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--connections", type=int, required=True)
def main(port: int, connections: int) -> None:
    """Open connections, use each once, and hold them."""
    held = [open_connection(port) for _ in range(connections)]
    for _ in sys.stdin:
        print(json.dumps({"open": still_open(held)}), flush=True)


if __name__ == "__main__":
    main()
