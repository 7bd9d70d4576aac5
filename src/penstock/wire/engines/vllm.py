"""vLLM: metrics that begin with ``vllm:``; older builds call some of them otherwise."""

from typing import Final

from penstock.wire.engines.dialect import YES, EngineDialect, Reports
from penstock.wire.engines.exposition import Samples, capacity, lines, wanted
from penstock.wire.engines.reading import Reading, whole

_WANTED: Final = wanted(
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


def _read(body: bytes) -> Reading:
    samples = Samples(lines(body, _WANTED))
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
        kv_capacity=_capacity(samples),
        prefix_queries=whole(
            samples.sum("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total")
        ),
        prefix_hits=whole(
            samples.sum("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total")
        ),
        loaded=loaded,
    )


def _capacity(samples: Samples) -> int:
    """Models that mix kinds of attention take blocks of several sizes: newer builds tell tokens."""
    name = "vllm:cache_config_info"
    told = capacity(samples, name, "kv_cache_size_tokens")
    return told if told > 0 else capacity(samples, name, "block_size", "num_gpu_blocks")


DIALECT: Final = EngineDialect(
    "vllm",
    "vLLM",
    _read,
    Reports(YES, YES, YES, YES, "running adapters"),
    marks=("vllm:",),
)
