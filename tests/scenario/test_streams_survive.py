"""Engines die and stall under streams, and their clients get what they asked for all the same."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from tests.engines.status import until_read
from tests.harness.serving import MODEL, PATIENCE_S, start_balancer

STREAMS = 8
TOKENS = 120


@pytest.fixture
def dialect() -> str:
    return "vllm"


@pytest_asyncio.fixture
async def engines(dialect: str) -> AsyncIterator[list[EngineServer]]:
    specs = [EngineSpec(f"engine{each}", dialect=dialect, speedup=4.0) for each in range(2)]
    started = [EngineServer(spec) for spec in specs]
    for engine in started:
        await engine.start()
    yield started
    for engine in started:
        await engine.stop()


@pytest_asyncio.fixture
async def balancer(
    engines: list[EngineServer], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[BalancerProcess]:
    pool = {"kind": "llm", "policy": "round-robin", "endpoints": [each.url for each in engines]}
    pools = {"main": {**pool, "engine": {"interval": "100ms"}, **request.param}}
    started = await start_balancer(tmp_path, {"pools": pools, "workers": 1})
    async with asyncio.timeout(PATIENCE_S):
        await until_read(started, len(engines))
    yield started
    await started.stop()


async def text_of(url: str, number: int) -> str:
    """Of one answer, which must be whole."""
    asked: dict[str, Any] = {
        "model": MODEL,
        "stream": True,
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": f"tell me of river {number}"}],
    }
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{url}/v1/chat/completions", json=asked) as answer,
    ):
        assert answer.status == 200
        body = await answer.text()
    events = [line[6:] for line in body.split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events[:-1]]
    assert [choice["finish_reason"] for choice in choices].count("length") == 1
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def idle(engine: EngineServer) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while engine.load().running:  # noqa: ASYNC110 - an engine announces nothing
            await asyncio.sleep(0.01)


EXACT = {"resume": {"token_ids": True, "exact": True}}


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp"])
@pytest.mark.parametrize("balancer", [EXACT], indirect=True)
async def test_an_engine_that_dies_cuts_no_answer(
    balancer: BalancerProcess, engines: list[EngineServer]
) -> None:
    uncut = [await text_of(engines[1].url, number) for number in range(STREAMS)]
    asking = [asyncio.create_task(text_of(balancer.url, number)) for number in range(STREAMS)]
    async with asyncio.timeout(PATIENCE_S):
        while engines[0].load().output_tokens_total < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await engines[0].apply(FaultCommand("die"))
    assert await asyncio.gather(*asking) == uncut
    await idle(engines[1])


@pytest.mark.parametrize("balancer", [{"timeouts": {"first_token": "300ms"}}], indirect=True)
async def test_an_engine_that_stands_still_is_left_at_its_deadline(
    balancer: BalancerProcess, engines: list[EngineServer]
) -> None:
    await engines[0].apply(FaultCommand("stall-streams"))
    texts = await asyncio.gather(*[text_of(balancer.url, number) for number in range(STREAMS)])
    assert all(len(text) == TOKENS * 4 for text in texts)
    await idle(engines[0])  # which saw at once that nobody wants its answers
    await idle(engines[1])
