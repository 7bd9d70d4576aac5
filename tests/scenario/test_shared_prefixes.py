"""Whichever worker a client meets, its prompt's prefix is found where another worker sent it."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from tests.harness.serving import start_balancer, two_engines

MODEL = "emulated-model"
STORIES = [f"story {number}: " + f"gate{number} mill wheel " * 400 for number in range(8)]
TURNS = 5


@pytest_asyncio.fixture
async def engines() -> AsyncIterator[list[EngineServer]]:
    async with two_engines(speedup=50.0) as started:
        yield started


@pytest_asyncio.fixture
async def balancer(engines: list[EngineServer], tmp_path: Path) -> AsyncIterator[BalancerProcess]:
    pool = {"kind": "llm", "policy": "token-load", "endpoints": [e.url for e in engines]}
    process = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 2})
    yield process
    await process.stop()


async def test_only_the_first_of_a_storys_prompts_is_computed(balancer: BalancerProcess) -> None:
    cold = 0
    connector = aiohttp.TCPConnector(force_close=True)  # each may meet another worker
    async with aiohttp.ClientSession(connector=connector) as session:
        for turn in range(TURNS):
            for story in STORIES:
                body = {"model": MODEL, "prompt": f"{story} turn {turn}", "max_tokens": 1}
                async with session.post(f"{balancer.url}/v1/completions", json=body) as answer:
                    usage = (await answer.json())["usage"]
                cached = usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
                cold += cached < usage["prompt_tokens"] / 2
        served = [0]
        while sum(served) < TURNS * len(STORIES):  # counts are published four times a second
            status = await balancer.status(session)
            served = [worker["requests"] for worker in status["workers"]]
    assert cold == len(STORIES)
    assert min(served) > 0
