"""A server of endless SSE streams: every open stream gets one event each period, one send each.

Streams are spread over the period, as the requests of an inference engine are over its steps.
``python -m benchmarks.backends.stream_server --port 0 --period-ms 20``
"""

import gc
import select
import socket
import time
from typing import Final

import click

EVENT_BYTES: Final = 200
SLOTS: Final = 20
_FILLER: Final = "x" * (EVENT_BYTES - len('data: {"token":""}\n\n'))
EVENT: Final = f'data: {{"token":"{_FILLER}"}}\n\n'.encode()
_CHUNK: Final = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_HEALTHY: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class StreamServer:
    """One thread, one epoll."""

    def __init__(self, port: int, period_s: float) -> None:
        self._listening = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listening.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listening.fileno(), select.EPOLLIN)
        self._sockets: dict[int, socket.socket] = {}
        self._slots: list[dict[int, socket.socket]] = [{} for _ in range(SLOTS)]
        self._next_slot = 0
        self._step_s = period_s / SLOTS

    def serve(self) -> None:
        """Until the process is ended."""
        turn = 0
        due = time.monotonic()
        while True:
            wait_s = due - time.monotonic()
            for descriptor, _ in self._epoll.poll(max(wait_s, 0.0)):
                if descriptor == self._listening.fileno():
                    self._accept()
                else:
                    self._read(descriptor)
            if time.monotonic() >= due:
                self._send_to(self._slots[turn % SLOTS])
                turn += 1
                due = max(due + self._step_s, time.monotonic())

    def _send_to(self, streams: dict[int, socket.socket]) -> None:
        for descriptor, stream in list(streams.items()):
            try:
                sent = stream.send(_CHUNK)
            except BlockingIOError:
                continue  # its reader is behind: it misses one
            except OSError:
                self._close(descriptor)
                continue
            if sent < len(_CHUNK):  # half an event cannot be continued simply
                self._close(descriptor)

    def _accept(self) -> None:
        for _ in range(256):
            try:
                accepted, _peer = self._listening.accept()
            except BlockingIOError:
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[accepted.fileno()] = accepted
            self._epoll.register(accepted.fileno(), select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        """A small request arrives whole on loopback; anything else ends the connection."""
        connection = self._sockets[descriptor]
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._close(descriptor)
        elif b" /stream" in data.partition(b"\r\n")[0]:
            connection.send(_STREAM_HEAD)
            self._slots[self._next_slot % SLOTS][descriptor] = connection
            self._next_slot += 1
        else:
            connection.send(_HEALTHY)

    def _close(self, descriptor: int) -> None:
        for streams in self._slots:
            streams.pop(descriptor, None)
        self._sockets.pop(descriptor).close()


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--period-ms", type=int, required=True)
def main(port: int, period_ms: int) -> None:
    """Serve endless SSE streams at /stream, and ok elsewhere."""
    server = StreamServer(port, period_ms / 1000)
    gc.disable()
    server.serve()


if __name__ == "__main__":
    main()
