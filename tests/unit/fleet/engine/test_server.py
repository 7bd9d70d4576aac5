"""Emulated engines over the wire: OpenAI's API by its own client."""

import asyncio
from typing import Any

import aiohttp
import openai
import pytest

from penstock.fleet.engine.server import EngineServer
from tests.unit.fleet.conftest import Until
from tests.unit.fleet.engine.asking import MODEL, Start, sdk_for, user


async def test_a_chat_is_answered_whole_and_in_pieces_alike(sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.chat.completions.create(model=MODEL, messages=user("hi"), max_tokens=9)
    stream = await sdk.chat.completions.create(
        model=MODEL,
        messages=user("hi"),
        max_tokens=9,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len(chunks) == 1 + whole.usage.completion_tokens + 1


async def test_a_completion_is_answered_whole_and_in_pieces_alike(
    sdk: openai.AsyncOpenAI,
) -> None:
    whole = await sdk.completions.create(model=MODEL, prompt="once upon", max_tokens=5)
    stream = await sdk.completions.create(
        model=MODEL, prompt="once upon", max_tokens=5, stream=True
    )
    text = "".join([chunk.choices[0].text async for chunk in stream])
    assert text == whole.choices[0].text


async def test_the_length_asked_for_is_kept(sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.chat.completions.create(
        model=MODEL, messages=user("hi"), max_tokens=700, extra_body={"ignore_eos": True}
    )
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 700
    assert whole.choices[0].finish_reason == "length"


async def test_a_tool_that_must_be_called_is_called(sdk: openai.AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    asked: Any = {
        "model": MODEL,
        "messages": user("hi"),
        "tools": tools,
        "tool_choice": "required",
        "max_tokens": 4,
    }
    whole = await sdk.chat.completions.create(**asked)
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "look_up"
    assert whole.choices[0].finish_reason == "tool_calls"
    async with sdk.chat.completions.stream(**asked) as stream:
        final = await stream.get_final_completion()
    streamed = final.choices[0].message.tool_calls
    assert streamed is not None
    assert streamed[0].function.arguments == calls[0].function.arguments


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("chat/completions", {"stream": None, "stream_options": {"include_usage": None}}, 200),
        ("chat/completions", {"tools": [5, {"type": "x"}, {"function": {}}]}, 200),
        ("chat/completions", {"tool_choice": {"function": 5}}, 200),
        ("messages", {"stream": None}, 200),
        ("embeddings", {"input": [[1, "a"]]}, 400),
        ("embeddings", {"input": [1, 2, 3]}, 200),
    ],
)
async def test_odd_fields_are_passed_over_or_refused(
    engine: EngineServer, client: aiohttp.ClientSession, path: str, fields: Any, status: int
) -> None:
    body = {"model": MODEL, "messages": user("hi"), "max_tokens": 1, **fields}
    async with client.post(f"{engine.url}/v1/{path}", json=body) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"


async def test_embeddings_are_the_same_for_the_same_text(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.embeddings.create(model=MODEL, input=["a", "b", "a"])
    first, second, third = (item.embedding for item in answer.data)
    assert first == third
    assert first != second


async def test_models_list_the_base_and_its_adapters(start: Start) -> None:
    async with sdk_for(await start(adapters=("poet",))) as sdk:
        listed = [model.id async for model in sdk.models.list()]
        assert listed == [MODEL, "poet"]
        await sdk.completions.create(model="poet", prompt="a", max_tokens=1)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"model": "unknown"}, openai.NotFoundError),
        ({"max_tokens": 0}, openai.BadRequestError),
        ({"max_tokens": 10_000_000}, openai.BadRequestError),
        ({"n": 2}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
        ({"messages": "hi"}, openai.BadRequestError),
    ],
)
async def test_what_an_engine_cannot_do_is_refused_as_engines_do(
    sdk: openai.AsyncOpenAI, fields: dict[str, Any], error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error):
        await sdk.chat.completions.create(**{"model": MODEL, "messages": user("hi"), **fields})


async def test_a_prompt_that_never_fits_the_cache_is_refused(start: Start) -> None:
    async with sdk_for(await start(kv_tokens=1024)) as sdk:
        with pytest.raises(openai.BadRequestError, match="do not fit"):
            await sdk.completions.create(model=MODEL, prompt="word" * 2000, max_tokens=1)


async def test_a_conversation_that_goes_on_finds_its_past_in_the_cache(
    sdk: openai.AsyncOpenAI,
) -> None:
    messages = user("tell me " * 60)
    first = await sdk.chat.completions.create(model=MODEL, messages=messages, max_tokens=40)
    assert first.usage is not None
    messages.append({"role": "assistant", "content": first.choices[0].message.content})
    messages += user("and then?")
    second = await sdk.chat.completions.create(model=MODEL, messages=messages, max_tokens=1)
    assert second.usage is not None
    assert first.usage.prompt_tokens_details is None  # engines leave out what would be 0
    assert second.usage.prompt_tokens_details is not None
    # All but the last token of the answer, which was never computed, in whole blocks of 16.
    known = first.usage.total_tokens - 1
    assert second.usage.prompt_tokens_details.cached_tokens == known // 16 * 16


async def test_http_1_0_clients_get_a_stream_that_ends_with_the_connection(
    engine: EngineServer,
) -> None:
    reader, writer = await asyncio.open_connection(engine.host, engine.port)
    body = b'{"prompt": "a", "max_tokens": 2, "stream": true}'
    writer.write(
        b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, events = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert events.startswith(b"data: {")
    assert events.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_slot(
    start: Start, until: Until, stream: bool
) -> None:
    engine = await start(speedup=1.0)
    body = {"prompt": "a", "max_tokens": 5000, "ignore_eos": True, "stream": stream}
    async with aiohttp.ClientSession() as client:

        async def ask() -> None:
            async with client.post(f"{engine.url}/v1/completions", json=body) as response:
                await response.read()

        asking = asyncio.create_task(ask())
        await until(lambda: engine.load().running == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: engine.load().running == 0)
