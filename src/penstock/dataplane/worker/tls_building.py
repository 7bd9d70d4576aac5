"""TLS contexts for endpoints, made in a thread while the loop serves."""

import socket
import ssl
import threading
from collections.abc import Callable

from penstock.core.snapshot import EndpointTls
from penstock.dataplane.io.loop import READABLE, Loop, Pollable
from penstock.dataplane.io.tls import ClientContexts, client_context

_Wanted = tuple[EndpointTls, int]


class TlsBuilding(Pollable):
    """Makes what is wanted, and calls ``then`` on the loop when it is there.

    What cannot be made is left out: whoever needs it makes it once more, and is told why not.
    """

    def __init__(
        self,
        loop: Loop,
        contexts: ClientContexts,
        wanted: list[_Wanted],
        then: Callable[[], None],
    ) -> None:
        self._reader, self._writer = socket.socketpair()
        super().__init__(self._reader.fileno())
        self._loop: Loop = loop
        self._contexts: ClientContexts = contexts
        self._wanted: list[_Wanted] = wanted
        self._then: Callable[[], None] = then
        self._made: list[tuple[_Wanted, ssl.SSLContext]] = []
        loop.add(self, READABLE)
        threading.Thread(target=self._make, name="tls", daemon=True).start()

    def on_ready(self, events: int) -> None:
        self._loop.remove(self)
        self._reader.close()
        self._writer.close()
        for key, context in self._made:
            self._contexts.add(key, context)
        self._then()

    def _make(self) -> None:
        for key in self._wanted:
            try:
                self._made.append((key, client_context(key[0])))
            except (OSError, ValueError):
                pass
        self._writer.send(b"!")
