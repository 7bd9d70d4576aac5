"""TLS contexts with which the supervisor asks endpoints."""

import ssl

from msgspec.structs import replace

from penstock.core.snapshot import EndpointTls, Snapshot
from penstock.dataplane.io.tls import client_context


class EndpointContexts:
    """TLS contexts for asking endpoints, shared by all who ask.

    Kept, because loading the system's CAs takes tens of milliseconds.
    """

    def __init__(self) -> None:
        self._made: dict[EndpointTls, ssl.SSLContext] = {}
        self._generations: dict[EndpointTls, int] = {}

    def of(self, settings: EndpointTls, *, http2: bool = False) -> ssl.SSLContext:
        """Those of who asks over HTTP/1.1, or ``http2``, whatever the pool's requests speak.

        Raises OSError or ssl.SSLError on a bad file.
        """
        settings = replace(settings, http2="on" if http2 else "off")
        context = self._made.get(settings)
        if context is None:
            context = self._made[settings] = client_context(settings)
        return context

    def configure(self, snapshot: Snapshot) -> None:
        """This runs: files that changed are read again."""
        generations = {pool.tls: pool.tls_generation for pool in snapshot.pools}
        if generations != self._generations:
            self._generations = generations
            self._made.clear()
