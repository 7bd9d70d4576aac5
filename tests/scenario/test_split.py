"""Prompts computed by one engine and answered by another: both halves or neither.

Shown by the engines' own records: what they computed, what they pulled, and what they keep.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from tests.harness.log import lines_of
from tests.harness.serving import MODEL, PATIENCE_S, start_balancer

_LONG = "word " * 4000


@dataclass
class Halves:
    """Two engines that compute, and two that answer."""

    url: str
    session: aiohttp.ClientSession
    computing: list[EngineServer]
    answering: list[EngineServer]

    async def chat(self, text: str, **fields: Any) -> tuple[int, bytes]:
        asked = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 4}
        url = f"{self.url}/v1/chat/completions"
        async with self.session.post(url, json=asked | fields) as answer:
            return answer.status, await answer.read()

    def computed(self) -> list[int]:
        """Prompt tokens that each of all engines took in, and did not find in its cache."""
        loads = [engine.load() for engine in (*self.computing, *self.answering)]
        return [load.prompt_tokens_total - load.prefix_hits_total for load in loads]

    def kept(self) -> int:
        return sum(engine.transfers.kept() for engine in self.computing)

    def pulled(self) -> int:
        return sum(engine.transfers.pulled for engine in self.answering)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - an engine announces nothing
                await asyncio.sleep(0.002)

    def running(self) -> int:
        engines = (*self.computing, *self.answering)
        return sum(each.load().running + each.load().waiting for each in engines)


@asynccontextmanager
async def halves(directory: Path, speedup: float = 50.0, **split: Any) -> AsyncIterator[Halves]:
    names = ("p1", "p2", "d1", "d2")
    meets = split.get("connector") == "sglang"
    roles: dict[str, Any] = {"p": {"role": "prefill"}, "d": {"role": "decode"}} if meets else {}
    engines = [
        EngineServer(EngineSpec(name, speedup=speedup, **roles.get(name[0], {}))) for name in names
    ]
    for engine in engines:
        await engine.start()
    if meets or split.get("connector") == "mooncake":
        split["bootstrap_ports"] = {engine.name: engine.port for engine in engines[:2]}
    pool = {
        "kind": "llm",
        "endpoints": [
            {"url": engine.url, "name": engine.name, "models": MODEL} for engine in engines
        ],
        "split": {"prefill": ["p1", "p2"], **({} if meets else {"threshold": 1024}), **split},
    }
    log = str(directory / "requests.jsonl")
    document = {"pools": {"engines": pool}, "workers": 1, "request_log": log}
    balancer = await start_balancer(directory, document)
    try:
        async with aiohttp.ClientSession() as session:
            yield Halves(balancer.url, session, engines[:2], engines[2:])
    finally:
        await balancer.stop()
        for engine in engines:
            await engine.stop()


async def test_a_long_prompt_is_computed_by_one_and_answered_by_another(tmp_path: Path) -> None:
    async with halves(tmp_path) as site:
        status, whole = await site.chat(_LONG)
        assert status == 200, whole
        assert b"kv_transfer_params" not in whole
        p1, p2, d1, d2 = site.computed()
        assert sorted((p1 > 4000, p2 > 4000)) == [False, True]
        assert max(d1, d2) < 64  # the last block
        assert (site.pulled(), site.kept()) == (1, 0)
        status, streamed = await site.chat("another " + _LONG, stream=True)
        assert status == 200
        assert streamed.endswith(b"data: [DONE]\n\n")
        assert (site.pulled(), site.kept()) == (2, 0)
    for line in lines_of(tmp_path / "requests.jsonl", 2):
        assert line["endpoint"] in ("d1", "d2")
        assert line["prefill"] in ("p1", "p2")


async def test_mooncakes_halves_share_a_prompt_and_what_nobody_pulls_is_freed(
    tmp_path: Path,
) -> None:
    async with halves(tmp_path, connector="mooncake") as site:
        status, whole = await site.chat(_LONG)
        assert status == 200, whole
        p1, p2, d1, d2 = site.computed()
        assert sorted((p1 > 4000, p2 > 4000)) == [False, True]
        assert max(d1, d2) < 64  # the last block
        assert site.pulled() == 1
        await site.computing[0].apply(FaultCommand(kind="die"))
        for number in range(3):
            status, answer = await site.chat(f"{number} {_LONG}")
            assert status == 200, answer
        assert site.pulled() == 4
        assert sum([engine.transfers.rooms() for engine in site.computing]) == 0


@pytest.mark.large
async def test_a_short_prompt_and_one_that_is_cached_run_whole(tmp_path: Path) -> None:
    async with halves(tmp_path) as site:
        assert (await site.chat("short"))[0] == 200
        assert site.pulled() == 0
        for _ in range(2):
            assert (await site.chat(_LONG))[0] == 200
        assert site.pulled() == 1  # the second is cached where the first was answered


@pytest.mark.large
async def test_a_computing_engine_that_dies_is_replaced(tmp_path: Path) -> None:
    async with halves(tmp_path) as site:
        await site.computing[0].apply(FaultCommand(kind="die"))
        for number in range(4):
            assert (await site.chat(f"{number} {_LONG}"))[0] == 200
        assert site.pulled() == 4


@pytest.mark.large
async def test_with_no_computing_engine_prompts_run_whole(tmp_path: Path) -> None:
    async with halves(tmp_path) as site:
        for engine in site.computing:
            await engine.apply(FaultCommand(kind="die"))
        status, answer = await site.chat(_LONG)
        assert status == 200, answer
        assert site.pulled() == 0


@pytest.mark.large
async def test_an_answering_engine_that_dies_is_replaced_and_nothing_computed_again(
    tmp_path: Path,
) -> None:
    async with halves(tmp_path) as site:
        await site.answering[0].apply(FaultCommand(kind="refuse"))
        for number in range(4):
            assert (await site.chat(f"{number} {_LONG}"))[0] == 200
        assert site.pulled() == 4
        assert sum(site.computed()[:2]) < 5 * 6000
        assert site.kept() == 0


@pytest.mark.large
async def test_a_client_that_leaves_frees_both_halves(tmp_path: Path) -> None:
    async with halves(tmp_path, speedup=0.5) as site:
        asked = asyncio.create_task(site.chat(_LONG))
        await site.until(lambda: site.running() > 0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await site.until(lambda: site.running() == 0)
        assert site.kept() == 0
        assert site.pulled() == 0


# --- engines that meet ------------------------------------------------------------------------


async def test_halves_that_meet_answer_long_and_short(tmp_path: Path) -> None:
    async with halves(tmp_path, connector="sglang") as site:
        for text in (_LONG, "short"):
            for stream in (False, True):
                status, answer = await site.chat(text, stream=stream, max_tokens=8)
                assert status == 200, answer
        assert site.pulled() == 4
        assert all(engine.transfers.rooms() == 0 for engine in site.computing)


@pytest.mark.large
async def test_a_half_that_meets_and_dies_is_replaced(tmp_path: Path) -> None:
    async with halves(tmp_path, connector="sglang") as site:
        for dying in (site.computing[0], site.answering[0]):
            await dying.apply(FaultCommand(kind="die"))
            for number in range(3):
                status, answer = await site.chat(f"{number} {_LONG}")
                assert status == 200, answer
        assert site.pulled() == 6


@pytest.mark.large
async def test_a_client_that_leaves_frees_both_that_meet(tmp_path: Path) -> None:
    async with halves(tmp_path, speedup=0.5, connector="sglang") as site:
        asked = asyncio.create_task(site.chat(_LONG))
        await site.until(lambda: site.running() > 0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await site.until(lambda: site.running() == 0)
        await site.until(lambda: not any(each.transfers.rooms() for each in site.computing))
