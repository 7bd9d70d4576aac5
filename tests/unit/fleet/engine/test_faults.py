"""Faults on command: what clients see of them, and what a restart brings back."""

from typing import Any

import aiohttp
import openai
import pytest

from penstock.fleet.engine.server import EngineServer
from penstock.fleet.faults import FaultCommand, FaultKind, Faults
from tests.unit.fleet.conftest import Until
from tests.unit.fleet.engine.asking import MODEL, Start, metrics_of


async def test_metrics_lie_when_told_to_and_only_they(
    engine: EngineServer, client: aiohttp.ClientSession
) -> None:
    await engine.apply(FaultCommand("lie", reported={"running": 40, "kv_usage": 0.5}))
    metrics = await metrics_of(client, engine)
    assert metrics["vllm:num_requests_running"] == 40
    assert metrics["vllm:kv_cache_usage_perc"] == pytest.approx(0.5, abs=0.001)
    assert engine.load().running == 0
    with pytest.raises(ValueError, match="reports no happiness"):
        await engine.apply(FaultCommand("lie", reported={"happiness": 1.0}))


async def test_streams_stall_in_the_middle_and_go_on(
    start: Start, client: aiohttp.ClientSession, until: Until
) -> None:
    engine = await start(speedup=1.0)
    body = {"prompt": "a", "max_tokens": 5000, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        await response.content.readuntil(b"\n\n")
        await engine.apply(FaultCommand("stall-streams"))
        before = engine.load().output_tokens_total
        async with client.get(f"{engine.url}/health") as health:
            assert health.status == 200
        assert engine.load().output_tokens_total == before
        await engine.apply(FaultCommand("none"))
        await until(lambda: engine.load().output_tokens_total > before)


async def test_streams_that_stalled_come_to_their_end(
    engine: EngineServer, client: aiohttp.ClientSession
) -> None:
    await engine.apply(FaultCommand("stall-streams"))
    body = {"prompt": "a", "max_tokens": 20, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        assert engine.load().output_tokens_total == 0
        await engine.apply(FaultCommand("none"))
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")


async def test_a_restart_loses_the_cache_and_keeps_the_port(
    engine: EngineServer, sdk: openai.AsyncOpenAI, until: Until
) -> None:
    url = engine.url
    asked: Any = {"model": MODEL, "prompt": "b" * 640, "max_tokens": 1}
    await sdk.completions.create(**asked)
    await engine.apply(FaultCommand("restart"))
    await until(lambda: engine.faults.listening())
    assert engine.url == url
    answer = await sdk.with_options(max_retries=3).completions.create(**asked)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is None


@pytest.mark.parametrize("between", ["none", "refuse", "stall", "stall-streams", "error", "lie"])
async def test_a_restart_brings_back_what_died_cold_and_without_faults(
    start: Start, client: aiohttp.ClientSession, until: Until, between: FaultKind
) -> None:
    engine = await start(speedup=1.0)
    prompt = {"prompt": "a" * 640}
    running = {**prompt, "max_tokens": 5000, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=running) as response:
        await response.content.readuntil(b"\n\n")
        if between != "none":
            await engine.apply(FaultCommand(between, status=500))
        await engine.apply(FaultCommand("die"))
        await engine.apply(FaultCommand("restart"))
        await until(lambda: not engine.faults.dead)
    assert engine.faults == Faults()
    assert engine.load().running == 0
    body = {**prompt, "max_tokens": 1}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        usage = (await response.json())["usage"]
    assert "prompt_tokens_details" not in usage


async def test_the_latter_of_two_faults_says_how_long(engine: EngineServer, until: Until) -> None:
    await engine.apply(FaultCommand("restart", for_s=0.01))
    await engine.apply(FaultCommand("die"))  # until told
    await engine.apply(FaultCommand("slow", for_s=0.02))
    await until(lambda: engine.faults.slow_factor == 1.0)  # that its time is over shows the other's
    assert engine.faults.dead
    await engine.apply(FaultCommand("restart", for_s=0.01))
    await until(lambda: not engine.faults.dead)


async def test_dying_cuts_streams_and_the_engine_comes_back_cold(
    start: Start, client: aiohttp.ClientSession
) -> None:
    engine = await start(speedup=1.0)
    body = {"prompt": "a" * 640, "max_tokens": 5000, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        await response.content.readuntil(b"\n\n")
        await engine.apply(FaultCommand("die"))
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    await engine.apply(FaultCommand("none"))
    assert engine.load().running == 0
    body = {"prompt": "a" * 640, "max_tokens": 1}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        usage = (await response.json())["usage"]
    assert "prompt_tokens_details" not in usage
