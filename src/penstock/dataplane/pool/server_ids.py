"""The endpoints of a pool by the server ids in connection ids of QUIC."""

from collections.abc import Sequence

from penstock.core import snapshot
from penstock.wire.quic import MOST_CONFIGURATIONS, connection_id_of, server_id_of


class ServerIds:
    """Which endpoint a datagram names."""

    def __init__(self, configurations: Sequence[snapshot.QuicConnectionIds]) -> None:
        self._lengths: list[int] = [0] * MOST_CONFIGURATIONS
        for each in configurations:
            self._lengths[each.config] = each.server_id_length
        self._names: dict[bytes, str] = {}

    def replace_endpoints(self, endpoints: Sequence[snapshot.Endpoint]) -> None:
        """These are in the pool from here on."""
        self._names = {
            server_id: each.name for each in endpoints for server_id in each.quic_server_ids
        }

    def endpoint_of(self, data: bytes) -> str:
        """The name of the endpoint that made the connection id of a datagram; "": of none."""
        server_id = server_id_of(connection_id_of(data), self._lengths)
        return self._names.get(server_id, "") if server_id else ""
