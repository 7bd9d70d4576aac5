"""Usage is known of every stream, and clients that did not ask for it do not see it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from tests.harness.log import lines_of
from tests.harness.serving import start_balancer

MODEL = "emulated-model"
TEXT = "the water flows through the gate of the mill " * 60
KEPT = ("model", "prompt_tokens", "cached_tokens", "output_tokens", "finish")


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[EngineServer]:
    started = EngineServer(EngineSpec("engine-1", speedup=20.0))
    await started.start()
    yield started
    await started.stop()


@pytest_asyncio.fixture
async def balancer(engine: EngineServer, tmp_path: Path) -> AsyncIterator[BalancerProcess]:
    pool = {"kind": "llm", "policy": "marginal-cost", "endpoints": [engine.url]}
    document = {
        "pools": {"engines": pool, "plain": {**pool, "usage": "asked"}},
        "routes": [
            {"match": {"headers": {"X-Plain": "1"}}, "pool": "plain"},
            {"pool": "engines"},
        ],
        "workers": 1,
        "request_log": str(tmp_path / "requests.log"),
    }
    process = await start_balancer(tmp_path, document)
    yield process
    await process.stop()


def chat(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": TEXT}]
    return {"model": MODEL, "messages": messages, "max_tokens": 9, "seed": 1, **more}


async def events(session: aiohttp.ClientSession, url: str, body: Any, **kind: Any) -> list[Any]:
    """The JSON of a stream's events; they are followed by [DONE] and nothing else."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with session.post(f"{url}/v1/chat/completions", data=data, **kind) as response:
        assert response.status == 200
        raw = (await response.read()).decode()
    *lines, done = raw.removesuffix("\n\n").split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def shown(session: aiohttp.ClientSession, balancer: BalancerProcess) -> None:
    """Let the engine show what its streams are like that nobody asks for usage."""
    await events(session, balancer.url, chat(stream=True))


def logged(directory: Path, count: int) -> list[dict[str, Any]]:
    """The lines of the request log, once there are so many."""
    return lines_of(directory / "requests.log", count)


def without_identity(found: list[Any]) -> list[Any]:
    return [{**event, "id": "", "created": 0} for event in found]


async def test_a_client_that_did_not_ask_sees_no_usage_and_the_log_does(
    session: aiohttp.ClientSession, balancer: BalancerProcess, engine: EngineServer, tmp_path: Path
) -> None:
    await shown(session, balancer)
    through = await events(session, balancer.url, chat(stream=True))
    direct = await events(session, engine.url, chat(stream=True))
    assert without_identity(through) == without_identity(direct)
    line = logged(tmp_path, 2)[1]
    assert {key: line[key] for key in KEPT} == {
        "model": MODEL,
        "prompt_tokens": line["prompt_tokens"],
        "cached_tokens": line["cached_tokens"],
        "output_tokens": 9,
        "finish": "length",
    }
    assert line["prompt_tokens"] > 300
    assert 0.0 < line["t_first_token"] <= line["t_total"]
    assert line["t_per_token"] >= 0.0  # 0 where all of it came in one piece


async def test_a_body_in_chunks_is_asked_in_as_well(
    session: aiohttp.ClientSession, balancer: BalancerProcess, tmp_path: Path
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        data = json.dumps(chat(stream=True)).encode()
        for at in range(0, len(data), 700):
            yield data[at : at + 700]

    await shown(session, balancer)
    url = f"{balancer.url}/v1/chat/completions"
    async with session.post(url, data=pieces()) as response:
        assert response.status == 200
        assert b'"usage"' not in await response.read()
    assert logged(tmp_path, 2)[1]["output_tokens"] == 9


async def test_a_client_that_asked_gets_its_usage(
    session: aiohttp.ClientSession, balancer: BalancerProcess, tmp_path: Path
) -> None:
    body = chat(stream=True, stream_options={"include_usage": True})
    told = (await events(session, balancer.url, body))[-1]["usage"]
    line = logged(tmp_path, 1)[0]
    assert line["prompt_tokens"] == told["prompt_tokens"]
    assert line["output_tokens"] == told["completion_tokens"] == 9


async def test_a_pool_that_may_not_ask_changes_nothing(
    session: aiohttp.ClientSession, balancer: BalancerProcess, tmp_path: Path
) -> None:
    plain = {"X-Plain": "1"}
    await events(session, balancer.url, chat(stream=True), headers=plain)
    assert logged(tmp_path, 1)[0]["output_tokens"] is None
    url = f"{balancer.url}/v1/chat/completions"
    async with session.post(url, json=chat(), headers=plain) as response:
        assert (await response.json())["usage"]["completion_tokens"] == 9
    assert logged(tmp_path, 2)[1]["output_tokens"] == 9


async def test_metrics_count_tokens_by_model(
    session: aiohttp.ClientSession, balancer: BalancerProcess
) -> None:
    await shown(session, balancer)
    for _ in range(2):
        await events(session, balancer.url, chat(stream=True))
    labels = f'{{model="{MODEL}",pool="engines"}}'

    async def metric(name: str) -> float:
        async with session.get(f"{balancer.admin_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        values = [line.rpartition(" ")[2] for line in lines if line.startswith(name + labels)]
        return float(values[0]) if values else 0.0

    for _ in range(500):
        if await metric("penstock_model_answers_total") == 2.0:
            break
        await asyncio.sleep(0.01)
    assert await metric("penstock_output_tokens_total") == 18.0
    assert await metric("penstock_cached_tokens_total") > 0.0


async def test_a_client_of_http_1_0_sees_no_usage_either(
    session: aiohttp.ClientSession, balancer: BalancerProcess, tmp_path: Path
) -> None:
    await shown(session, balancer)
    data = json.dumps(chat(stream=True)).encode()
    port = int(balancer.url.rpartition(":")[2])
    head = b"POST /v1/chat/completions HTTP/1.0\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head % len(data) + data)
    raw = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert raw.endswith(b"data: [DONE]\n\n")
    assert b'"usage"' not in raw
    assert logged(tmp_path, 2)[1]["output_tokens"] == 9
