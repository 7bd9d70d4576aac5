"""What a user of llama.cpp sees through Penstock is what it would have sent, and it never fails."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import openai
import pytest

from penstock.fleet.balancer import BalancerProcess
from tests.engines.llamacpp.process import LlamaCpp
from tests.engines.status import endpoints_of, until_read
from tests.harness.serving import start_balancer

PATIENCE_S = 20.0
EJECTION_S = 30.0  # by default, of an endpoint that died under requests
CONTEXT_TOKENS = 16384  # of the model: see tiny_model.py
QUESTION: Any = [{"role": "user", "content": "Tell me of rivers."}]
# Asked twice, the second time must not be shortened by what the first left in the cache.
REPEATABLE = {"temperature": 0, "seed": 1, "cache_prompt": False}
BODIES = {
    "chat": ("/v1/chat/completions", {"messages": QUESTION, "max_tokens": 8}),
    "chat, usage": (
        "/v1/chat/completions",
        {"messages": QUESTION, "max_tokens": 8, "stream_options": {"include_usage": True}},
    ),
    "chat, two choices": ("/v1/chat/completions", {"messages": QUESTION, "max_tokens": 4, "n": 2}),
    "completion": ("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 8}),
    "messages": ("/v1/messages", {"messages": QUESTION, "max_tokens": 8}),
    "responses": ("/v1/responses", {"input": "Tell me of rivers.", "max_output_tokens": 8}),
    "native": ("/completion", {"prompt": "Once upon a time", "n_predict": 8}),
}
# They differ between two answers to the same question.
VOLATILE = (
    "id",
    "item_id",
    "created",
    "created_at",
    "completed_at",
    "system_fingerprint",
    "id_slot",
)


async def test_engines_are_recognised_and_their_capacity_is_read(
    balancer: BalancerProcess,
) -> None:
    for endpoint in await endpoints_of(balancer):
        assert endpoint["engine"]["kind"] == "llamacpp"
        # What one slot tells, which is the model's own context: what fits for certain.
        assert endpoint["engine"]["kv_capacity"] == CONTEXT_TOKENS
        assert not endpoint["engine"]["silent"]


@pytest.mark.parametrize("name", list(BODIES))
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_an_answer_is_event_by_event_what_the_engine_would_have_sent(
    balancer: BalancerProcess, engines: list[LlamaCpp], name: str, stream: bool
) -> None:
    path, asked = BODIES[name]
    body = {"model": "tiny", "stream": stream, **REPEATABLE, **asked}
    if not stream:
        body.pop("stream_options", None)
    for engine in engines:  # the messages API takes no ``cache_prompt``
        httpx.post(f"{engine.url}{path}", json=body, timeout=PATIENCE_S)
    direct = httpx.post(f"{engines[0].url}{path}", json=body, timeout=PATIENCE_S)
    for _ in range(4):  # what each engine does unasked is learnt from the first stream to it
        passed = httpx.post(f"{balancer.url}{path}", json=body, timeout=PATIENCE_S)
        assert passed.status_code == direct.status_code == 200
        assert passed.headers["content-type"] == direct.headers["content-type"]
        assert by_choice(events_of(passed.text)) == by_choice(events_of(direct.text))


def events_of(text: str) -> Iterator[Any]:
    """Lines of an event stream, or the one document, without what differs from time to time."""
    for line in text.splitlines():
        document = line.removeprefix("data: ")
        yield steady(json.loads(document)) if document.startswith("{") else line


def by_choice(events: Iterator[Any]) -> list[Any]:
    """In which order several choices go on is the engine's chance; each has its own."""

    def choice(event: Any) -> int:
        choices = event.get("choices") if isinstance(event, dict) else None
        return choices[0].get("index", 0) if choices else 0

    told = list(events)
    if any(choice(event) > 0 for event in told):  # whichever ends last has the timings of all
        bare = [
            {k: v for k, v in e.items() if k != "timings"} if isinstance(e, dict) else e
            for e in told
        ]
        return sorted((e for e in bare if e), key=choice)
    last = max((at for at, event in enumerate(told) if isinstance(event, dict)), default=0)
    return sorted((e for e in told[:last] if e), key=choice) + told[last:]


