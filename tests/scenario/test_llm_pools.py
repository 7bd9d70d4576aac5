"""A pool of kind llm understands prompts, sends equal prefixes together, and changes no byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from tests.harness.serving import start_balancer, two_engines

MODEL = "emulated-model"
LONG = "the water flows through the gate of the mill and turns the wheel " * 400
POLICIES = ("cache-aware", "marginal-cost", "token-load")


@pytest_asyncio.fixture
async def engines() -> AsyncIterator[list[EngineServer]]:
    async with two_engines(speedup=20.0) as started:
        yield started


@pytest_asyncio.fixture(params=POLICIES)
async def balancer(
    engines: list[EngineServer], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[BalancerProcess]:
    policy: dict[str, Any] = {"name": request.param}
    if request.param == "marginal-cost":
        policy["explore"] = 0.0
    pool = {"kind": "llm", "policy": policy, "endpoints": [engine.url for engine in engines]}
    process = await start_balancer(tmp_path, {"pools": {"engines": pool}, "workers": 1})
    yield process
    await process.stop()


def chat(text: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": LONG}, {"role": "user", "content": text}]
    return {"model": MODEL, "messages": messages, "max_tokens": 12, "seed": 1, **more}


def prompts(engine: EngineServer) -> int:
    return engine.load().finished_total


async def answer_of(session: aiohttp.ClientSession, url: str, body: Any) -> str:
    """The text of a streamed answer, by the raw events."""
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        assert response.status == 200
        raw = (await response.read()).decode()
    assert raw.endswith("data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in raw.split("\n\n")[:-2]]
    return "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])


async def test_a_long_prefix_stays_with_one_engine(
    session: aiohttp.ClientSession, balancer: BalancerProcess, engines: list[EngineServer]
) -> None:
    for turn in range(6):
        await answer_of(session, balancer.url, chat(f"turn {turn}", stream=True))
    assert sorted(prompts(engine) for engine in engines) == [0, 6]


async def test_a_stream_is_what_the_engine_sends(
    session: aiohttp.ClientSession, balancer: BalancerProcess, engines: list[EngineServer]
) -> None:
    body = chat("hello", stream=True, stream_options={"include_usage": True})
    through = await answer_of(session, balancer.url, body)
    direct = await answer_of(session, engines[0].url, body)
    assert through == direct
    assert through


async def test_a_body_in_chunks_is_understood_as_well(
    session: aiohttp.ClientSession, balancer: BalancerProcess, engines: list[EngineServer]
) -> None:
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 5000):
            yield body[at : at + 5000]

    for turn in range(4):
        body = json.dumps(chat(f"turn {turn}")).encode()
        async with session.post(
            f"{balancer.url}/v1/chat/completions",
            data=pieces(body),
            headers={"Content-Type": "application/json"},
        ) as response:
            assert response.status == 200
            assert (await response.json())["usage"]["completion_tokens"] == 12
    assert sorted(prompts(engine) for engine in engines) == [0, 4]


async def test_everything_else_passes(
    session: aiohttp.ClientSession, balancer: BalancerProcess
) -> None:
    async with session.get(f"{balancer.url}/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]] == [MODEL]
    async with session.post(f"{balancer.url}/v1/chat/completions", data=b"no json") as response:
        assert response.status == 400  # the engine's own refusal
        assert "error" in await response.json()
    async with session.post(f"{balancer.url}/v1/chat/completions", data=b"") as response:
        assert response.status == 400


@pytest_asyncio.fixture
async def strict(engines: list[EngineServer], tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a balancer that refuses what it does not understand."""
    pool = {"kind": "llm", "malformed": "refuse", "endpoints": [engine.url for engine in engines]}
    process = await start_balancer(tmp_path, {"pools": {"engines": pool}, "workers": 1})
    yield process.url
    await process.stop()


@pytest.mark.parametrize("body", [b"no json", b"", b'{"model": 3, "messages": []}', b"[]"])
async def test_a_strict_pool_refuses_what_it_does_not_understand(
    session: aiohttp.ClientSession, strict: str, engines: list[EngineServer], body: bytes
) -> None:
    async with session.post(f"{strict}/v1/chat/completions", data=body) as response:
        told = await response.json()
        assert (response.status, told["error"]["type"]) == (400, "invalid_request_error")
    disguised = URL(f"{strict}/v1%2fchat%2fcompletion%73", encoded=True)  # the same to most servers
    async with session.post(disguised, data=body) as response:
        told = await response.json()
        assert (response.status, told["error"]["type"]) == (400, "invalid_request_error")
    async with session.post(f"{strict}/v1/messages", data=body) as response:
        told = await response.json()
        assert (response.status, told["type"]) == (400, "error")
    async with session.post(f"{strict}/tokenize", data=body) as response:
        assert "request_id" not in await response.text()  # the engine's own answer
    assert await answer_of(session, strict, chat("hello", stream=True))
    assert sum(prompts(engine) for engine in engines) == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_strict_pool_refuses_what_is_too_long_to_be_understood(
    strict: str, engines: list[EngineServer], chunked: bool
) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {17 << 20}"
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(strict.rpartition(":")[2]))
    writer.write(head.encode())
    # With its framing the sixteenth is too much. What a length tells need not be sent, and nothing
    # may be when the balancer, having refused it, has waited for its end long enough.
    for _ in range(16 if chunked else 0):
        writer.write(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
        await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()
    assert sum(prompts(engine) for engine in engines) == 0
