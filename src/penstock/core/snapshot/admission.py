"""What may turn a request away, or let it wait."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import field

from penstock.core.snapshot.data import Data

MAX_PRIORITY: Final = 1023  # each has a line of its own in the queue


class LimitChoice(Data, frozen=True):
    """A limit on concurrency by its name (core/admission)."""

    name: str
    options: dict[str, int | float | str | bool] = field(default_factory=dict)


class CoDel(Data, frozen=True):
    """RFC 8289's values."""

    target_s: float = 0.005
    interval_s: float = 0.1


class Queue(Data, frozen=True):
    """Requests that wait until there is room for them; ``length`` of them over all workers."""

    length: int = 100
    timeout_s: float = 10.0
    newest_first_above: float = 1.0  # share of the length; 1: never
    codel: CoDel | None = None
    # What becomes of requests that come while no endpoint that they can use is up. Those that
    # wait already go on waiting.
    while_down: Literal["refuse", "wait"] = "refuse"
    patience_s: float = 5.0  # of a class that others go before; 0: without end
    prefix_credit: int = 2048  # tokens in a cache for which a tenant may go before its turn
    # How often a request that has no token yet may lose its place to a more important one.
    preemptions: int = 0


class Throttle(Data, frozen=True):
    """Client-side throttling ("Site Reliability Engineering", chapter 21)."""

    k: float = 2.0
    window_s: float = 120.0


class SuccessRate(Data, frozen=True):
    """Admission by success rate (Envoy's values)."""

    threshold: float = 0.95
    aggression: float = 1.0
    window_s: float = 30.0
    max_refusal: float = 0.8
    min_rate: float = 0.0  # requests a second under which nobody is refused


class Shedding(Data, frozen=True):
    """Priority shedding (DAGOR's values)."""

    levels: int = 128
    mean_wait_s: float = 0.02


class Admission(Data, frozen=True):
    """What may turn a request away, or let it wait, before an endpoint is chosen."""

    limit: LimitChoice | None = None
    queue: Queue | None = None
    throttle: Throttle | None = None
    success_rate: SuccessRate | None = None
    shedding: Shedding | None = None
    # Lower case; its value: 0 (most important) to MAX_PRIORITY, or one of ``priorities``.
    priority_header: str = ""
    priority_clients: tuple[str, ...] = ()  # networks whose header counts
    priorities: dict[str, int] = field(default_factory=dict)  # classes, by what tenants call them
    default_priority: int = 64
