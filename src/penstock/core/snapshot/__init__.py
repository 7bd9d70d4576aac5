"""A snapshot: the whole configured world as immutable data, replaced in one step.

``config.compile`` makes it from the document, the supervisor fills in the board rows and sends
it, a worker builds its listeners, routes and pools from it. Durations are seconds, sizes bytes.
None of it is compiled: it is read only when a snapshot is applied.

``listener``, ``route`` and ``pool`` are what a document has; a pool's larger parts are ``health``,
``admission`` and ``engine``.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import field

from penstock.core.snapshot.admission import (
    MAX_PRIORITY,
    Admission,
    CoDel,
    LimitChoice,
    Queue,
    Shedding,
    SuccessRate,
    Throttle,
)
from penstock.core.snapshot.data import Data
from penstock.core.snapshot.discovery import Discovery
from penstock.core.snapshot.endpoint import Endpoint
from penstock.core.snapshot.engine import (
    Engine,
    EngineMetrics,
    KvEvents,
    Models,
    ServedModel,
)
from penstock.core.snapshot.forecast import Forecast
from penstock.core.snapshot.health import (
    AgentCheck,
    Breaker,
    HealthCheck,
    Outlier,
    SlowStart,
)
from penstock.core.snapshot.limit import Limit, Price
from penstock.core.snapshot.listener import (
    Acme,
    Certificate,
    Http2,
    Limits,
    Listener,
    ListenerTimeouts,
    ListenerTls,
)
from penstock.core.snapshot.metrics import MetricsPush
from penstock.core.snapshot.pool import (
    Connections,
    Decisions,
    Drain,
    EndpointTls,
    FirstTokenHeader,
    HashKey,
    Hedge,
    Maintenance,
    PolicyChoice,
    Pool,
    PoolTimeouts,
    Probe,
    QuicConnectionIds,
    Resume,
    Retry,
    Sticky,
    WebSocketDeflate,
    WebSocketResponses,
)
from penstock.core.snapshot.route import (
    BasicAuth,
    Compression,
    ErrorPage,
    FixedResponse,
    ForwardAuth,
    HeaderEdit,
    HeaderMatch,
    Match,
    Redirect,
    Rewrite,
    Route,
    WeightedPool,
)
from penstock.core.snapshot.scale import ActuatorChoice, Scale, ScaleWindow
from penstock.core.snapshot.split import Split
from penstock.core.snapshot.tenant import Key, Tenant, TokenIssuer
from penstock.core.snapshot.traces import Traces

__all__ = [
    "MAX_PRIORITY",
    "Acme",
    "ActuatorChoice",
    "Admission",
    "AgentCheck",
    "BasicAuth",
    "Breaker",
    "Certificate",
    "CoDel",
    "Compression",
    "Connections",
    "Decisions",
    "Discovery",
    "Drain",
    "Endpoint",
    "EndpointTls",
    "Engine",
    "EngineMetrics",
    "ErrorPage",
    "FirstTokenHeader",
    "FixedResponse",
    "Forecast",
    "ForwardAuth",
    "HashKey",
    "HeaderEdit",
    "HeaderMatch",
    "HealthCheck",
    "Hedge",
    "Http2",
    "Key",
    "KvEvents",
    "Limit",
    "LimitChoice",
    "Limits",
    "Listener",
    "ListenerTimeouts",
    "ListenerTls",
    "Maintenance",
    "Match",
    "MetricsPush",
    "Models",
    "Outlier",
    "PolicyChoice",
    "Pool",
    "PoolTimeouts",
    "Price",
    "Probe",
    "Queue",
    "QuicConnectionIds",
    "Redirect",
    "RequestLog",
    "Resume",
    "Retry",
    "Rewrite",
    "Route",
    "Scale",
    "ScaleWindow",
    "ServedModel",
    "Shedding",
    "SlowStart",
    "Snapshot",
    "Split",
    "Sticky",
    "SuccessRate",
    "Tenant",
    "Throttle",
    "TokenIssuer",
    "Traces",
    "WebSocketDeflate",
    "WebSocketResponses",
    "WeightedPool",
    "decode_snapshot",
]


# Descriptors that a worker takes with one read, and Linux passes in one message (SCM_MAX_FD, 253).
MAX_LISTENERS: Final = 64
MOST_PROMPT_BYTES: Final = 256 << 20


class RequestLog(Data, frozen=True):
    target: Literal["off", "stdout", "file", "syslog"] = "off"
    path: str = ""  # of the file; of syslog a socket file's, or an address and a port
    format: Literal["json", "common", "combined", "haproxy"] = "json"
    sample: float = 1.0  # share of requests that went well which have a line
    hide_query: tuple[str, ...] = ()  # parameters whose values are not told
    clients: Literal["whole", "network", "off"] = "whole"  # what of their addresses is told


class Snapshot(Data, frozen=True):
    """Routes are tried in order; the first that matches wins."""

    generation: int
    listeners: tuple[Listener, ...]
    routes: tuple[Route, ...]
    pools: tuple[Pool, ...]
    request_log: RequestLog = RequestLog()
    traces: Traces | None = None
    metrics: MetricsPush | None = None
    prompt_bytes: int = MOST_PROMPT_BYTES  # of bodies that are read whole, in each worker
    # For errors of all routes and pools but those of language models, whose clients read their own.
    error_pages: tuple[ErrorPage, ...] = ()
    via: str = "penstock"  # the pseudonym in Via (RFC 9110, 7.6.3)
    prices: dict[str, Price] = field(default_factory=dict)  # by model
    tenants: tuple[Tenant, ...] = ()  # of the configuration file
    token_issuers: tuple[TokenIssuer, ...] = ()
    tenants_directory: str = ""  # where further ones stand; "": nowhere
    found_tenants: tuple[Tenant, ...] = ()  # there; the supervisor adds them
    instance: str = (
        ""  # of this balancer, all workers; told in Via, to know requests that come back
    )

    # Of ACME, while certificates are ordered: what is answered at these paths, to anybody.
    tokens: dict[str, str] = msgspec.field(default_factory=dict)

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


def decode_snapshot(encoded: bytes) -> Snapshot:
    """The inverse of ``Snapshot.encode``. Raises msgspec.ValidationError."""
    return msgspec.json.decode(encoded, type=Snapshot)
