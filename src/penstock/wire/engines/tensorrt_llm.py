"""TensorRT-LLM's own server: metrics that begin with ``trtllm_``."""

from typing import Final

from penstock.wire.engines.dialect import YES, EngineDialect, Reports
from penstock.wire.engines.exposition import Samples, capacity_of_blocks, lines, wanted
from penstock.wire.engines.reading import Reading

_WANTED: Final = wanted(
    [
        "trtllm_num_requests_running",
        "trtllm_num_requests_waiting",
        "trtllm_kv_cache_utilization",
        "trtllm_kv_cache_tokens_per_block",
        "trtllm_kv_cache_max_blocks",
    ]
)


def _read(body: bytes) -> Reading:
    samples = Samples(lines(body, _WANTED))
    return Reading(
        running=samples.sum("trtllm_num_requests_running"),
        waiting=samples.sum("trtllm_num_requests_waiting"),
        kv_usage=samples.mean("trtllm_kv_cache_utilization"),
        kv_capacity=capacity_of_blocks(
            samples.mean("trtllm_kv_cache_tokens_per_block"),
            samples.sum("trtllm_kv_cache_max_blocks"),
        ),
    )


DIALECT: Final = EngineDialect(
    "tensorrt-llm",
    "TensorRT-LLM",
    _read,
    Reports(YES, YES, YES),
    path="/prometheus/metrics",
    marks=("trtllm_",),
)
