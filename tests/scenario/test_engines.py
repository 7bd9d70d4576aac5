"""OpenAI's own client through Penstock to emulated engines, unchanged."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from penstock.fleet.faults import FaultCommand
from tests.harness.serving import MODEL, PATIENCE_S, Serving, serving

MESSAGES: Any = [{"role": "user", "content": "tell me a story"}]


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as started:
        yield started


@pytest_asyncio.fixture
async def sdk(site: Serving) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{site.url}/v1", api_key="any", max_retries=0, timeout=PATIENCE_S
    ) as made:
        yield made


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


async def test_a_tool_is_called_when_the_prompt_asks(sdk: openai.AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    question: Any = [{"role": "user", "content": "look_up the weather"}]
    asked: Any = {"model": MODEL, "messages": question, "tools": tools, "max_tokens": 4}
    whole: Any = await sdk.chat.completions.create(**asked)
    [call] = whole.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "look_up"
    arguments = ""
    async for chunk in await sdk.chat.completions.create(**asked, stream=True):
        for piece in chunk.choices[0].delta.tool_calls or ():
            arguments += (piece.function and piece.function.arguments) or ""
    assert arguments == call.function.arguments
    assert json.loads(arguments)["text"]


async def test_responses_whole_streamed_and_with_a_tool(sdk: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": MODEL, "input": "tell me a story", "max_output_tokens": 20}
    whole = await sdk.responses.create(**asked, instructions="Be brief.")
    async with sdk.responses.stream(**asked, instructions="Be brief.") as stream:
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type in ("response.completed", "response.incomplete")
    final: Any = events[-1]
    assert final.response.output_text == whole.output_text
    assert whole.output_text
    tools: Any = [{"type": "function", "name": "look_up", "parameters": {}, "strict": False}]
    called: Any = await sdk.responses.create(
        model=MODEL, input="look_up the weather", tools=tools, max_output_tokens=4
    )
    [call] = called.output
    assert call.type == "function_call"
    assert call.name == "look_up"
    assert json.loads(call.arguments)["text"]


async def test_responses_are_refused_in_openais_form(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="not found"):
        await sdk.responses.create(model=MODEL, input="a", previous_response_id="resp_1")


async def test_a_stream_that_is_given_up_frees_its_slot(
    sdk: openai.AsyncOpenAI, site: Serving
) -> None:
    asked: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 5000, "stream": True}
    stream = await sdk.chat.completions.create(**asked, extra_body={"ignore_eos": True})
    async for _ in stream:
        break
    assert site.working() == 1
    await stream.close()
    await site.until_idle()


async def test_an_engine_that_dies_in_the_middle_never_looks_finished(
    sdk: openai.AsyncOpenAI, site: Serving
) -> None:
    asked: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 5000, "stream": True}
    stream = await sdk.chat.completions.create(**asked, extra_body={"ignore_eos": True})
    await anext(aiter(stream))
    [serving_it] = [engine for engine in site.engines if engine.load().running]
    await serving_it.apply(FaultCommand("die"))
    with pytest.raises(openai.APIConnectionError):
        _ = [chunk async for chunk in stream]
    answer = await sdk.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=3)
    assert answer.choices[0].message.content
