"""Ollama's own client on its native paths through Penstock, unchanged."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
import pytest_asyncio

from penstock.fleet.faults import FaultCommand
from tests.harness.serving import MODEL, PATIENCE_S, Serving, serving

MESSAGES: Any = [{"role": "user", "content": "tell me a story"}]
TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Serving]:
    # Answers end by what is asked for, and those of 5000 tokens after the test.
    async with serving(tmp_path, dialect="ollama", mean_answer_tokens=10**6) as started:
        yield started


@pytest_asyncio.fixture
async def client(site: Serving) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=site.url, timeout=PATIENCE_S) as made:
        yield made


async def test_chat_and_generate_say_the_same_whole_and_streamed(
    client: ollama.AsyncClient,
) -> None:
    options = {"num_predict": 12}
    whole = await client.chat(MODEL, MESSAGES, options=options)
    pieces = [p async for p in await client.chat(MODEL, MESSAGES, stream=True, options=options)]
    assert "".join(p.message.content or "" for p in pieces) == whole.message.content
    assert pieces[-1].done
    assert pieces[-1].eval_count == whole.eval_count == len(pieces) - 1
    generated = await client.generate(MODEL, "once", options=options)
    parts = [p async for p in await client.generate(MODEL, "once", stream=True, options=options)]
    assert "".join(p.response or "" for p in parts) == generated.response


async def test_a_tool_is_called(client: ollama.AsyncClient) -> None:
    question: Any = [{"role": "user", "content": "look_up the weather"}]
    answer = await client.chat(MODEL, question, tools=TOOLS, options={"num_predict": 4})
    [call] = answer.message.tool_calls or ()
    assert call.function.name == "look_up"
    assert call.function.arguments["text"]


async def test_models_and_what_is_loaded_are_told(client: ollama.AsyncClient) -> None:
    listed = await client.list()
    assert [model.model for model in listed.models] == [f"{MODEL}:latest"]
    running = await client.ps()
    assert [model.model for model in running.models] == [f"{MODEL}:latest"]
    shown = await client.show(MODEL)
    assert "completion" in (shown.capabilities or ())


async def test_a_refusal_is_in_ollamas_form(client: ollama.AsyncClient) -> None:
    with pytest.raises(ollama.ResponseError, match="does not exist") as refused:
        await client.chat("unknown", MESSAGES)
    assert refused.value.status_code == 404


async def test_a_stream_that_is_given_up_frees_its_slot(
    client: ollama.AsyncClient, site: Serving
) -> None:
    stream: Any = await client.chat(MODEL, MESSAGES, stream=True, options={"num_predict": 5000})
    await anext(stream)
    await stream.aclose()
    await site.until_idle()


async def test_an_engine_that_dies_in_the_middle_never_looks_finished(
    client: ollama.AsyncClient, site: Serving
) -> None:
    stream: Any = await client.generate(
        MODEL, "once " * 20, stream=True, options={"num_predict": 5000}
    )
    await anext(stream)
    for engine in site.engines:
        if engine.load().running:
            await engine.apply(FaultCommand("die"))
    with pytest.raises((httpx.TransportError, ConnectionError)):
        _ = [piece async for piece in stream]
