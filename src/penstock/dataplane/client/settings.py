"""What the clients of a listener are held to."""

from penstock.core.snapshot import Listener


class ClientSettings:
    """Timeouts and limits, as plain numbers; 0: none."""

    def __init__(self, spec: Listener) -> None:
        timeouts = spec.timeouts
        limits = spec.limits
        self.listener: str = spec.name
        self.merge_slashes: bool = spec.merge_slashes
        self.headers_s: float = timeouts.client_headers_s
        self.body_idle_s: float = timeouts.client_body_idle_s
        self.keep_alive_s: float = timeouts.keep_alive_idle_s
        self.write_idle_s: float = timeouts.client_write_idle_s
        self.tls_handshake_s: float = timeouts.tls_handshake_s
        self.header_bytes: int = limits.header_bytes
        self.header_count: int = limits.header_count
        self.target_bytes: int = limits.target_bytes
        self.body_bytes: int = limits.body_bytes
        self.body_rate: int = limits.body_rate
        self.connections: int = limits.connections
        self.connections_per_address: int = limits.connections_per_address
        self.requests: int = limits.requests_per_connection
