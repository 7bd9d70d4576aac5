"""Ollama: its own API beside OpenAI's, which model is loaded, and no metrics."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import xxhash
from aiohttp import web
from prometheus_client.core import Metric

from penstock.fleet.engine.api.ollama import DEFAULT_TAG, ChatApi, GenerateApi
from penstock.fleet.engine.dialect.base import EmulatedDialect, EngineView

_VERSION = "0.12.6"
_KEEP_ALIVE = timedelta(minutes=5)  # a model stays loaded for so long
_BYTES = 4_700_000_000  # of an 8B model in four bits
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "8.0B",
    "quantization_level": "Q4_K_M",
}


class Ollama(EmulatedDialect):
    """Its model is always loaded. Cached tokens are not in its counts."""

    name: ClassVar[str] = "ollama"
    default_sequences: ClassVar[int] = 4  # OLLAMA_NUM_PARALLEL
    reports_cached: ClassVar[bool] = False
    has_metrics: ClassVar[bool] = False

    def routes(self, engine: EngineView) -> list[web.RouteDef]:
        async def alive(request: web.Request) -> web.StreamResponse:
            return web.Response(text="Ollama is running")

        async def version(request: web.Request) -> web.StreamResponse:
            return web.json_response({"version": _VERSION})

        async def tags(request: web.Request) -> web.StreamResponse:
            modified = {"modified_at": datetime.fromtimestamp(0, UTC).isoformat()}
            return web.json_response({"models": [{**_model(engine), **modified}]})

        async def loaded(request: web.Request) -> web.StreamResponse:
            model = {
                **_model(engine),
                "expires_at": (datetime.now(UTC) + _KEEP_ALIVE).isoformat(),
                "size_vram": _BYTES,
                "context_length": engine.spec.max_model_tokens,
            }
            return web.json_response({"models": [model]})

        async def show(request: web.Request) -> web.StreamResponse:
            return web.json_response(
                {
                    "details": _DETAILS,
                    "model_info": {"llama.context_length": engine.spec.max_model_tokens},
                    "capabilities": ["completion", "tools"],
                    "template": "{{ .Prompt }}",
                    "parameters": "",
                    "license": "",
                    "modified_at": datetime.fromtimestamp(0, UTC).isoformat(),
                }
            )

        return [
            web.get("/", alive),
            web.get("/api/version", version),
            web.get("/api/tags", tags),
            web.get("/api/ps", loaded),
            web.post("/api/show", show),
            web.post("/api/chat", engine.generating(ChatApi())),
            web.post("/api/generate", engine.generating(GenerateApi())),
        ]

    def families(self, engine: EngineView) -> Iterable[Metric]:
        return ()


def _model(engine: EngineView) -> dict[str, Any]:
    name = engine.spec.model + DEFAULT_TAG
    digest = xxhash.xxh3_128_hexdigest(name.encode()) * 2  # as long as a SHA-256
    return {"name": name, "model": name, "digest": digest, "size": _BYTES, "details": _DETAILS}
