"""How endpoints that are ill are noticed, spared and taken back."""

from __future__ import annotations

from typing import Literal

from penstock.core.snapshot.data import Data


class HealthCheck(Data, frozen=True):
    """Active checks of every endpoint of a pool."""

    kind: Literal["http", "grpc", "tcp", "udp"] = "tcp"
    method: str = "GET"
    path: str = "/"
    host: str = ""  # empty: the endpoint's own
    headers: tuple[tuple[str, str], ...] = ()
    expect_statuses: tuple[tuple[int, int], ...] = ((200, 399),)  # inclusive ranges
    expect_body: str = ""  # a substring of the first 64 KiB
    service: str = ""  # of kind grpc; empty: the server as a whole
    send: bytes = b""  # of kinds tcp and udp: first, as it is
    # Of kind tcp: what the first 64 KiB that come must hold; of udp: the answer, empty for any.
    expect: bytes = b""
    port: int = 0  # 0: the endpoint's own
    interval_s: float = 5.0
    fast_interval_s: float = 1.0  # while the verdict is in doubt
    timeout_s: float = 2.0
    rise: int = 2
    fall: int = 3
    jitter: float = 0.1  # share of the interval
    initial: Literal["up", "down"] = "up"  # what STARTING counts as until the first verdict


class AgentCheck(Data, frozen=True):
    """An agent beside every endpoint of a pool that says how much it can take (HAProxy)."""

    port: int
    send: str = ""  # first, as it is
    interval_s: float = 2.0
    timeout_s: float = 2.0


class Outlier(Data, frozen=True):
    """Passive detection (Envoy's values; 0: off).

    Those of local failures (``core.outlier``) count only where these are split off.
    """

    enabled: bool = True
    split_local_failures: bool = False
    consecutive_failures: int = 5
    consecutive_gateway_failures: int = 0  # Envoy: 5, enforced in 0%
    consecutive_local_failures: int = 5
    failure_share: float = 0.85
    local_failure_share: float = 0.85
    failure_share_min_requests: int = 50
    success_rate_stdev_factor: float = 1.9
    local_success_rate_stdev_factor: float = 1.9
    success_rate_min_endpoints: int = 5
    success_rate_min_requests: int = 100
    silence_s: float = 0.0
    interval_s: float = 10.0
    base_ejection_s: float = 30.0
    max_ejection_s: float = 300.0
    max_ejected_share: float = 0.1  # at least one endpoint may always be ejected


class SlowStart(Data, frozen=True):
    window_s: float = 0.0  # 0: off
    aggression: float = 1.0
    min_share: float = 0.1


class Breaker(Data, frozen=True):
    """A circuit breaker for each endpoint, in each worker (core/health/breaker.py)."""

    failures: int = 5  # in a row
    open_s: float = 5.0
    max_open_s: float = 60.0
    trials: int = 1  # at a time while half-open