def steady(value: Any, key: str = "") -> Any:
    """``value`` with identifiers, times and speeds replaced by their names."""
    if isinstance(value, dict):
        if key == "timings":  # counts of tokens stay
            return {name: each if name.endswith("_n") else name for name, each in value.items()}
        return {name: steady(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [steady(each, key) for each in value]
    return key if key in VOLATILE else value


async def test_the_sdk_reads_the_same_events(
    balancer: BalancerProcess, engines: list[LlamaCpp]
) -> None:
    told = []
    for url in (engines[0].url, balancer.url):
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=PATIENCE_S
        ) as sdk:
            stream = await sdk.chat.completions.create(
                model="tiny",
                messages=QUESTION,
                max_tokens=8,
                temperature=0,
                stream=True,
                extra_body={"cache_prompt": False},
            )
            told.append([steady(chunk.model_dump()) async for chunk in stream])
    assert told[0] == told[1]


async def test_what_the_engine_does_not_support_ejects_nobody(balancer: BalancerProcess) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(12):
            body = {"model": "tiny", "input": "words"}
            async with session.post(f"{balancer.url}/v1/embeddings", json=body) as response:
                assert response.status == 501
        assert await statuses_of_streams(balancer, clients=2, each=4) == {200: 8}
    assert [endpoint["ejections"] for endpoint in await endpoints_of(balancer)] == [0, 0]


async def test_480_short_streams_of_eight_clients_are_all_answered(
    balancer: BalancerProcess,
) -> None:
    """llama.cpp closes its connection after each, at a moment of its own choice."""
    assert await statuses_of_streams(balancer, clients=8, each=60) == {200: 480}


async def statuses_of_streams(
    balancer: BalancerProcess, *, clients: int, each: int
) -> dict[int, int]:
    """How streams of four tokens ended; those that were cut count as 0."""
    counts: dict[int, int] = {}

    async def ask(session: aiohttp.ClientSession) -> None:
        for _ in range(each):
            body = {"model": "tiny", "messages": QUESTION, "max_tokens": 4, "stream": True}
            url = f"{balancer.url}/v1/chat/completions"
            async with session.post(url, json=body) as response:
                text = await response.text()
                whole = response.status != 200 or text.endswith("data: [DONE]\n\n")
                status = response.status if whole else 0
                counts[status] = counts.get(status, 0) + 1

    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        await asyncio.gather(*[ask(session) for _ in range(clients)])
    return counts


async def test_a_client_that_leaves_frees_its_slot(
    balancer: BalancerProcess, engines: list[LlamaCpp]
) -> None:
    body = {"model": "tiny", "messages": QUESTION, "max_tokens": 8000, "stream": True}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{balancer.url}/v1/chat/completions", json=body) as response:
            await response.content.readline()
            assert sum([await busy_slots(engine) for engine in engines]) == 1
        async with asyncio.timeout(PATIENCE_S):
            while any([await busy_slots(engine) for engine in engines]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert [endpoint["in_flight"] for endpoint in await endpoints_of(balancer)] == [0, 0]


async def busy_slots(engine: LlamaCpp) -> int:
    return await asyncio.to_thread(engine.busy_slots)


async def test_an_engine_that_is_killed_and_comes_back_costs_no_request_begun_later(
    balancer: BalancerProcess, engines: list[LlamaCpp]
) -> None:
    assert await statuses_of_streams(balancer, clients=2, each=5) == {200: 10}
    engines[0].kill()
    try:
        assert await statuses_of_streams(balancer, clients=4, each=10) == {200: 40}
    finally:
        await asyncio.to_thread(engines[0].start)
    async with asyncio.timeout(PATIENCE_S + EJECTION_S):
        await until_read(balancer, 2)
    assert await statuses_of_streams(balancer, clients=4, each=10) == {200: 40}


SYSTEM = "You answer with care, in few words, and name your sources. " * 20
LONG = {"interval": "10m", "silent_after": "10m"}  # no reading falls between two turns


async def test_conversations_that_share_a_system_prompt_find_what_they_left(
    model: Path, tmp_path: Path
) -> None:
    """The engine by itself has one cut another's, and finds 77 per cent here."""
    with LlamaCpp(model, tmp_path / "log", shares_memory=False) as engine:
        pool = {"kind": "llm", "endpoints": [engine.url], "engine": {**LONG, "slots": "pin"}}
        balancer = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 1})
        try:
            async with asyncio.timeout(PATIENCE_S):
                await until_read(balancer, 1)
            cached, prompts = await asyncio.to_thread(cached_of_turns, balancer.url)
        finally:
            await balancer.stop()
    assert cached >= 0.9 * prompts


def cached_of_turns(url: str) -> tuple[int, int]:
    """Three conversations turn by turn: tokens found cached, and all, of prompts that go on."""
    system = {"role": "system", "content": SYSTEM}
    conversations: list[list[dict[str, str]]] = [[system] for _ in range(3)]
    cached = prompts = 0
    for turn in range(6):
        for number, messages in enumerate(conversations):
            asked = f"In conversation {number} this is question {turn}: tell me more of rivers."
            messages.append({"role": "user", "content": asked})
            body = {"model": "tiny", "messages": messages, "max_tokens": 16, "temperature": 0}
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=PATIENCE_S).json()
            messages.append(answer["choices"][0]["message"])
            if turn:
                timings = answer["timings"]
                cached += timings["cache_n"]
                prompts += timings["cache_n"] + timings["prompt_n"]
    return cached, prompts
