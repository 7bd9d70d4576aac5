"""Two vLLM servers on one host: their KV events are followed, and one that hangs is left alone."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from penstock.fleet.balancer import BalancerProcess
from tests.engines.status import endpoints_of
from tests.engines.vllm.process import Vllm

PATIENCE_S = 120.0
HANG_S = 20.0
SEEN_WITHIN_S = 6.0  # after its core hung, requests go elsewhere
BACK_WITHIN_S = 60.0


async def test_the_kv_events_of_both_are_followed_with_no_port_configured(
    balancer: BalancerProcess, engines: list[Vllm]
) -> None:
    async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
        for number in range(8):
            await ask(session, balancer.url, f"conversation {number}: " + "of rivers " * 40)
        while not all([each["prefixes"]["exact"] for each in await endpoints_of(balancer)]):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_an_engine_whose_core_hangs_gets_nothing_and_gets_its_share_back(
    balancer: BalancerProcess, engines: list[Vllm], tmp_path: Path
) -> None:
    log = tmp_path / "requests"
    hung = engines[0].url.removeprefix("http://")
    clients = asyncio.create_task(conversations(balancer.url, count=4))
    try:
        await asyncio.sleep(10.0)
        engines[0].hang()
        await asyncio.sleep(SEEN_WITHIN_S)
        before = await sent_to(balancer, hung)
        await asyncio.sleep(HANG_S - SEEN_WITHIN_S)
        assert await sent_to(balancer, hung) - before <= 2
        engines[0].go_on()
        async with asyncio.timeout(BACK_WITHIN_S):
            while True:
                begun = len(log.read_bytes().splitlines())
                await asyncio.sleep(8.0)
                lines = log.read_bytes().splitlines()[begun:]
                shares = Counter(json.loads(line)["endpoint"] for line in lines)
                if lines and shares[hung] >= 0.35 * len(lines):
                    break
    finally:
        engines[0].go_on()
        clients.cancel()


async def sent_to(balancer: BalancerProcess, name: str) -> int:
    """Requests sent to that endpoint so far."""
    [endpoint] = [each for each in await endpoints_of(balancer) if each["name"] == name]
    return int(endpoint["requests"])


async def conversations(url: str, *, count: int) -> None:
    """Clients that talk on and on, each turn with all that was said before."""

    async def talk(number: int) -> None:
        async with aiohttp.ClientSession() as session:
            turn = 0
            while True:
                said = f"conversation {number}.{turn // 5}: "
                for _ in range(turn % 5 + 1):
                    said += "and then of rivers, of lakes and of the sea. "
                await ask(session, url, said)
                turn += 1

    await asyncio.gather(*[talk(number) for number in range(count)])


async def ask(session: aiohttp.ClientSession, url: str, prompt: str) -> Any:
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 16,
        "stream": True,
    }
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        return await response.read()
