"""An endpoint whose every byte is written by the test: one thread per connection plays a script."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.harness.client import RESET_ON_CLOSE
from tests.harness.flow import send_repeated
from tests.harness.waiting import PATIENCE_S, wait_until

HEAD_END = b"\r\n\r\n"


class PeerGone(Exception):
    """The balancer closed while the script still wanted something; ends the script quietly."""


class EndpointConnection:
    """The endpoint's side of one connection. ``received`` is every byte that ever came."""

    def __init__(self, number: int, accepted: socket.socket) -> None:
        self.number = number
        self.socket: socket.socket = accepted
        self.received = bytearray()
        self.closed_at = 0.0  # monotonic, when the end of the other side was seen
        self.go_on = threading.Event()  # for a script that waits for the test
        self.finished = False  # the script is over
        self.forgotten = 0  # so many of the first bytes received are of no more interest
        self._taken = 0  # of received, by receive_until
        self._reader: threading.Thread | None = None

    def receive(self, count: int = 65536) -> bytes:
        """The next bytes; empty when the other side closed or reset.

        One thread reads a connection: of two, each would get some of the bytes by chance.
        """
        if self._reader is None:
            self._reader = threading.current_thread()
        assert self._reader is threading.current_thread(), "two threads read this connection"
        try:
            data = self.socket.recv(count)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data and not self.closed_at:
            self.closed_at = time.monotonic()
        self.received += data
        return data

    def receive_until(self, marker: bytes) -> bytes:
        """Everything up to and with ``marker``. Raises PeerGone when the end comes first."""
        while (at := self.received.find(marker, self._taken)) < 0:
            if not self.receive():
                raise PeerGone
        start, self._taken = self._taken, at + len(marker)
        return bytes(self.received[start : self._taken])

    def receive_head(self) -> bytes:
        """The next request head."""
        return self.receive_until(HEAD_END)

    def receive_bytes(self, count: int) -> bytes:
        """The next ``count`` bytes. Raises PeerGone when the end comes first."""
        while len(self.received) < self._taken + count:
            if not self.receive():
                raise PeerGone
        start, self._taken = self._taken, self._taken + count
        return bytes(self.received[start : self._taken])

    def receive_to_end(self) -> None:
        """Read until the other side closes."""
        while self.receive():
            pass

    def send(self, data: bytes) -> None:
        """Raises PeerGone when the other side closed."""
        try:
            self.socket.sendall(data)
        except (ConnectionError, ssl.SSLError) as error:
            if not self.closed_at:
                self.closed_at = time.monotonic()
            raise PeerGone from error

    def send_repeated(self, piece: bytes, start: int, end: int, blocked_for_s: float) -> int:
        """``flow.send_repeated`` on this connection. Raises PeerGone."""
        try:
            return send_repeated(self.socket, piece, start, end, blocked_for_s)
        except ConnectionError as error:
            raise PeerGone from error

    def count_bytes(self, most_bytes: int) -> int:
        """Read, without keeping them, up to so many bytes or the end; how many came."""
        count = 0
        while count < most_bytes:
            data = self.socket.recv(min(1 << 20, most_bytes - count))
            if not data:
                break
            count += len(data)
        return count

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.socket.close()

    def end_sending(self) -> None:
        """Half-close."""
        with contextlib.suppress(OSError):  # the other side is gone already
            self.socket.shutdown(socket.SHUT_WR)


Script = Callable[[EndpointConnection], None]


class ScriptedEndpoint:
    """Listens on a port of its own; every connection plays ``script`` and is then closed."""

    def __init__(
        self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.script = script
        self.connections: list[EndpointConnection] = []
        self.tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, 0), family=family, backlog=512)
        self.host = host
        self.port: int = self._listening.getsockname()[1]
        self.name = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def received(self) -> bytes:
        """Every byte received and not forgotten, connection by connection."""
        return b"".join([bytes(c.received[c.forgotten :]) for c in self.connections])

    @property
    def requests_begun(self) -> int:
        """Heads received, assuming that bodies hold none."""
        return self.received.count(HEAD_END)

    def connection(self, number: int = 0) -> EndpointConnection:
        """That connection, waited for."""
        wait_until(lambda: len(self.connections) > number, f"{self.name} got connection {number}")
        return self.connections[number]

    def wait_for_end(self, number: int = 0) -> float:
        """When, on the monotonic clock, that connection's other side was seen to close."""
        connection = self.connection(number)
        wait_until(lambda: connection.closed_at > 0.0, f"connection {number} to {self.name} ended")
        return connection.closed_at

    def forget(self) -> None:
        """Leave what was received until here out of ``received``."""
        for connection in self.connections:
            connection.forgotten = len(connection.received)

    def close(self) -> None:
        """Stop listening, break every connection, wait for the scripts."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(PATIENCE_S)
        self._listening.close()
        for connection in self.connections:
            connection.go_on.set()
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), f"a script of {self.name} does not end"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            accepted.settimeout(None)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = EndpointConnection(number, accepted)
            self.connections.append(connection)
            number += 1
            thread = threading.Thread(target=self._play, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _play(self, connection: EndpointConnection) -> None:
        try:
            if self.tls is not None:
                wrapped = self.tls.wrap_socket(
                    connection.socket, server_side=True, do_handshake_on_connect=False
                )
                connection.socket = wrapped
                wrapped.do_handshake()
            self.script(connection)
        except (PeerGone, ConnectionError, ssl.SSLError):
            pass
        finally:
            connection.finished = True
            connection.close()


def refuse_connections() -> socket.socket:
    """A bound port on which nothing listens: connecting is refused, and nobody else takes it."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.bind(("127.0.0.1", 0))
    return bound
