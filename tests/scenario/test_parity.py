"""Predicted prefix hits are held against what engines found: emulated ones, with small caches."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from tests.harness.serving import start_balancer

MODEL = "emulated-model"
PROMPTS = [f"story {number}: " + f"gate{number} mill wheel " * 400 for number in range(6)]


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[EngineServer]:
    """Holds two of the six prompts."""
    started = EngineServer(EngineSpec("engine", kv_tokens=4096, speedup=50.0))
    await started.start()
    yield started
    await started.stop()


async def prefixes_after(
    engine: EngineServer, directory: Path, rounds: int, *, knows_size: bool
) -> dict[str, Any]:
    """What status says of the endpoint's prefixes after the prompts went round so often."""
    pool: dict[str, Any] = {"kind": "llm", "policy": "token-load", "endpoints": [engine.url]}
    if not knows_size:
        pool["engine"] = {"kv_tokens": 1_000_000}
    balancer = await start_balancer(directory, {"pools": {"main": pool}, "workers": 1})
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while True:
                [[endpoint]] = [p["endpoints"] for p in (await balancer.status(session))["pools"]]
                if endpoint["engine"]["kv_capacity"] > 0:
                    break
                await asyncio.sleep(0.02)
            for prompt in PROMPTS * rounds:
                body = {"model": MODEL, "prompt": prompt, "max_tokens": 1}
                async with session.post(f"{balancer.url}/v1/completions", json=body) as answer:
                    assert answer.status == 200
            wanted = engine.load().prompt_tokens_total
            while True:
                [[endpoint]] = [p["endpoints"] for p in (await balancer.status(session))["pools"]]
                prefixes: dict[str, Any] = endpoint["prefixes"]
                judged = prefixes["judged_prompt_tokens"] >= wanted
                if judged and (prefixes["hit_distrust"] or knows_size):
                    return prefixes
                await asyncio.sleep(0.05)
    finally:
        await balancer.stop()


async def test_an_index_that_knows_the_size_of_the_cache_agrees_with_it(
    engine: EngineServer, tmp_path: Path
) -> None:
    prefixes = await prefixes_after(engine, tmp_path, 3, knows_size=True)
    assert prefixes["hit_distrust"] == 0.0
    assert prefixes["predicted_tokens"] < 0.1 * prefixes["judged_prompt_tokens"]


async def test_one_that_does_not_is_found_out_and_distrusted(
    engine: EngineServer, tmp_path: Path
) -> None:
    prefixes = await prefixes_after(engine, tmp_path, 5, knows_size=False)
    assert prefixes["hit_distrust"] > 0.9
    assert prefixes["cached_tokens"] < 0.1 * prefixes["judged_prompt_tokens"]
