"""Answers of real llama.cpp servers that are cut at random go on from another, byte for byte.

A token of this model is a byte, so that a text is cut into the tokens that it was made of.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from tests.engines.llamacpp.process import LlamaCpp
from tests.engines.status import until_read
from tests.harness.cutting_proxy import CuttingProxy
from tests.harness.serving import start_balancer

PATIENCE_S = 20.0
CUTS = 15
TOKENS = 40
ASKED = {"model": "tiny", "stream": True, "temperature": 0, "seed": 1, "cache_prompt": False}
APIS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Tell me of rivers."}], "max_tokens": TOKENS},
    ),
    "chat, usage": (
        "/v1/chat/completions",
        {
            "messages": [{"role": "user", "content": "Tell me of rivers."}],
            "max_tokens": TOKENS,
            "stream_options": {"include_usage": True},
        },
    ),
    "messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "Tell me of rivers."}], "max_tokens": TOKENS},
    ),
    "completion": ("/v1/completions", {"prompt": "Once upon a time", "max_tokens": TOKENS}),
    "responses": (
        "/v1/responses",
        {"input": "Tell me of rivers.", "max_output_tokens": TOKENS, "store": False},
    ),
}
BY_IDS = ("chat", "chat, usage", "completion")  # with the prompts that the engine makes of chats
# Of an answer of which nothing is to come but its end the rest is not asked for.
LAST_TEXT = {"messages": b"event: content_block_delta", "responses": b"event: response.output_text"}


@pytest_asyncio.fixture
async def proxies(engines: list[LlamaCpp]) -> AsyncIterator[list[CuttingProxy]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(CuttingProxy(each.url)) for each in engines]


@pytest_asyncio.fixture
async def resuming(
    proxies: list[CuttingProxy], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[BalancerProcess]:
    pool: dict[str, Any] = {
        "kind": "llm",
        "endpoints": [each.url for each in proxies],
        "policy": "round-robin",
        "outlier": "off",  # every one of them fails all the time
        "resume": request.param,
        "timeouts": {"token": "5s"},
    }
    started = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 1})
    try:
        async with asyncio.timeout(PATIENCE_S):
            await until_read(started, len(proxies))
        yield started
    finally:
        await started.stop()


def told(body: str) -> list[dict[str, Any]]:
    """The events of a stream that ended as it should."""
    events = [line[6:] for line in body.split("\n") if line.startswith("data: ")]
    if events[-1] == "[DONE]":
        return [json.loads(event) for event in events[:-1]]
    assert json.loads(events[-1])["type"] in ("message_stop", "response.completed")
    return [json.loads(event) for event in events]


def text_of(events: list[dict[str, Any]]) -> str:
    said = ""
    for event in events:
        if event.get("type") == "response.output_text.delta":
            said += event["delta"]
        else:
            said += event.get("delta", {}).get("text") or ""
        for choice in event.get("choices", ()):
            said += choice.get("text") or choice.get("delta", {}).get("content") or ""
    return said


def ends_of(events: list[dict[str, Any]]) -> list[str]:
    """Why it ended; once."""
    choices = [choice for event in events for choice in event.get("choices", ())]
    told = [choice["finish_reason"] for choice in choices]
    told += [each.get("delta", {}).get("stop_reason") for each in events if "item_id" not in each]
    told += [each["response"]["status"] for each in events[-1:] if "response" in each]
    return [reason for reason in told if reason]


def usages_of(events: list[dict[str, Any]]) -> list[tuple[int, int]]:
    told = [event["usage"] for event in events if event.get("usage")]
    told += [each["response"]["usage"] for each in events[-1:] if "response" in each]
    return [
        (usage.get("prompt_tokens", 0), usage.get("completion_tokens", usage.get("output_tokens")))
        for usage in told
    ]


def whole_texts_of(events: list[dict[str, Any]]) -> list[str]:
    """What the ends of responses tell once more, in each of their forms."""
    found = [event["text"] for event in events if "text" in event]
    for event in events:
        items = [event["item"]] if "item" in event else event.get("response", {}).get("output", ())
        parts = [event["part"]] if "part" in event else []
        parts += [part for item in items for part in item["content"]]
        found += [part["text"] for part in parts]
    return found


BY_TEXT = "on"
EXACT = {"token_ids": True, "exact": True}


@pytest.mark.parametrize(
    ("resuming", "api"),
    [*((BY_TEXT, api) for api in APIS), *((EXACT, api) for api in BY_IDS)],
    indirect=["resuming"],
)
async def test_wherever_an_answer_is_cut_its_text_is_that_of_one_that_was_not(
    resuming: BalancerProcess, proxies: list[CuttingProxy], api: str
) -> None:
    path, more = APIS[api]
    rng = Random(api)
    cuts = 0
    async with httpx.AsyncClient(base_url=resuming.url, timeout=PATIENCE_S) as client:
        asked = ASKED | more
        if api == "messages":
            asked.pop("cache_prompt")
        whole = await client.post(path, json=asked)
        uncut = told(whole.text)
        assert len(text_of(uncut)) == TOKENS
        end = LAST_TEXT.get(api, b'"finish_reason":"')
        size = (
            whole.content.rindex(end) if api != "responses" else whole.content.index(end + b".done")
        )
        for _ in range(CUTS):
            for proxy in proxies:
                proxy.after = -1
            one = rng.choice(proxies)
            one.after = rng.randrange(900 if api == "responses" else 300, size)
            before = sum(proxy.cuts for proxy in proxies)
            answer = await client.post(path, json=asked)
            events = told(answer.text)
            cuts += sum(proxy.cuts for proxy in proxies) - before
            assert text_of(events) == text_of(uncut)
            assert len({event.get("id") for event in events}) == 1
            assert len({event["item_id"] for event in events if "item_id" in event}) <= 1
            assert whole_texts_of(events) == whole_texts_of(uncut)
            assert ends_of(events) == ends_of(uncut)
            assert len(ends_of(uncut)) == 1
            assert usages_of(events) == usages_of(uncut)
    assert cuts > CUTS // 4
