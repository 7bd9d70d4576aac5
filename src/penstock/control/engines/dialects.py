"""What each kind of engine answers, and what it means. Pure: bytes in, a ``Reading`` out.

Only the lines of an exposition that are read are parsed: vLLM's has over a thousand.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import msgspec

from penstock.control.engines.reading import (
    UNKNOWN,
    Reading,
    Samples,
    UnreadableError,
    product,
    whole,
)
from penstock.core.snapshot import EngineMetrics

Read = Callable[[bytes], Reading]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Dialect:
    """``path`` and ``port`` (0: the endpoint's own) are where load is told.

    ``mark`` begins the names of metrics that no other engine has. ``facts`` are paths, of
    which the first that answers tells what does not change; ``capacity`` reads the cache's size.
    One that is ``makeshift`` stands in where the engine's metrics are turned off: it tells less.
    """

    name: str
    read: Read
    path: str = "/metrics"
    port: int = 0
    mark: str = ""
    facts: tuple[str, ...] = ()
    capacity: Callable[[bytes], int] | None = field(default=None)
    makeshift: bool = False
    # Where the cache may turn out larger than ``capacity`` tells, asked with each reading.
    more: str = ""
    more_capacity: Callable[[bytes], int] | None = field(default=None)
    # How many sequences it keeps, in slots that requests may choose: the first fact that tells.
    slots: Callable[[bytes], int] | None = field(default=None)


def _vllm(body: bytes) -> Reading:
    samples = Samples(_lines(body, _VLLM))
    loaded: list[str] = []
    newest = 0.0
    for labels, at in samples.of("vllm:lora_requests_info"):
        if at >= newest:  # the value is the time: engines leave old label sets behind
            newest = at
            loaded = [name for name in labels.get("running_lora_adapters", "").split(",") if name]
    return Reading(
        running=samples.sum("vllm:num_requests_running"),
        waiting=samples.sum("vllm:num_requests_waiting"),
        kv_usage=samples.mean("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        kv_capacity=_vllm_capacity(samples),
        prefix_queries=whole(
            samples.sum("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total")
        ),
        prefix_hits=whole(
            samples.sum("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")
        ),
        loaded=loaded,
    )


def _vllm_capacity(samples: Samples) -> int:
    """Models that mix kinds of attention take blocks of several sizes: newer builds tell tokens."""
    name = "vllm:cache_config_info"
    told = _capacity(samples, name, "kv_cache_size_tokens")
    return told if told > 0 else _capacity(samples, name, "block_size", "num_gpu_blocks")


def _sglang(body: bytes) -> Reading:
    samples = Samples(_lines(body, _SGLANG).replace("sglang_", "sglang:"))
    usages = _by_rank(samples, "sglang:token_usage")
    capacity = whole(sum(_by_rank(samples, "sglang:max_total_num_tokens")))
    if capacity <= 0:
        capacity = _capacity(samples, "sglang:cache_config_info", "page_size", "num_pages")
    queries = samples.sum("sglang:prompt_tokens_total")
    hits = samples.sum("sglang:cached_tokens_total")
    return Reading(
        running=_total(_by_rank(samples, "sglang:num_running_reqs")),
        waiting=_total(_by_rank(samples, "sglang:num_queue_reqs")),
        kv_usage=_total(usages) / max(len(usages), 1),
        kv_capacity=capacity,
        prefix_queries=whole(queries),
        prefix_hits=whole(0 if hits < 0 <= queries else hits),  # it is not there before the first
    )


def _by_rank(samples: Samples, name: str) -> list[float]:
    """SGLang's figures for each part of an engine that has requests of its own.

    Stages of a pipeline tell those of the same requests, as ranks that share a ``dp_rank`` do; with
    priorities there is a sample for each beside the one of all (``SchedulerMetricsCollector``).
    """
    found: dict[str, float] = {}
    for labels, value in samples.of(name):
        if not labels.get("priority"):
            rank = labels.get("dp_rank") or "tensor " + labels.get("tp_rank", "")
            found[rank] = max(value, found.get(rank, value))
    return list(found.values())


def _total(figures: list[float]) -> float:
    return sum(figures) if figures else UNKNOWN


def _sglang_loads(body: bytes) -> Reading:
    """SGLang's ``/v1/loads``, which needs no metrics."""
    ranks = _some(_decoded(body, _Loads).loads)
    usages = [rank.token_usage for rank in ranks]
    return Reading(
        running=sum(rank.num_running_reqs for rank in ranks),
        waiting=sum(rank.num_waiting_reqs for rank in ranks),
        kv_usage=UNKNOWN if UNKNOWN in usages else sum(usages) / len(usages),
        kv_capacity=sum(rank.max_total_num_tokens for rank in ranks) or UNKNOWN,
    )


def _sglang_get_load(body: bytes) -> Reading:
    """Its older ``/get_load``. The tokens that it tells include those of prompts that wait."""
    ranks = _some(_decoded(body, list[_Load]))
    waiting = sum(rank.num_waiting_reqs for rank in ranks)
    return Reading(running=max(sum(rank.num_reqs for rank in ranks) - waiting, 0), waiting=waiting)


def _tgi(body: bytes) -> Reading:
    samples = Samples(_lines(body, _TGI))
    return Reading(
        running=samples.sum("tgi_batch_current_size"), waiting=samples.sum("tgi_queue_size")
    )


def _llamacpp(body: bytes) -> Reading:
    samples = Samples(_lines(body, _LLAMACPP))
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


def _slots(body: bytes) -> Reading:
    """llama.cpp without ``--metrics``: busy slots; what waits is not told."""
    slots = _decoded(body, list[_Slot])
    return Reading(running=sum(slot.is_processing for slot in slots))


def _ollama(body: bytes) -> Reading:
    """What is resident. How busy it is, Ollama does not tell."""
    return Reading(loaded=[model.name for model in _decoded(body, _Resident).models])


def _triton(body: bytes) -> Reading:
    samples = Samples(_lines(body, _TRITON))
    requests, blocks = "nv_trt_llm_request_metrics", "nv_trt_llm_kv_cache_block_metrics"
    waiting = samples.labelled(requests, "request_type", "waiting")
    if waiting < 0:
        waiting = samples.sum("nv_inference_pending_request_count")
    size = samples.labelled(blocks, "kv_cache_block_type", "tokens_per")
    count = samples.labelled(blocks, "kv_cache_block_type", "max")
    return Reading(
        running=samples.labelled(requests, "request_type", "scheduled"),
        waiting=waiting,
        kv_usage=samples.labelled(blocks, "kv_cache_block_type", "fraction"),
        kv_capacity=whole(size * count) if size > 0 and count > 0 else UNKNOWN,
    )


def _tensorrt_llm(body: bytes) -> Reading:
    samples = Samples(_lines(body, _TENSORRT_LLM))
    size = samples.mean("trtllm_kv_cache_tokens_per_block")
    count = samples.sum("trtllm_kv_cache_max_blocks")
    return Reading(
        running=samples.sum("trtllm_num_requests_running"),
        waiting=samples.sum("trtllm_num_requests_waiting"),
        kv_usage=samples.mean("trtllm_kv_cache_utilization"),
        kv_capacity=whole(size * count) if size > 0 and count > 0 else UNKNOWN,
    )


def generic(names: EngineMetrics) -> Dialect:
    """A server whose metrics a person names."""
    beginnings = _wanted([name for name in (names.running, names.waiting, names.kv_usage) if name])

    def read(body: bytes) -> Reading:
        samples = Samples(_lines(body, beginnings))
        return Reading(
            running=samples.sum(names.running),
            waiting=samples.sum(names.waiting),
            kv_usage=samples.mean(names.kv_usage),
        )

    return Dialect("generic", read)


# --- what does not change ---------------------------------------------------------------------


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


class _Model(msgspec.Struct):
    name: str


class _Resident(msgspec.Struct):
    models: list[_Model]


class _RankLoad(msgspec.Struct):
    num_running_reqs: int
    num_waiting_reqs: int
    token_usage: float = UNKNOWN
    max_total_num_tokens: int = 0


class _Loads(msgspec.Struct):
    loads: list[_RankLoad]


class _Load(msgspec.Struct):
    num_reqs: int
    num_waiting_reqs: int


class _ServerInfo(msgspec.Struct):
    max_total_num_tokens: int = 0


class _Info(msgspec.Struct):
    max_batch_total_tokens: int | None = None


def _props(body: bytes) -> int:
    """What fits for certain. Each slot tells the whole of a memory that all share, which is how
    llama.cpp starts by default, and its part of one that was split; nothing says which it is."""
    return _decoded(body, _Props).default_generation_settings.n_ctx


def _total_slots(body: bytes) -> int:
    return _decoded(body, _SlotCount).total_slots


def _slots_capacity(body: bytes) -> int:
    """What slots hold together, or could by themselves: more than one tells is no shared memory."""
    slots = _decoded(body, list[_Slot])
    most = max((slot.n_ctx for slot in slots), default=0)
    held = sum(slot.n_prompt_tokens for slot in slots)
    return sum(slot.n_ctx for slot in slots) if held > most else most


def _server_info(body: bytes) -> int:
    return _decoded(body, _ServerInfo).max_total_num_tokens


def _info(body: bytes) -> int:
    return _decoded(body, _Info).max_batch_total_tokens or 0


# --- the list -----------------------------------------------------------------------------------


_Wanted = tuple[bytes, ...]


def _wanted(names: Iterable[str]) -> _Wanted:
    """How lines of samples of these metrics begin."""
    return tuple(name.encode() + mark for name in names for mark in (b"{", b" "))


_VLLM: Final = _wanted(
    [
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "vllm:cache_config_info",
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_queries_total",
        "vllm:gpu_prefix_cache_hits_total",
        "vllm:lora_requests_info",
    ]
)
_SGLANG: Final = _wanted(
    prefix + name
    for prefix in ("sglang:", "sglang_")
    for name in (
        "num_running_reqs",
        "num_queue_reqs",
        "token_usage",
        "max_total_num_tokens",
        "cache_config_info",
        "prompt_tokens_total",
        "cached_tokens_total",
    )
)
_TGI: Final = _wanted(["tgi_queue_size", "tgi_batch_current_size"])
_LLAMACPP: Final = _wanted(
    [
        "llamacpp:requests_processing",
        "llamacpp:requests_deferred",
        "llamacpp:kv_cache_usage_ratio",
        "llamacpp:prompt_tokens_total",
        "llamacpp:prompt_tokens_cached_total",
    ]
)
_TRITON: Final = _wanted(
    [
        "nv_trt_llm_request_metrics",
        "nv_trt_llm_kv_cache_block_metrics",
        "nv_inference_pending_request_count",
    ]
)
_TENSORRT_LLM: Final = _wanted(
    [
        "trtllm_num_requests_running",
        "trtllm_num_requests_waiting",
        "trtllm_kv_cache_utilization",
        "trtllm_kv_cache_tokens_per_block",
        "trtllm_kv_cache_max_blocks",
    ]
)

VLLM: Final = Dialect("vllm", _vllm, mark="vllm:")
SGLANG: Final = Dialect(
    "sglang",
    _sglang,
    mark="sglang",
    facts=("/server_info", "/get_server_info"),
    capacity=_server_info,
)
SGLANG_LOADS: Final = replace(SGLANG, read=_sglang_loads, path="/v1/loads", mark="", makeshift=True)
SGLANG_GET_LOAD: Final = replace(
    SGLANG, read=_sglang_get_load, path="/get_load", mark="", makeshift=True
)
TGI: Final = Dialect("tgi", _tgi, mark="tgi_", facts=("/info",), capacity=_info)
LLAMACPP: Final = Dialect(
    "llamacpp",
    _llamacpp,
    mark="llamacpp:",
    facts=("/props",),
    capacity=_props,
    more="/slots",
    more_capacity=_slots_capacity,
    slots=_total_slots,
)
LLAMACPP_SLOTS: Final = replace(LLAMACPP, read=_slots, path="/slots", mark="", makeshift=True)
OLLAMA: Final = Dialect("ollama", _ollama, path="/api/ps")
TRITON: Final = Dialect("triton", _triton, mark="nv_", port=8002)
TENSORRT_LLM: Final = Dialect(
    "tensorrt-llm", _tensorrt_llm, mark="trtllm_", path="/prometheus/metrics"
)
_MARKED: Final = (VLLM, SGLANG, TGI, LLAMACPP, TENSORRT_LLM, TRITON)
BY_NAME: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (*_MARKED, OLLAMA)}
# Where else to look for the load of an engine that does not tell it in its metrics.
MAKESHIFT: Final[Mapping[str, tuple[Dialect, ...]]] = {
    "sglang": (SGLANG_LOADS, SGLANG_GET_LOAD),
    "llamacpp": (LLAMACPP_SLOTS,),
}
# Where to look for an engine that is not known, in this order. Another port may be another
# endpoint's, so only Triton, whose port it is, is looked for there.
SOUGHT: Final = (
    ("/metrics", 0, None),
    ("/api/ps", 0, OLLAMA),
    ("/slots", 0, LLAMACPP_SLOTS),
    ("/v1/loads", 0, SGLANG_LOADS),
    ("/get_load", 0, SGLANG_GET_LOAD),
    ("/prometheus/metrics", 0, None),
    ("/metrics", 8002, None),
)


def recognised(exposition: bytes) -> Dialect | None:
    """The engine whose metrics these are. Triton's have those of an engine that it runs as well."""
    for dialect in (TRITON, *_MARKED):
        if re.search(rb"^" + dialect.mark.encode(), exposition, re.MULTILINE):
            return dialect
    return None


def _lines(body: bytes, wanted: _Wanted) -> str:
    found = [line for line in body.splitlines() if line.startswith(wanted)]
    return b"\n".join(found).decode("utf-8", "replace") + "\n"


def _capacity(samples: Samples, name: str, *labels: str) -> int:
    """The sum over ranks of the product of these labels."""
    sizes = [product(found, *labels) for found, _ in samples.of(name)]
    return sum(sizes) if sizes and UNKNOWN not in sizes else UNKNOWN


def _some(ranks: list[_T]) -> list[_T]:
    """Those of an engine, which has at least one."""
    if not ranks:
        raise UnreadableError("its answer is empty")
    return ranks


def _decoded(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"its answer cannot be read: {error}") from error
