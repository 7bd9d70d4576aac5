"""Endpoints whose connections begin with a PROXY header."""

import ssl

from penstock.wire.preface import BAD, FOUND, NEED_MORE
from penstock.wire.proxy_protocol import ProxyHeader, read_proxy_header
from tests.harness.endpoint import EndpointConnection, PeerGone
from tests.harness.http_endpoint import HttpEndpoint


def read_introduction(connection: EndpointConnection) -> ProxyHeader:
    """The header, and not a byte more. Raises PeerGone where the end comes before it."""
    while True:
        reading = read_proxy_header(bytes(connection.received))
        if reading.outcome == FOUND:
            assert reading.header is not None
            connection.receive_bytes(reading.size)  # it is there: what follows is to be taken next
            return reading.header
        if reading.outcome == BAD or (reading.outcome != NEED_MORE and connection.received):
            raise AssertionError(f"no PROXY header: {bytes(connection.received)!r}")
        if not connection.receive(1):
            raise PeerGone


class IntroducedEndpoint(HttpEndpoint):
    """HTTP, behind TLS if that is given, behind a header; ``introductions`` are those that came."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.introductions: list[ProxyHeader] = []
        self._behind = tls
        super().__init__()

    def _serve(self, connection: EndpointConnection) -> None:
        self.introductions.append(read_introduction(connection))
        if self._behind is not None:
            connection.socket = self._behind.wrap_socket(connection.socket, server_side=True)
        super()._serve(connection)
