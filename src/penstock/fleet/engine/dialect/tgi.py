"""Text Generation Inference: ``/generate`` and ``/info``; its metrics tell nothing of its cache."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from aiohttp import web
from prometheus_client.core import Metric

from penstock.fleet.engine.api.tgi import GenerateApi
from penstock.fleet.engine.dialect.base import EmulatedDialect, EngineView, Names, ok

_VERSION = "3.3.6"


class Tgi(EmulatedDialect):
    """Hugging Face's server and its OpenAI-compatible API."""

    name: ClassVar[str] = "tgi"
    default_sequences: ClassVar[int] = 128
    reports_cached: ClassVar[bool] = False

    def routes(self, engine: EngineView) -> list[web.RouteDef]:
        async def info(request: web.Request) -> web.StreamResponse:
            spec = engine.spec
            return web.json_response(
                {
                    "model_id": spec.model,
                    "max_concurrent_requests": engine.limits.max_sequences,
                    "max_input_tokens": spec.max_model_tokens - 1,
                    "max_total_tokens": spec.max_model_tokens,
                    "router": "text-generation-router",
                    "version": _VERSION,
                }
            )

        return [
            web.get("/health", ok),
            web.get("/info", info),
            web.post("/", engine.generating(GenerateApi(streams=None))),
            web.post("/generate", engine.generating(GenerateApi(streams=False))),
            web.post("/generate_stream", engine.generating(GenerateApi(streams=True))),
        ]

    def families(self, engine: EngineView) -> Iterable[Metric]:
        load = engine.reported_load()
        seen = engine.observations
        names = Names("tgi_")
        yield names.gauge("queue_size", load.waiting)
        yield names.gauge("batch_current_size", load.running)
        yield names.histogram("request_queue_duration", seen.queue_s)
        yield names.histogram("request_mean_time_per_token_duration", seen.mean_token_s)
        yield names.histogram("request_duration", seen.request_s)
        yield names.histogram("request_input_length", seen.prompt_tokens)
        yield names.histogram("request_generated_tokens", seen.answer_tokens)
