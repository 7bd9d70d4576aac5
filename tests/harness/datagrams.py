"""Endpoints and clients of UDP."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.harness.waiting import PATIENCE_S, wait_until

# What an endpoint answers to a datagram: any number of them.
Answers = Callable[[bytes], list[bytes]]


def echo(data: bytes) -> list[bytes]:
    return [data]


class UdpEndpoint:
    """Answers each datagram as it is told; ``received`` is what came, and from where.

    It answers with its port before each datagram, so that clients know who answered.
    """

    def __init__(self, answers: Answers = echo, port: int = 0) -> None:
        self.answers = answers
        self.received: list[tuple[bytes, Any]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", port))
        self.host, self.port = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def mark(self) -> bytes:
        """Begins its answers."""
        return b"%d " % self.port

    def payloads(self) -> list[bytes]:
        return [data for data, _ in self.received]

    def send(self, data: bytes, address: Any) -> None:
        """Unasked."""
        self._socket.sendto(data, address)

    def close(self) -> None:
        """From here on nobody is there, and who sends hears so from ICMP."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)  # wakes the thread, though it says ENOTCONN
        self._thread.join(PATIENCE_S)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                data, address = self._socket.recvfrom(65536)
            except OSError:
                return
            if not address:  # it was shut down
                return
            self.received.append((data, address))
            for answer in self.answers(data):
                with contextlib.suppress(OSError):
                    self._socket.sendto(self.mark + answer, address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class UdpClient:
    """One socket, which sends to one address and hears from any."""

    def __init__(self, address: tuple[str, int], source: str = "127.0.0.1") -> None:
        self.address = address
        self.heard_from: Any = None
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, self.address)

    def receive(self, timeout_s: float = PATIENCE_S) -> bytes:
        """The next datagram. Raises TimeoutError."""
        self.socket.settimeout(timeout_s)
        data, self.heard_from = self.socket.recvfrom(65536)
        return data

    def has_some(self, within_s: float = 0.3) -> bool:
        """Whether a datagram waits, or comes soon."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return len(poll.poll(within_s * 1000)) > 0

    def is_silent(self, for_s: float = 0.2) -> bool:
        """Whether nothing comes for a while."""
        return not self.has_some(for_s)

    def ask(self, data: bytes) -> bytes:
        """Send, and return the answer."""
        self.send(data)
        return self.receive()

    def waiting(self, count: int) -> list[bytes]:
        """So many datagrams."""
        return [self.receive() for _ in range(count)]

    def close(self) -> None:
        self.socket.close()


def wait_for(endpoint: UdpEndpoint, count: int) -> None:
    """Until so many datagrams came to it."""
    wait_until(lambda: len(endpoint.received) >= count, f"{count} datagrams came")
