"""Several models behind one address: found out, listed, chosen by name, refused when unknown."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from tests.harness.serving import start_balancer

MESSAGES: Any = [{"role": "user", "content": "tell me a story"}]
NAMES = ["big", "chat", "law", "small", "sql"]


@pytest_asyncio.fixture
async def engines() -> AsyncIterator[dict[str, EngineServer]]:
    specs = [
        EngineSpec("one", model="big", speedup=50.0),
        EngineSpec("two", model="small", adapters=("sql", "law"), speedup=50.0),
        EngineSpec("three", model="small", speedup=50.0),
    ]
    started = {spec.name: EngineServer(spec) for spec in specs}
    for engine in started.values():
        await engine.start()
    yield started
    for engine in started.values():
        await engine.stop()


@pytest_asyncio.fixture
async def sdk(
    engines: dict[str, EngineServer], tmp_path: Path
) -> AsyncIterator[openai.AsyncOpenAI]:
    pool = {
        "kind": "llm",
        "policy": "token-load",
        "engine": {"interval": "50ms", "timeout": "2s"},
        "models": {"aliases": {"chat": "big"}, "fallbacks": {"big": "small"}},
        "health_check": {"path": "/health", "interval": "100ms", "fast_interval": "50ms"},
        "outlier": "off",
        "endpoints": [{"url": engine.url, "name": name} for name, engine in engines.items()],
    }
    balancer = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 1})
    try:
        await until_listed(balancer)
        async with openai.AsyncOpenAI(
            base_url=f"{balancer.url}/v1", api_key="any", max_retries=0, timeout=20.0
        ) as made:
            yield made
    finally:
        await balancer.stop()


async def until_listed(balancer: BalancerProcess) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while True:
            async with session.get(f"{balancer.url}/v1/models") as response:
                if [model["id"] for model in (await response.json())["data"]] == NAMES:
                    return
            await asyncio.sleep(0.02)


def finished(engines: dict[str, EngineServer]) -> dict[str, int]:
    return {name: engine.load().finished_total for name, engine in engines.items()}


async def ask(sdk: openai.AsyncOpenAI, model: str) -> str:
    """The model that answered."""
    answer = await sdk.chat.completions.create(model=model, messages=MESSAGES, max_tokens=3)
    return answer.model


async def test_the_list_is_the_union_with_parents_and_aliases(sdk: openai.AsyncOpenAI) -> None:
    listed = {model.id: model async for model in sdk.models.list()}
    assert sorted(listed) == NAMES
    assert listed["sql"].model_dump()["parent"] == "small"


async def test_one_model_can_be_asked_for_whichever_engine_serves_it(
    sdk: openai.AsyncOpenAI,
) -> None:
    for name in NAMES:
        assert (await sdk.models.retrieve(name)).id == name
    with pytest.raises(openai.NotFoundError):
        await sdk.models.retrieve("other")


async def test_anthropics_client_is_told_in_its_own_form(sdk: openai.AsyncOpenAI) -> None:
    root = str(sdk.base_url).removesuffix("/v1/")
    async with anthropic.AsyncAnthropic(base_url=root, api_key="any", max_retries=0) as other:
        listed = [model async for model in other.models.list()]
        assert [model.id for model in listed] == NAMES
        assert {model.type for model in listed} == {"model"}
        assert (await other.models.retrieve("sql")).display_name == "sql"
        with pytest.raises(anthropic.NotFoundError):
            await other.models.retrieve("other")


async def test_requests_go_to_engines_that_serve_their_model(
    sdk: openai.AsyncOpenAI, engines: dict[str, EngineServer]
) -> None:
    for _ in range(4):
        assert await ask(sdk, "big") == "big"
        assert await ask(sdk, "law") == "law"
    assert finished(engines) == {"one": 4, "two": 4, "three": 0}


async def test_an_alias_is_sent_under_the_models_own_name(
    sdk: openai.AsyncOpenAI, engines: dict[str, EngineServer]
) -> None:
    assert await ask(sdk, "chat") == "big"
    stream = await sdk.chat.completions.create(
        model="chat", messages=MESSAGES, max_tokens=3, stream=True
    )
    assert {chunk.model async for chunk in stream} == {"big"}
    assert finished(engines)["one"] == 2


async def test_an_unknown_model_is_refused_with_the_names_of_those_there_are(
    sdk: openai.AsyncOpenAI, engines: dict[str, EngineServer]
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await ask(sdk, "bgi")
    assert caught.value.code == "model_not_found"
    assert "`big`, `chat`, `law`, `small`, `sql`" in caught.value.message
    assert sum(finished(engines).values()) == 0


async def test_a_fallback_answers_while_the_models_engine_is_down(
    sdk: openai.AsyncOpenAI, engines: dict[str, EngineServer]
) -> None:
    await engines["one"].apply(FaultCommand("die"))
    async with asyncio.timeout(30):
        while True:
            try:
                assert await ask(sdk, "big") == "small"
                break
            except openai.InternalServerError:  # not known to be down yet
                await asyncio.sleep(0.02)
    await engines["one"].apply(FaultCommand("none"))
    async with asyncio.timeout(30):
        while await ask(sdk, "big") != "big":  # noqa: ASYNC110 - health is found out
            await asyncio.sleep(0.02)


async def test_a_body_in_chunks_is_renamed_as_well(
    sdk: openai.AsyncOpenAI, engines: dict[str, EngineServer]
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"model": "chat", "max_tokens": 2, '
        yield b'"messages": [{"role": "user", "content": "hi"}]}'

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sdk.base_url}chat/completions", data=pieces()) as response,
    ):
        assert response.status == 200
        assert (await response.json())["model"] == "big"


async def test_a_client_that_waits_for_100_is_understood_as_well(
    sdk: openai.AsyncOpenAI, engines: dict[str, EngineServer]
) -> None:
    """As curl does with a large body."""
    async with aiohttp.ClientSession() as session:
        for name in ("chat", "law", "chat"):
            body = {"model": name, "messages": MESSAGES, "max_tokens": 2}
            url = f"{sdk.base_url}chat/completions"
            async with session.post(url, json=body, expect100=True) as response:
                assert response.status == 200
    assert finished(engines) == {"one": 2, "two": 1, "three": 0}
