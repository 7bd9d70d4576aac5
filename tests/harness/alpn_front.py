"""TLS in front of two plain endpoints: one for each protocol that a client may choose by ALPN."""

import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from tests.harness.world import HasAddress


class AlpnFront:
    """``chosen``: what each connection chose, in turn."""

    def __init__(self, context: ssl.SSLContext, http1: HasAddress, http2: HasAddress) -> None:
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.chosen: list[str | None] = []
        self._context = context
        self._behind = {"http/1.1": http1, "h2": http2}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listening.getsockname()[:2]
        self.name = f"{self.host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # whoever waits in accept is told
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        try:
            with self._context.wrap_socket(raw, server_side=True) as near:
                chosen = near.selected_alpn_protocol()
                self.chosen.append(chosen)
                behind = self._behind[chosen or "http/1.1"]
                with socket.create_connection((behind.host, behind.port)) as far:
                    back = threading.Thread(target=_copy, args=(far, near), daemon=True)
                    back.start()
                    _copy(near, far)
                    back.join()
        except OSError:
            pass  # the peer left in the middle of it


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of them left
