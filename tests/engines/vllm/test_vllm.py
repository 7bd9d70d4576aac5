"""Two vLLM servers on one host: their KV events are followed, and one that hangs is left alone."""

import asyncio
import json
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock.fleet.balancer import BalancerProcess
from tests.engines.status import endpoints_of
from tests.engines.vllm.process import Vllm

pytestmark = pytest.mark.timeout(900.0)  # its engines may take minutes to start
PATIENCE_S = 120.0
CONVERSATIONS = 8
EVERY_S = 0.25  # comes a request, whether those before were answered or not
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
    hung, other = (engine.url.removeprefix("http://") for engine in engines)
    clients = asyncio.create_task(arrivals(balancer.url))
    try:
        await asyncio.sleep(10.0)
        engines[0].hang()
        await asyncio.sleep(SEEN_WITHIN_S)
        before = await sent(balancer)
        await asyncio.sleep(HANG_S - SEEN_WITHIN_S)
        after = await sent(balancer)
        assert after[hung] - before[hung] <= 2
        assert after[other] - before[other] >= 0.8 * (HANG_S - SEEN_WITHIN_S) / EVERY_S
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


async def sent(balancer: BalancerProcess) -> Counter[str]:
    """Requests so far, by endpoint."""
    return Counter({each["name"]: int(each["requests"]) for each in await endpoints_of(balancer)})


async def arrivals(url: str) -> None:
    """Turns of conversations, each with all that was said before, by clients that never wait."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as asking:
        for number in count():
            round_, conversation = divmod(number, CONVERSATIONS)
            said = f"conversation {conversation}.{round_ // 5}: "
            said += "and then of rivers, of lakes and of the sea. " * (round_ % 5 + 1)
            asking.create_task(ask(session, url, said))
            await asyncio.sleep(EVERY_S)


async def ask(session: aiohttp.ClientSession, url: str, prompt: str) -> Any:
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 16,
        "stream": True,
    }
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        return await response.read()
