"""A balancer in front of emulated engines knows their load, and goes on when they fall silent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from tests.harness.serving import start_balancer

DIALECTS = ("vllm", "sglang", "tgi", "llamacpp")
MODEL = "emulated-model"
READ: dict[str, Any] = {"interval": "50ms", "timeout": "2s", "silent_after": "1s"}


@pytest_asyncio.fixture
async def engines() -> AsyncIterator[dict[str, EngineServer]]:
    started: dict[str, EngineServer] = {
        name: EngineServer(EngineSpec(name, dialect=name)) for name in DIALECTS
    }
    for engine in started.values():
        await engine.start()
    yield started
    for engine in started.values():
        await engine.stop()


@pytest_asyncio.fixture
async def balancer(
    engines: dict[str, EngineServer], tmp_path: Path
) -> AsyncIterator[BalancerProcess]:
    endpoints = [{"url": engine.url, "name": name} for name, engine in engines.items()]
    pool = {"kind": "llm", "policy": "token-load", "engine": READ, "endpoints": endpoints}
    process = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 1})
    yield process
    await process.stop()


async def engines_shown(
    session: aiohttp.ClientSession, balancer: BalancerProcess
) -> dict[str, dict[str, Any]]:
    [pool] = (await balancer.status(session))["pools"]
    return {endpoint["name"]: endpoint["engine"] for endpoint in pool["endpoints"]}


async def shown_when(
    session: aiohttp.ClientSession, balancer: BalancerProcess, name: str, **wanted: object
) -> dict[str, Any]:
    """What status says of that engine, once it says all that is wanted."""
    async with asyncio.timeout(30):
        while True:
            shown = (await engines_shown(session, balancer))[name]
            if all(shown[key] == value for key, value in wanted.items()):
                return shown
            await asyncio.sleep(0.02)


async def test_every_engine_is_recognised_and_its_load_shown(
    session: aiohttp.ClientSession, balancer: BalancerProcess, engines: dict[str, EngineServer]
) -> None:
    for name, engine in engines.items():
        await engine.apply(FaultCommand("lie", reported={"running": 7, "waiting": 2}))
        wanted = {"kind": name, "running": 7, "waiting": 2, "silent": False}
        shown = await shown_when(session, balancer, name, **wanted)
        if name in ("vllm", "sglang"):
            assert shown["kv_capacity"] == engine.load().kv_tokens
    told = {
        'penstock_endpoint_engine_running{endpoint="vllm",pool="main"} 7.0',
        'penstock_endpoint_engine_foreign{endpoint="tgi",pool="main"} 9.0',
    }
    async with asyncio.timeout(30):
        while True:
            async with session.get(f"{balancer.admin_url}/metrics") as response:
                if told <= set((await response.text()).splitlines()):
                    break


async def test_a_silent_engine_is_shown_and_served_by_own_counts(
    session: aiohttp.ClientSession, balancer: BalancerProcess, engines: dict[str, EngineServer]
) -> None:
    await shown_when(session, balancer, "vllm", kind="vllm")
    await engines["vllm"].apply(FaultCommand("die"))
    await shown_when(session, balancer, "vllm", silent=True)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
    for _ in range(4):
        async with session.post(f"{balancer.url}/v1/chat/completions", json=body) as response:
            assert response.status == 200
    await engines["vllm"].apply(FaultCommand("none"))
    shown = await shown_when(session, balancer, "vllm", silent=False)
    assert shown["kind"] == "vllm"


async def test_responses_tell_the_load_to_the_balancer_and_not_to_the_client(
    session: aiohttp.ClientSession, engines: dict[str, EngineServer], tmp_path: Path
) -> None:
    engine = engines["vllm"]
    pool = {"kind": "llm", "endpoints": [engine.url], "engine": {"orca": True}}
    balancer = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 1})
    try:
        body = {"model": MODEL, "prompt": "hi", "max_tokens": 2}
        asking = {"Endpoint-Load-Metrics-Format": "TEXT"}
        for url, told in ((engine.url, True), (balancer.url, False)):
            async with session.post(f"{url}/v1/completions", json=body, headers=asking) as answer:
                assert answer.status == 200
                assert ("endpoint-load-metrics" in answer.headers) == told
    finally:
        await balancer.stop()


async def test_kv_events_tell_what_a_cache_holds(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    engine = EngineServer(EngineSpec("engine", kv_events="map", speedup=50.0))
    await engine.start()
    port, replay = (int(each.rpartition(":")[2]) for each in engine.kv_event_addresses)
    events = {**READ, "kv_events": {"port": port, "replay_port": replay}}
    pool = {"kind": "llm", "endpoints": [engine.url], "engine": events}
    balancer = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 1})
    try:
        name = f'endpoint="{engine.url.removeprefix("http://")}"'
        line = f'penstock_endpoint_engine_cached_tokens{{{name},pool="main"}} '
        async with asyncio.timeout(30):
            for number in range(1000):
                body = {"model": MODEL, "prompt": f"{number:0128d}", "max_tokens": 2}
                async with session.post(f"{balancer.url}/v1/completions", json=body) as answer:
                    assert answer.status == 200
                async with session.get(f"{balancer.admin_url}/metrics") as response:
                    if line in await response.text():
                        break
    finally:
        await balancer.stop()
        await engine.stop()
