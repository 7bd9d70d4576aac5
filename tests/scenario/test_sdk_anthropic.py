"""Anthropic's own client through Penstock to emulated engines, unchanged."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
import pytest_asyncio

from penstock.fleet.faults import FaultCommand
from tests.harness.serving import MODEL, PATIENCE_S, Serving, serving

MESSAGES: Any = [{"role": "user", "content": "tell me a story"}]
TOOLS: Any = [{"name": "look_up", "description": "", "input_schema": {"type": "object"}}]


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Serving]:
    # Answers end by what is asked for, and those of 5000 tokens after the test.
    async with serving(tmp_path, mean_answer_tokens=10**6) as started:
        yield started


@pytest_asyncio.fixture
async def sdk(site: Serving) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=site.url, api_key="any", max_retries=0, timeout=PATIENCE_S
    ) as made:
        yield made


async def test_an_answer_is_the_same_whole_and_streamed(sdk: anthropic.AsyncAnthropic) -> None:
    asked: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 20, "system": "Be brief."}
    whole = await sdk.messages.create(**asked)
    assert whole.content[0].type == "text"
    async with sdk.messages.stream(**asked) as stream:
        pieces = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(pieces) == whole.content[0].text
    assert len(pieces) == final.usage.output_tokens
    assert final.stop_reason == whole.stop_reason
    cached = final.usage.cache_read_input_tokens or 0
    assert final.usage.input_tokens + cached == whole.usage.input_tokens


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_tool_is_called_when_the_prompt_asks_and_its_result_goes_back(
    sdk: anthropic.AsyncAnthropic, streamed: bool
) -> None:
    question: Any = [{"role": "user", "content": "please look_up the weather"}]
    asked: Any = {"model": MODEL, "max_tokens": 4, "tools": TOOLS}
    if streamed:
        async with sdk.messages.stream(messages=question, **asked) as stream:
            answer: Any = await stream.get_final_message()
    else:
        answer = await sdk.messages.create(messages=question, **asked)
    assert answer.stop_reason == "tool_use"
    [call] = answer.content
    assert (call.type, call.name) == ("tool_use", "look_up")
    assert call.input["text"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    told = [
        *question,
        {"role": "assistant", "content": [call.model_dump()]},
        {"role": "user", "content": [result]},
    ]
    final = await sdk.messages.create(messages=told, **asked)
    assert final.content[0].type == "text"


async def test_refusals_are_in_anthropics_form(sdk: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="not_found_error"):
        await sdk.messages.create(model="unknown", messages=MESSAGES, max_tokens=4)
    with pytest.raises(anthropic.BadRequestError, match="invalid_request_error"):
        await sdk.messages.create(model=MODEL, messages=[], max_tokens=4)


async def test_endpoints_that_fail_are_told_in_anthropics_form(
    sdk: anthropic.AsyncAnthropic, site: Serving
) -> None:
    for engine in site.engines:
        await engine.apply(FaultCommand("die"))
    with pytest.raises(anthropic.APIStatusError) as caught:
        await sdk.messages.create(model=MODEL, messages=MESSAGES, max_tokens=4)
    body: Any = caught.value.body
    assert body["type"] == "error"
    expected = {502: "api_error", 503: "overloaded_error"}
    assert body["error"]["type"] == expected[caught.value.status_code]
    assert body["request_id"] == caught.value.response.headers["x-request-id"]


async def test_a_stream_that_is_given_up_frees_its_slot(
    sdk: anthropic.AsyncAnthropic, site: Serving
) -> None:
    asked: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 5000, "stream": True}
    stream: Any = await sdk.messages.create(**asked)
    await anext(aiter(stream))
    assert site.working() == 1
    await stream.close()
    await site.until_idle()


async def test_an_engine_that_dies_in_the_middle_never_looks_finished(
    sdk: anthropic.AsyncAnthropic, site: Serving
) -> None:
    asked: Any = {"model": MODEL, "messages": MESSAGES, "max_tokens": 5000, "stream": True}
    stream: Any = await sdk.messages.create(**asked)
    await anext(aiter(stream))
    [serving_it] = [engine for engine in site.engines if engine.load().running]
    await serving_it.apply(FaultCommand("die"))
    with pytest.raises(Exception, match="without sending complete message body"):
        _ = [event async for event in stream]
