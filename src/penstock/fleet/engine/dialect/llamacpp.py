"""llama.cpp's server: slots, metrics with prefix ``llamacpp:``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
from aiohttp import web
from prometheus_client.core import Metric

from penstock.fleet.engine.api.completions import Ids
from penstock.fleet.engine.api.llamacpp import NativeApi
from penstock.fleet.engine.dialect.base import EmulatedDialect, EngineView, Names
from penstock.fleet.engine.intake import prompt_of
from penstock.fleet.engine.protocol import ChatRequest


class LlamaCpp(EmulatedDialect):
    """``llama-server --metrics``, whose slots share one memory, as they do by default. Cached
    tokens are not in its ``usage``."""

    name: ClassVar[str] = "llamacpp"
    ids_in_chats: ClassVar[Ids] = "probabilities"
    ids_in_completions: ClassVar[Ids] = "probabilities"
    default_sequences: ClassVar[int] = 4  # slots
    reports_cached: ClassVar[bool] = False

    def routes(self, engine: EngineView) -> list[web.RouteDef]:
        async def health(request: web.Request) -> web.StreamResponse:
            return web.json_response({"status": "ok"})

        async def props(request: web.Request) -> web.StreamResponse:
            return web.json_response(
                {
                    "total_slots": engine.limits.max_sequences,
                    "model_path": engine.spec.model,
                    "default_generation_settings": {"n_ctx": engine.limits.kv_tokens},
                    "build_info": "b7000-emulated",
                }
            )

        async def slots(request: web.Request) -> web.StreamResponse:
            listed = _slots(engine)
            none_free = all(slot["is_processing"] for slot in listed)
            if none_free and request.query.get("fail_on_no_slot") == "1":
                error = {"code": 503, "message": "no slot available", "type": "unavailable_error"}
                return web.json_response({"error": error}, status=503)
            return web.json_response(listed)

        async def apply_template(request: web.Request) -> web.StreamResponse:
            return _templated(await request.read())

        return [
            web.post("/completion", engine.generating(NativeApi())),
            web.post("/apply-template", apply_template),
            web.get("/health", health),
            web.get("/v1/health", health),
            web.get("/props", props),
            web.get("/slots", slots),
        ]

    def families(self, engine: EngineView) -> Iterable[Metric]:
        load = engine.reported_load()
        seen = engine.observations
        names = Names("llamacpp:")
        yield names.gauge("requests_processing", load.running)
        yield names.gauge("requests_deferred", load.waiting)
        yield names.gauge("n_busy_slots_per_decode", load.running)
        computed = load.prefix_queries_total - load.prefix_hits_total
        yield names.counter("prompt_tokens", computed)
        yield names.counter("prompt_tokens_cached", load.prefix_hits_total)
        yield names.counter("tokens_predicted", load.output_tokens_total)
        prefill_s = max(seen.first_token_s.total - seen.queue_s.total, 1e-9)
        yield names.gauge("prompt_tokens_seconds", computed / prefill_s if computed else 0.0)
        decoding_s = max(seen.token_gap_s.total, 1e-9)
        yield names.gauge("predicted_tokens_seconds", sum(seen.token_gap_s.counts) / decoding_s)


def _slots(engine: EngineView) -> list[dict[str, Any]]:
    busy = engine.reported_load().running
    return [
        {"id": number, "n_ctx": engine.limits.kv_tokens, "is_processing": number < busy}
        for number in range(engine.limits.max_sequences)
    ]


def _templated(body: bytes) -> web.StreamResponse:
    """The prompt that it makes of a chat."""
    try:
        asked = msgspec.json.decode(body, type=ChatRequest)
    except msgspec.DecodeError as error:
        return web.json_response({"error": {"message": str(error), "code": 400}}, status=400)
    return web.json_response({"prompt": prompt_of(asked).decode()})
