"""Triton, alone or with TensorRT-LLM: metrics that begin with ``nv_``, at a port of their own."""

from typing import Final

from penstock.wire.engines.dialect import YES, EngineDialect, Reports
from penstock.wire.engines.exposition import Samples, capacity_of_blocks, lines, wanted
from penstock.wire.engines.reading import Reading

_REQUESTS: Final = "nv_trt_llm_request_metrics"
_BLOCKS: Final = "nv_trt_llm_kv_cache_block_metrics"
_PENDING: Final = "nv_inference_pending_request_count"
_WANTED: Final = wanted([_REQUESTS, _BLOCKS, _PENDING])


def _read(body: bytes) -> Reading:
    samples = Samples(lines(body, _WANTED))
    waiting = samples.labelled(_REQUESTS, "request_type", "waiting")
    if waiting < 0:
        waiting = samples.sum(_PENDING)
    return Reading(
        running=samples.labelled(_REQUESTS, "request_type", "scheduled"),
        waiting=waiting,
        kv_usage=samples.labelled(_BLOCKS, "kv_cache_block_type", "fraction"),
        kv_capacity=capacity_of_blocks(
            samples.labelled(_BLOCKS, "kv_cache_block_type", "tokens_per"),
            samples.labelled(_BLOCKS, "kv_cache_block_type", "max"),
        ),
    )


DIALECT: Final = EngineDialect(
    "triton",
    "Triton",
    _read,
    Reports(YES, "with TensorRT-LLM", "with TensorRT-LLM"),
    port=8002,
    marks=("nv_",),
    runs_others=True,
)
