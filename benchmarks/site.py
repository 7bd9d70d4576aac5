"""What every balancer is asked to be, in one measurement."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Everywhere the same: long enough that no connection is closed for age within a measurement.
KEEP_ALIVE_S: Final = 3600
REQUESTS_PER_CONNECTION: Final = 1_000_000_000
HEALTH_INTERVAL_S: Final = 5
HEALTH_PATH: Final = "/health"
IDLE_TO_ENDPOINT: Final = 256  # idle connections kept to one endpoint
BACKLOG: Final = 4096


@dataclass(frozen=True)
class Certificate:
    """PEM files; ``bundle`` holds certificate and key together, as HAProxy reads them."""

    certificate: Path
    key: Path
    bundle: Path


@dataclass(frozen=True)
class Site:
    """One listener, one pool. ``directory`` takes configuration, logs and temporary files."""

    directory: Path
    port: int
    admin_port: int
    endpoints: list[tuple[str, int]]
    certificate: Certificate | None = None
    workers: int = 1
    streaming: bool = False  # responses are passed on unbuffered, where that is a setting
    connections: int = 1024  # clients at once
    # Of the endpoints' KV events, if they publish any; replayed at the port after each.
    kv_event_ports: tuple[int, ...] = ()
    # Or h2c and h2 (over TLS), HTTP/2 in front alone; grpc, h2c on both sides; websocket, tcp, udp.
    protocol: str = "http"
    model: str = ""  # that the endpoints serve, where they are engines

    @property
    def http2(self) -> bool:
        """Whether clients speak HTTP/2."""
        return self.protocol in ("h2c", "h2", "grpc")

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    @property
    def url(self) -> str:
        """Where clients call."""
        return f"{self.scheme}://127.0.0.1:{self.port}"
