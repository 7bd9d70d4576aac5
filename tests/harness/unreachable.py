"""Addresses at which no connection can be made."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.harness.endpoint import refuse_connections
from tests.harness.world import Address


class Refusing:
    """As many addresses that refuse connections as are asked for, until it is closed."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __call__(self, count: int) -> list[Address]:
        bound = [self._stack.enter_context(refuse_connections()) for _ in range(count)]
        return [Address(each.getsockname()[1]) for each in bound]

    def close(self) -> None:
        self._stack.close()


@contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[Address]:
    """A port whose queue of connections is full, so that the kernel leaves a new one unanswered."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((host, port))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield Address(listening.getsockname()[1], host)
