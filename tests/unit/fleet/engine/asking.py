"""Asking emulated engines."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import openai
from prometheus_client.parser import text_string_to_metric_families

from penstock.fleet.engine.server import EngineServer

MODEL: Final = "emulated-model"
Start = Callable[..., Awaitable[EngineServer]]


def sdk_for(engine: EngineServer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{engine.url}/v1", api_key="any", max_retries=0, timeout=20.0
    )


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def metrics_of(client: aiohttp.ClientSession, engine: EngineServer) -> dict[str, float]:
    async with client.get(f"{engine.url}/metrics") as response:
        text = await response.text()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
