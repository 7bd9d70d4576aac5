"""An endpoint: one server of a pool."""

from __future__ import annotations

from penstock.core.snapshot.address import LOCAL_HOST, socket_path
from penstock.core.snapshot.data import Data
from penstock.core.snapshot.engine import KvEvents


class Endpoint(Data, frozen=True):
    """``row``, its place on the board, and ``addresses`` are given by the supervisor."""

    name: str  # unique in its pool: host:port unless configured
    host: str
    port: int
    tls: bool = False
    http2: bool = False  # it speaks HTTP/2 without being asked
    weight: float = 1.0
    max_in_flight: int = 0
    priority: int = 0  # of its group: 0 first
    backup: bool = False  # behind all groups
    zone: str = ""
    models: tuple[str, ...] = ()  # that it serves; empty: it is asked, or may serve any
    kv_events: KvEvents | None = None  # its own, in place of its pool's
    base_path: str = ""  # before all paths there
    headers: tuple[tuple[str, str], ...] = ()  # of all requests there, in place of others' values
    quic_server_ids: tuple[bytes, ...] = ()  # in connection ids that it makes
    row: int = -1
    addresses: tuple[str, ...] = ()  # of a host that is a name, in the order to try them
    no_address: str = ""  # why a name has none

    @property
    def connect_host(self) -> str:
        """The address to connect to first. Names in heads and certificates are of ``host``.

        Of a server behind a socket file it is where its other ports are.
        """
        if socket_path(self.host):
            return LOCAL_HOST
        return self.addresses[0] if self.addresses else self.host
