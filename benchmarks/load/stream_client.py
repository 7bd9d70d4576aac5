"""A client of many SSE streams at once: opens them, reads whatever comes, counts events and reads.

``python -m benchmarks.load.stream_client --port 8080 --streams 200``; a line on stdin is answered
with the counts so far.
"""

import gc
import json
import os
import select
import socket
import sys
from typing import Final

import click

_REQUEST: Final = (
    b"GET /stream HTTP/1.1\r\nHost: inference.example.com\r\nUser-Agent: Client/Python 1.99\r\n"
    b"Accept: text/event-stream\r\nAuthorization: Bearer sk-0123456789abcdef\r\n\r\n"
)
_EVENT_END: Final = b"\n\n"
_OPENED_AT_ONCE: Final = 50  # so that no backlog overflows


class StreamClient:
    """One thread, one epoll. ``open`` counts streams whose response began."""

    def __init__(self, port: int, streams: int) -> None:
        self._port = port
        self._streams = streams
        self._epoll = select.epoll()
        self._epoll.register(sys.stdin.fileno(), select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: set[int] = set()  # descriptors that got no byte so far
        self._events = 0
        self._reads = 0
        self._ended = 0

    def run(self) -> None:
        """Until stdin ends."""
        while self._step():
            pass

    def _step(self) -> bool:
        opening = len(self._sockets) + self._ended < self._streams
        if opening and len(self._waiting) < _OPENED_AT_ONCE:
            self._open()
        for descriptor, _ in self._epoll.poll(0.0 if opening else 1.0):
            if descriptor != sys.stdin.fileno():
                self._read(descriptor)
            elif not self._answer():
                return False
        return True

    def _open(self) -> None:
        stream = socket.create_connection(("127.0.0.1", self._port))
        stream.send(_REQUEST)
        stream.setblocking(False)
        self._sockets[stream.fileno()] = stream
        self._waiting.add(stream.fileno())
        self._epoll.register(stream.fileno(), select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        try:
            data = self._sockets[descriptor].recv(65536)
        except OSError:
            data = b""
        if not data:
            self._ended += 1
            self._waiting.discard(descriptor)
            self._sockets.pop(descriptor).close()
            return
        self._waiting.discard(descriptor)
        events = data.count(_EVENT_END)
        if events:
            self._events += events
            self._reads += 1

    def _answer(self) -> bool:
        if not os.read(sys.stdin.fileno(), 4096):
            return False
        counts = {
            "open": len(self._sockets) - len(self._waiting),
            "events": self._events,
            "reads": self._reads,
            "ended": self._ended,
        }
        print(json.dumps(counts), flush=True)
        return True


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--streams", type=int, required=True)
def main(port: int, streams: int) -> None:
    """Hold SSE streams open and count what comes."""
    client = StreamClient(port, streams)
    gc.disable()
    client.run()


if __name__ == "__main__":
    main()
