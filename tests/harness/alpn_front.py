"""TLS in front of two plain endpoints: one for each protocol that a client may choose by ALPN."""

import contextlib
import socket
import ssl
import threading

from penstock.wire.proxy_protocol import ProxyHeader
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint
from tests.harness.introduced import read_introduction
from tests.harness.world import HasAddress


class AlpnFront(ScriptedEndpoint):
    """``chosen``: what each connection chose, in turn; ``introductions``: the PROXY headers that
    they began with, if they do so."""

    def __init__(
        self,
        context: ssl.SSLContext,
        http1: HasAddress,
        http2: HasAddress,
        *,
        introduced: bool = False,
    ) -> None:
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.chosen: list[str | None] = []
        self.introductions: list[ProxyHeader] = []
        self._context = context
        self._introduced = introduced
        self._behind = {"http/1.1": http1, "h2": http2}
        super().__init__(self._pass_on)

    def _pass_on(self, connection: EndpointConnection) -> None:
        if self._introduced:
            self.introductions.append(read_introduction(connection))
        near = self._context.wrap_socket(connection.socket, server_side=True)
        connection.socket = near
        chosen = near.selected_alpn_protocol()
        self.chosen.append(chosen)
        behind = self._behind[chosen or "http/1.1"]
        with socket.create_connection((behind.host, behind.port)) as far:
            back = threading.Thread(target=_copy, args=(far, near), daemon=True)
            back.start()
            _copy(near, far)
            with contextlib.suppress(OSError):
                far.shutdown(socket.SHUT_RDWR)  # for whoever waits for more of it
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # one of them left
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
