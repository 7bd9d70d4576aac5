"""What is asked of inference engines, and the models that they serve."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from penstock.core.snapshot.data import Data


class EngineMetrics(Data, frozen=True):
    """Names of a server's own Prometheus metrics, for one that is none of the known engines."""

    running: str = ""
    waiting: str = ""
    kv_usage: str = ""  # 0..1


class KvEvents(Data, frozen=True):
    """Where an engine publishes what its KV cache holds, over ZeroMQ."""

    port: int = 0  # 0: the engine is asked, or it is the usual one
    replay_port: int = 0  # 0: as the engine tells, or what was missed cannot be asked for
    topic: str = ""  # empty: as the engine tells, or all


class Engine(Data, frozen=True):
    """How the load of the inference engines of a pool is read."""

    kind: str = "auto"  # `wire.engines` has their names; "auto": found out; "generic": `metrics`
    interval_s: float = 1.0
    timeout_s: float = 1.0
    silent_after_s: float = 5.0  # then a report counts no more
    port: int = 0  # of the metrics; 0: the engine's usual one
    path: str = ""  # of the metrics; empty: the engine's usual one
    headers: tuple[tuple[str, str], ...] = ()
    kv_tokens: int = 0  # that fit in an endpoint's cache; 0: learned from its metrics
    orca: bool = False  # responses are asked for the load in their heads
    metrics: EngineMetrics = EngineMetrics()
    kv_events: KvEvents | None = None
    slots: Literal["pin", "engine"] = "engine"  # who chooses the slot of a prompt (llama.cpp)


class ServedModel(Data, frozen=True):
    """A model as an endpoint lists it; an adapter's ``parent`` is its base model."""

    id: str
    parent: str = ""
    created: int = 0  # Unix time
    owned_by: str = ""
    max_tokens: int = 0  # of a prompt and its answer; 0: not told
    listed: str = ""  # its whole description there, a JSON object; empty where it is too long


class Models(Data, frozen=True):
    """Names of models: by alias, models with their weights; by model, what stands in for it."""

    discover_s: float = 30.0  # between two looks at what endpoints serve; 0: they are not asked
    aliases: dict[str, dict[str, float]] = field(default_factory=dict)
    fallbacks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    default: str = ""  # of requests that name none
    answers: Literal["served", "asked"] = "served"  # whose name answers tell
