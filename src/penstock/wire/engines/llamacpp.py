"""llama.cpp's server: metrics with ``--metrics``; its slots tell the rest."""

from typing import Final

import msgspec

from penstock.wire.engines.dialect import YES, EngineDialect, Reports, decoded
from penstock.wire.engines.exposition import Samples, lines, wanted
from penstock.wire.engines.reading import UNKNOWN, Reading, whole
from penstock.wire.resume.token_ids import PROBABILITIES

_WANTED: Final = wanted(
    [
        "llamacpp:requests_processing",
        "llamacpp:requests_deferred",
        "llamacpp:kv_cache_usage_ratio",
        "llamacpp:prompt_tokens_total",
        "llamacpp:prompt_tokens_cached_total",
    ]
)


class _Generation(msgspec.Struct):
    n_ctx: int = 0


class _Props(msgspec.Struct):
    default_generation_settings: _Generation = msgspec.field(default_factory=_Generation)


class _SlotCount(msgspec.Struct):
    total_slots: int = 0


class _Slot(msgspec.Struct):
    is_processing: bool = False
    n_ctx: int = 0
    n_prompt_tokens: int = 0  # of the prompt that it has, or had last


def _read(body: bytes) -> Reading:
    samples = Samples(lines(body, _WANTED))
    computed = samples.sum("llamacpp:prompt_tokens_total")  # without what was cached
    cached = samples.sum("llamacpp:prompt_tokens_cached_total")
    told = computed >= 0 and cached >= 0
    return Reading(
        running=samples.sum("llamacpp:requests_processing"),
        waiting=samples.sum("llamacpp:requests_deferred"),
        kv_usage=samples.mean("llamacpp:kv_cache_usage_ratio"),
        prefix_queries=whole(computed + cached) if told else UNKNOWN,
        prefix_hits=whole(cached) if told else UNKNOWN,
    )


def _read_slots(body: bytes) -> Reading:
    """Busy slots; how many requests wait is not reported there."""
    slots = decoded(body, list[_Slot])
    return Reading(running=sum(slot.is_processing for slot in slots))


def _props(body: bytes) -> int:
    """What fits for certain. Each slot tells the whole of a memory that all share, which is how
    llama.cpp starts by default, and its part of one that was split; nothing says which it is."""
    return decoded(body, _Props).default_generation_settings.n_ctx


def _total_slots(body: bytes) -> int:
    return decoded(body, _SlotCount).total_slots


def _slots_capacity(body: bytes) -> int:
    """What slots hold together, or could by themselves: more than one tells is no shared memory."""
    slots = decoded(body, list[_Slot])
    most = max((slot.n_ctx for slot in slots), default=0)
    held = sum(slot.n_prompt_tokens for slot in slots)
    return sum(slot.n_ctx for slot in slots) if held > most else most


SLOTS: Final = EngineDialect(
    "llamacpp",
    "llama.cpp without `--metrics`",
    _read_slots,
    Reports("those that run", kv_capacity="context, see below"),
    path="/slots",
    info_paths=("/props",),
    capacity=_props,
    slots=_total_slots,
    more="/slots",
    more_capacity=_slots_capacity,
    is_stand_in=True,
    ids_way=PROBABILITIES,
)
DIALECT: Final = EngineDialect(
    "llamacpp",
    "llama.cpp (`--metrics`)",
    _read,
    Reports(YES, "older builds", "context, see below", YES),
    marks=("llamacpp:",),
    info_paths=("/props",),
    capacity=_props,
    slots=_total_slots,
    more="/slots",
    ids_way=PROBABILITIES,
    more_capacity=_slots_capacity,
    stand_ins=(SLOTS,),
)
