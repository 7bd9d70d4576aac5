"""By KV events a prefix is found wherever it is, whoever put it there, and not once it is gone."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess, start_balancer
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec

zmq = pytest.importorskip("zmq")

MODEL = "emulated-model"
STORY = "story: " + "gate mill wheel river " * 300
# The engines of a pool publish at the same port, so each has an address of its own.
HOSTS = ("127.0.0.1", "127.0.0.2")
PATIENCE_S = 60


@pytest_asyncio.fixture(params=["array", "map"])
async def engines(request: pytest.FixtureRequest) -> AsyncIterator[list[EngineServer]]:
    started = await _started(request.param)
    yield started
    for engine in started:
        await engine.stop()


async def _started(form: Any) -> list[EngineServer]:
    """Two of them, at two neighbouring ports that are free at both addresses."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOSTS[0], 0))
            port: int = probe.getsockname()[1]
        found = [
            EngineServer(
                EngineSpec(
                    f"engine-{number}",
                    host=host,
                    speedup=50.0,
                    kv_events=form,
                    kv_events_port=port,
                    kv_tokens=8192,
                )
            )
            for number, host in enumerate(HOSTS)
        ]
        try:
            for engine in found:
                await engine.start()
        except (OSError, OverflowError):
            for engine in found:
                await engine.stop()
            continue
        return found


def cached_in(usage: dict[str, Any]) -> int:
    """Engines tell no cached tokens where there were none."""
    return int(usage.get("prompt_tokens_details", {}).get("cached_tokens", 0))


class Site:
    def __init__(
        self, balancer: BalancerProcess, engines: list[EngineServer], client: aiohttp.ClientSession
    ) -> None:
        self.balancer = balancer
        self.engines = engines
        self.client = client

    async def complete(self, url: str, prompt: str) -> int:
        """How many of its tokens were found cached."""
        body = {"model": MODEL, "prompt": prompt, "max_tokens": 1, "ignore_eos": True}
        async with self.client.post(f"{url}/v1/completions", json=body) as answer:
            assert answer.status == 200
            usage: dict[str, Any] = (await answer.json())["usage"]
        return cached_in(usage)

    async def predicted(self, prompt: str) -> tuple[int, dict[str, float]]:
        """Tokens found cached, and those that each endpoint was said to hold."""
        body = {"model": MODEL, "prompt": prompt, "max_tokens": 1, "ignore_eos": True}
        async with self.client.post(f"{self.balancer.url}/v1/completions", json=body) as answer:
            request_id = answer.headers["x-request-id"]
            usage: dict[str, Any] = (await answer.json())["usage"]
        url = f"{self.balancer.admin_url}/api/v1/decisions"
        async with self.client.get(url, params={"id": request_id}) as response:
            [record] = (await response.json())["decisions"]
        held = {c["endpoint"]: c["terms"]["cached_tokens"] for c in record["candidates"]}
        return cached_in(usage), held

    async def endpoints(self) -> list[dict[str, Any]]:
        [pool] = (await self.balancer.status(self.client))["pools"]
        found: list[dict[str, Any]] = pool["endpoints"]
        return found

    async def until_exact(self) -> None:
        """Something is published until both subscriptions are in force."""
        async with asyncio.timeout(PATIENCE_S):
            number = 0
            while not all(e["prefixes"]["exact"] for e in await self.endpoints()):
                for engine in self.engines:
                    await self.complete(engine.url, f"{number:0128d}")
                number += 1

    async def until_learned(self) -> str:
        """The story's tokens are known; the endpoint that has them."""
        async with asyncio.timeout(PATIENCE_S):
            number = 0
            while await self._learned() < len(STORY) // 256:
                asked = f"{STORY} asked {number:04d}" + " and once more" * 40
                await self.complete(self.balancer.url, asked)
                number += 1
                await asyncio.sleep(0.2)
        by_requests = sorted(await self.endpoints(), key=lambda e: int(e["requests"]))
        return str(by_requests[-1]["name"])

    async def _learned(self) -> float:
        async with self.client.get(f"{self.balancer.admin_url}/metrics") as response:
            for line in (await response.text()).splitlines():
                if line.startswith("penstock_prefix_blocks_learned "):
                    return float(line.rpartition(" ")[2])
        return 0.0


@pytest_asyncio.fixture
async def site(engines: list[EngineServer], tmp_path: Path) -> AsyncIterator[Site]:
    port, replay = (int(each.rpartition(":")[2]) for each in engines[0].kv_event_addresses)
    pool = {
        "kind": "llm",
        "policy": "token-load",
        "decisions": {"sample": 1.0, "max_per_s": 10_000.0},
        "engine": {"interval": "100ms", "kv_events": {"port": port, "replay_port": replay}},
        "endpoints": [{"url": e.url, "name": e.name} for e in engines],
    }
    balancer = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 2})
    async with aiohttp.ClientSession() as client:
        yield Site(balancer, engines, client)
    await balancer.stop()


async def test_what_another_client_cached_is_found_and_what_was_evicted_is_not(site: Site) -> None:
    await site.until_exact()
    home = await site.until_learned()
    other = next(e for e in site.engines if e.name != home)
    first = next(e for e in site.engines if e.name == home)

    # Another client, past the balancer, fills the other cache with the same beginning.
    await site.complete(other.url, f"{STORY} told by another")
    async with asyncio.timeout(PATIENCE_S):
        while True:
            _, held = await site.predicted(f"{STORY} where is it?")
            if held[other.name] > len(STORY) / 4 * 0.8:
                break

    # It leaves the first cache, where this balancer sent it: pushed out by others, unseen.
    async with asyncio.timeout(PATIENCE_S):
        while True:
            for number in range(12):
                await site.complete(first.url, f"{number:04d}" * 1000)
            found, held = await site.predicted(f"{STORY} is it here?")
            if held[home] == 0:
                break
    assert found > len(STORY) / 4 * 0.8  # it went where it is
    assert held[other.name] > len(STORY) / 4 * 0.8
