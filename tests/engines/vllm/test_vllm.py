"""Two vLLM servers on one host: their KV events are followed, and one that hangs is left alone."""

import asyncio
from collections import Counter
from itertools import count
from typing import Any

import aiohttp
import pytest

from penstock.fleet.balancer import BalancerProcess
from tests.engines.status import endpoints_of
from tests.engines.vllm.process import Vllm

pytestmark = pytest.mark.timeout(900.0)  # its engines may take minutes to start
PATIENCE_S = 120.0
TALKERS = 4  # keep both engines busy; who asked the one that hangs waits for it
EVERY_S = 0.5  # comes a stranger, whatever became of those before
SETTLED_S = 15.0
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
    balancer: BalancerProcess, engines: list[Vllm]
) -> None:
    hung, other = (engine.url.removeprefix("http://") for engine in engines)
    clients = asyncio.create_task(traffic(balancer.url))
    try:
        share = await share_within(SETTLED_S, balancer, hung)
        assert share > 0.2, "both are needed"
        engines[0].hang()
        await asyncio.sleep(SEEN_WITHIN_S)
        before = await sent(balancer)
        await asyncio.sleep(HANG_S - SEEN_WITHIN_S)
        after = await sent(balancer)
        assert after[hung] - before[hung] <= 2
        assert after[other] - before[other] >= 0.8 * (HANG_S - SEEN_WITHIN_S) / EVERY_S
        engines[0].go_on()
        async with asyncio.timeout(BACK_WITHIN_S):
            while await share_within(8.0, balancer, hung) < 0.7 * share:
                pass
    finally:
        engines[0].go_on()
        clients.cancel()


async def share_within(seconds: float, balancer: BalancerProcess, name: str) -> float:
    """Of the requests that are sent in that time, those to the endpoint."""
    before = await sent(balancer)
    await asyncio.sleep(seconds)
    requests = await sent(balancer) - before
    return requests[name] / max(1, requests.total())


async def sent(balancer: BalancerProcess) -> Counter[str]:
    """Requests so far, by endpoint."""
    return Counter({each["name"]: int(each["requests"]) for each in await endpoints_of(balancer)})


async def traffic(url: str) -> None:
    """Conversations that go on when they are answered, and strangers that ask once."""
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as asking:

        async def talk(talker: int) -> None:
            for turn in count():
                said = f"conversation {talker}.{turn // 5}: "
                said += "and then of rivers, of lakes and of the sea. " * (turn % 5 + 1)
                await ask(session, url, said)

        for talker in range(TALKERS):
            asking.create_task(talk(talker))
        for stranger in count():
            asking.create_task(ask(session, url, f"question {stranger}: " + "of rivers " * 20))
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
