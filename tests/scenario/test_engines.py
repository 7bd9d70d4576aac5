"""OpenAI's own client through Penstock to emulated engines, unchanged."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess, start_balancer
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand

MODEL = "emulated-model"
MESSAGES: Any = [{"role": "user", "content": "tell me a story"}]


@pytest_asyncio.fixture
async def engines() -> AsyncIterator[list[EngineServer]]:
    started = [EngineServer(EngineSpec(f"engine-{number}")) for number in (1, 2)]
    for engine in started:
        await engine.start()
    yield started
    for engine in started:
        await engine.stop()


@pytest_asyncio.fixture
async def balancer(engines: list[EngineServer], tmp_path: Path) -> AsyncIterator[BalancerProcess]:
    urls = [engine.url for engine in engines]
    process = await start_balancer(tmp_path, {"endpoints": urls, "workers": 1})
    yield process
    await process.stop()


@pytest_asyncio.fixture
async def sdk(balancer: BalancerProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{balancer.url}/v1", api_key="any", max_retries=0, timeout=20.0
    ) as made:
        yield made


def running(engines: list[EngineServer]) -> int:
    return sum(engine.load().running + engine.load().waiting for engine in engines)


async def test_an_answer_is_the_same_whole_streamed_and_from_either_engine(
    sdk: openai.AsyncOpenAI,
) -> None:
    whole = await sdk.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=20)
    for _ in range(2):
        stream = await sdk.chat.completions.create(
            model=MODEL, messages=MESSAGES, max_tokens=20, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(pieces) == whole.choices[0].message.content


async def test_tools_embeddings_and_models_pass(sdk: openai.AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    answer = await sdk.chat.completions.create(
        model=MODEL, messages=MESSAGES, tools=tools, tool_choice="required", max_tokens=4
    )
    assert answer.choices[0].message.tool_calls
    embedded = await sdk.embeddings.create(model=MODEL, input="a")
    assert embedded.data[0].embedding
    assert [model.id async for model in sdk.models.list()] == [MODEL]


async def test_an_engines_refusal_reaches_the_client_as_it_is(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await sdk.chat.completions.create(model="unknown", messages=MESSAGES)


async def test_a_stream_that_is_given_up_frees_its_slot(
    sdk: openai.AsyncOpenAI, engines: list[EngineServer]
) -> None:
    asked: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 5000, "stream": True}
    stream = await sdk.chat.completions.create(**asked, extra_body={"ignore_eos": True})
    async for _ in stream:
        break
    assert running(engines) == 1
    await stream.close()
    async with asyncio.timeout(20):
        while running(engines):  # noqa: ASYNC110 - an engine announces nothing
            await asyncio.sleep(0.002)


async def test_an_engine_that_dies_in_the_middle_never_looks_finished(
    sdk: openai.AsyncOpenAI, engines: list[EngineServer]
) -> None:
    asked: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 5000, "stream": True}
    stream = await sdk.chat.completions.create(**asked, extra_body={"ignore_eos": True})
    [serving] = [engine for engine in engines if engine.load().running]
    await anext(aiter(stream))
    await serving.apply(FaultCommand("die"))
    with pytest.raises(openai.APIConnectionError):
        _ = [chunk async for chunk in stream]
    answer = await sdk.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3)
    assert answer.choices[0].message.content
