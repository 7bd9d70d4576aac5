"""vLLM: metrics with prefix ``vllm:``, ``/load``, ``/tokenize``, ORCA headers on request."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import ClassVar

import msgspec
from aiohttp import web
from prometheus_client.core import Metric

from penstock.fleet.engine.api.completions import Ids
from penstock.fleet.engine.dialect.base import EmulatedDialect, EngineView, Names, ok
from penstock.fleet.engine.intake import prompt_of
from penstock.fleet.engine.protocol import ChatRequest, CompletionRequest
from penstock.fleet.engine.text import padded, token_ids

_VERSION = "0.11.0"


class Vllm(EmulatedDialect):
    """vLLM's V1 engine and its API server."""

    name: ClassVar[str] = "vllm"
    ids_in_chats: ClassVar[Ids] = "fields"
    ids_in_completions: ClassVar[Ids] = "fields"

    def routes(self, engine: EngineView) -> list[web.RouteDef]:
        async def version(request: web.Request) -> web.StreamResponse:
            return web.json_response({"version": _VERSION})

        async def load(request: web.Request) -> web.StreamResponse:
            reported = engine.reported_load()
            return web.json_response({"server_load": reported.running + reported.waiting})

        async def tokenize(request: web.Request) -> web.StreamResponse:
            return _tokenized(engine, await request.read())

        async def reset_prefix_cache(request: web.Request) -> web.StreamResponse:
            engine.clear_cache()
            return web.Response()

        async def kv_event_sources(request: web.Request) -> web.StreamResponse:
            return web.json_response(_sources(engine))

        return [
            web.get("/kv_event_sources", kv_event_sources),
            web.get("/health", ok),
            web.get("/version", version),
            web.get("/load", load),
            web.post("/tokenize", tokenize),
            web.post("/reset_prefix_cache", reset_prefix_cache),
        ]

    def families(self, engine: EngineView) -> Iterable[Metric]:
        load = engine.reported_load()
        seen = engine.observations
        limits = engine.limits
        names = Names("vllm:", {"engine": "0", "model_name": engine.spec.model})
        yield names.gauge("num_requests_running", load.running)
        yield names.gauge("num_requests_waiting", load.waiting)
        for reason, waiting in (("capacity", load.waiting), ("deferred", 0)):
            yield names.gauge("num_requests_waiting_by_reason", waiting, reason=reason)
        yield names.gauge("kv_cache_usage_perc", load.kv_usage)
        yield names.counter("prefix_cache_queries", load.prefix_queries_total)
        yield names.counter("prefix_cache_hits", load.prefix_hits_total)
        yield names.counter("num_preemptions", load.preemptions_total)
        yield names.counter("prompt_tokens", load.prompt_tokens_total)
        yield names.counter("generation_tokens", load.output_tokens_total)
        yield names.counter("request_success", load.finished_total, finished_reason="length")
        yield names.gauge(
            "cache_config_info",
            1.0,
            block_size=str(limits.block_tokens),
            num_gpu_blocks=str(limits.kv_tokens // limits.block_tokens),
            enable_prefix_caching="True",
        )
        if engine.spec.adapters:
            running, waiting_adapters = engine.active_adapters()
            yield Names("vllm:").gauge(
                "lora_requests_info",
                time.time(),
                max_lora=str(len(engine.spec.adapters)),
                running_lora_adapters=",".join(running),
                waiting_lora_adapters=",".join(waiting_adapters),
            )
        yield names.histogram("time_to_first_token_seconds", seen.first_token_s)
        yield names.histogram("inter_token_latency_seconds", seen.token_gap_s)
        yield names.histogram("request_queue_time_seconds", seen.queue_s)
        yield names.histogram("e2e_request_latency_seconds", seen.request_s)
        yield names.histogram("request_prompt_tokens", seen.prompt_tokens)
        yield names.histogram("request_generation_tokens", seen.answer_tokens)

    def response_headers(self, engine: EngineView, request: web.Request) -> dict[str, str]:
        """ORCA: the load, where the request asks for it."""
        form = request.headers.get("endpoint-load-metrics-format", "").lower()
        if form not in ("text", "json"):
            return {}
        load = engine.reported_load()
        named = {
            "kv_cache_usage_perc": load.kv_usage,
            "num_requests_waiting": float(load.waiting),
        }
        if form == "json":
            return {"endpoint-load-metrics": f"JSON {json.dumps({'named_metrics': named})}"}
        text = ", ".join(f"named_metrics.{name}={value}" for name, value in named.items())
        return {"endpoint-load-metrics": f"TEXT {text}"}


def _sources(engine: EngineView) -> dict[str, object]:
    """Its publishers, by rank."""
    address, replay_address = engine.kv_event_addresses
    if not address:
        return {}
    source = {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": address,
        "replay_endpoint": replay_address,
        "topic": "",
    }
    return {"0": source}


def _tokenized(engine: EngineView, body: bytes) -> web.StreamResponse:
    kind: type[ChatRequest | CompletionRequest]
    kind = ChatRequest if b'"messages"' in body else CompletionRequest
    try:
        parsed = msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        return web.json_response({"error": {"message": str(error), "code": 400}}, status=400)
    tokens = token_ids(padded(prompt_of(parsed)))
    return web.json_response(
        {
            "count": len(tokens),
            "max_model_len": engine.spec.max_model_tokens,
            "tokens": tokens,
            "token_strs": None,
        }
    )
