"""The part of the document about inference engines: how their load is read."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, model_validator

from penstock.config.document.section import Section, plain, setting
from penstock.config.document.show import show
from penstock.config.document.values import (
    Count,
    FieldValue,
    Flag,
    Port,
    PositiveDuration,
    RequestTarget,
    Token,
)
from penstock.core import snapshot
from penstock.wire.engines import engine_dialects
from penstock.wire.engines.generic import GENERIC

_ENGINE: Final = snapshot.Engine()
_KV_EVENTS: Final = snapshot.KvEvents()
_METRICS: Final = snapshot.EngineMetrics()
KINDS: Final = ("auto", *engine_dialects(), GENERIC)
if TYPE_CHECKING:
    Kind = str
else:
    Kind = Literal[KINDS]  # as pydantic, and so the schema, takes choices that are found


class EngineMetrics(Section):
    """Names of Prometheus metrics of a server that is no known engine."""

    running: str = setting(_METRICS.running, "Name of the metric of running requests.")
    waiting: str = setting(_METRICS.waiting, "Name of the metric of waiting requests.")
    kv_usage: str = setting(
        _METRICS.kv_usage, "Name of the metric of the share of the cache in use, from 0 to 1."
    )


class KvEvents(Section):
    """Where engines publish what their caches hold, over ZeroMQ."""

    port: Port = setting(
        _KV_EVENTS.port,
        "Port of the engine's publisher. 0: as the engine reports at `/kv_event_sources` (vLLM), "
        "or else 5557.",
    )
    replay_port: Port = setting(
        _KV_EVENTS.replay_port,
        "Port to request missed events from. 0: as the engine reports, or else none.",
    )
    topic: str = setting(
        _KV_EVENTS.topic, "Topic to subscribe to. Empty: as the engine reports, or else all."
    )

    @model_validator(mode="after")
    def _possible(self) -> "KvEvents":
        if find_spec("zmq") is None:
            raise ValueError("`kv_events` needs pyzmq: `pip install 'penstock-lb[kv-events]'`")
        return self


def compiled_kv_events(kv_events: "KvEvents | None") -> snapshot.KvEvents | None:
    """As the snapshot has them."""
    return plain(snapshot.KvEvents, kv_events) if kv_events is not None else None


class Engine(Section):
    """How the load of inference engines is read. A kind alone stands for its `kind`."""

    kind: Kind = setting(_ENGINE.kind, "Which engine it is. `auto`: recognised by its answers.")
    interval: PositiveDuration = setting(_ENGINE.interval_s, "Time between two readings.")
    timeout: PositiveDuration = setting(_ENGINE.timeout_s, "Timeout of one reading.")
    silent_after: PositiveDuration = setting(
        _ENGINE.silent_after_s,
        "After this long without a reading, an engine is balanced by the balancer's own "
        "counts only.",
    )
    port: Port = setting(_ENGINE.port, "Port of its metrics. 0: the engine's usual one.")
    path: RequestTarget | None = setting(
        None, "Path of its metrics. Default: the engine's usual one."
    )
    headers: dict[Token, FieldValue] = setting(
        {}, "Headers of these requests, such as `Authorization`."
    )
    kv_tokens: Count = setting(
        _ENGINE.kv_tokens, "Tokens that fit in an endpoint's cache. 0: learned from the engine."
    )
    orca: Flag = setting(
        _ENGINE.orca,
        "Also request the load in the head of every response (ORCA), hidden from clients. Fresher "
        "than readings, but no two heads are the same then, which costs CPU time.",
    )
    metrics: EngineMetrics = setting(EngineMetrics(), "For the kind `generic`.")
    kv_events: KvEvents | None = setting(
        None, "Track what engines' caches hold, where engines publish it (vLLM, SGLang)."
    )
    slots: Literal["pin", "engine"] = setting(
        _ENGINE.slots,
        "Who chooses the slot of a prompt where llama.cpp has several. `engine`: the engine. "
        "`pin`: the balancer, and each conversation stays in its own slot (`id_slot`); only "
        "with one worker, and for engines whose slots do not share their KV memory.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Engine":
        named = self.metrics != EngineMetrics()
        if named != (self.kind == GENERIC):
            raise ValueError("`metrics` and `kind: generic` belong together")
        if self.silent_after < self.interval:
            raise ValueError("`silent_after` is shorter than `interval`")
        return self

    def compiled(self) -> snapshot.Engine:
        """As the snapshot has it."""
        return plain(
            snapshot.Engine,
            self,
            path=self.path or "",
            headers=tuple(self.headers.items()),
            metrics=plain(snapshot.EngineMetrics, self.metrics),
            kv_events=compiled_kv_events(self.kv_events),
        )


def _spelled(value: Any) -> Any:
    if value is False:
        return "off"
    if isinstance(value, str) and value != "off":
        if value not in KINDS:
            kinds = ", ".join(KINDS)
            raise ValueError(f"`off`, one of {kinds}, or a mapping is needed, not {show(value)}")
        return {"kind": value}
    return value


EngineOrOff = Annotated[
    Engine | Literal["off"] | None,
    BeforeValidator(_spelled, json_schema_input_type=str | bool | Engine | None),
]


def compiled_engine(engine: "Engine | Literal['off'] | None", kind: str) -> snapshot.Engine | None:
    """A pool's setting: pools that serve language models read the load unless it is `off`."""
    if engine is None:
        return snapshot.Engine() if kind == "llm" else None
    return None if engine == "off" else engine.compiled()
