"""SGLang: metrics with prefix ``sglang:``, ``/server_info``, ``/v1/loads``, ``/get_load``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from aiohttp import web
from prometheus_client.core import Metric

from penstock.fleet.engine.api.completions import Ids
from penstock.fleet.engine.api.sglang import GenerateApi
from penstock.fleet.engine.dialect.base import EmulatedDialect, EngineView, Names, ok

_VERSION = "0.5.5"


class Sglang(EmulatedDialect):
    """SGLang's server with ``--enable-metrics`` and ``--enable-cache-report``."""

    name: ClassVar[str] = "sglang"
    ids_in_chats: ClassVar[Ids] = "refused"
    ids_in_completions: ClassVar[Ids] = "fields"

    def routes(self, engine: EngineView) -> list[web.RouteDef]:
        async def server_info(request: web.Request) -> web.StreamResponse:
            return web.json_response(_server_info(engine))

        async def model_info(request: web.Request) -> web.StreamResponse:
            model = engine.spec.model
            return web.json_response(
                {"model_path": model, "tokenizer_path": model, "is_generation": True}
            )

        async def load(request: web.Request) -> web.StreamResponse:
            reported = engine.reported_load()
            return web.json_response(
                [
                    {
                        "dp_rank": 0,
                        "num_reqs": reported.running + reported.waiting,
                        "num_waiting_reqs": reported.waiting,
                        "num_tokens": reported.kv_used_tokens,
                    }
                ]
            )

        async def loads(request: web.Request) -> web.StreamResponse:
            return web.json_response(_loads(engine))

        async def flush_cache(request: web.Request) -> web.StreamResponse:
            done = engine.clear_cache()
            return web.Response(text="Cache flushed.\n", status=200 if done else 400)

        return [
            web.get("/health", ok),
            web.get("/health_generate", ok),
            web.get("/server_info", server_info),
            web.get("/get_server_info", server_info),
            web.get("/get_model_info", model_info),
            web.get("/model_info", model_info),
            web.get("/get_load", load),
            web.get("/v1/loads", loads),
            web.post("/generate", engine.generating(GenerateApi())),
            web.route("*", "/flush_cache", flush_cache),
        ]

    def families(self, engine: EngineView) -> Iterable[Metric]:
        load = engine.reported_load()
        seen = engine.observations
        limits = engine.limits
        names = Names("sglang:", {"model_name": engine.spec.model})
        yield names.gauge("num_running_reqs", load.running)
        yield names.gauge("num_queue_reqs", load.waiting)
        yield names.gauge("num_used_tokens", load.kv_used_tokens)
        yield names.gauge("token_usage", load.kv_usage)
        yield names.gauge("max_total_num_tokens", load.kv_tokens)
        hit_rate = load.prefix_hits_total / max(1, load.prefix_queries_total)
        yield names.gauge("cache_hit_rate", hit_rate)
        decoding_s = max(seen.token_gap_s.total, 1e-9)
        throughput = load.running * sum(seen.token_gap_s.counts) / decoding_s
        yield names.gauge("gen_throughput", throughput)
        yield names.gauge(
            "cache_config_info",
            1.0,
            page_size=str(limits.block_tokens),
            num_pages=str(limits.kv_tokens // limits.block_tokens),
        )
        yield names.counter("prompt_tokens", load.prompt_tokens_total)
        yield names.counter("generation_tokens", load.output_tokens_total)
        yield names.counter("cached_tokens", load.prefix_hits_total)
        yield names.counter("num_requests", load.finished_total)
        yield names.histogram("time_to_first_token_seconds", seen.first_token_s)
        yield names.histogram("inter_token_latency_seconds", seen.token_gap_s)
        yield names.histogram("e2e_request_latency_seconds", seen.request_s)


def _loads(engine: EngineView) -> dict[str, Any]:
    load = engine.reported_load()
    rank = {
        "dp_rank": 0,
        "num_running_reqs": load.running,
        "num_waiting_reqs": load.waiting,
        "num_total_reqs": load.running + load.waiting,
        "num_used_tokens": load.kv_used_tokens,
        "max_total_num_tokens": load.kv_tokens,
        "max_running_requests": engine.limits.max_sequences,
        "token_usage": load.kv_usage,
    }
    return {"version": _VERSION, "dp_rank_count": 1, "loads": [rank]}


def _server_info(engine: EngineView) -> dict[str, Any]:
    return {
        "model_path": engine.spec.model,
        "served_model_name": engine.spec.model,
        "version": _VERSION,
        "page_size": engine.limits.block_tokens,
        "max_total_num_tokens": engine.limits.kv_tokens,
        "max_running_requests": engine.limits.max_sequences,
        "chunked_prefill_size": engine.limits.max_batched_tokens,
        "context_length": engine.spec.max_model_tokens,
        "enable_metrics": True,
        "dp_size": 1,
        "internal_states": [{}],
    }
