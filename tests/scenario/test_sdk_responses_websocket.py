"""OpenAI's own clients of Responses over WebSocket and of Realtime, before two engines with the
balancer between."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from penstock.fleet.engine.server import EngineServer
from tests.harness.serving import MODEL, start_balancer, two_engines

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one balancer for all of them

POOR, ALSO_POOR, RICH = "p" * 40, "a" * 40, "r" * 40
NO_PROXY: Any = {"proxy": None}
CREATE: Any = {"type": "response.create", "model": MODEL, "max_output_tokens": 5, "store": False}
LONG = "a long story about the sea, told once more from its beginning. " * 40


class Served:
    def __init__(self, url: str, engines: list[EngineServer]) -> None:
        self.engines = engines
        self._url = url

    def client(self, key: str) -> openai.AsyncOpenAI:
        over_websocket = self._url.replace("http", "ws", 1)
        return openai.AsyncOpenAI(
            base_url=f"{self._url}/v1", websocket_base_url=f"{over_websocket}/v1", api_key=key
        )

    def running(self) -> int:
        return sum(engine.load().running for engine in self.engines)

    def slow_down(self, factor: float) -> None:
        for engine in self.engines:
            engine.faults.slow_factor = factor
            engine.faults_changed()


def connect(client: openai.AsyncOpenAI) -> Any:
    return client.responses.connect(websocket_connection_options=NO_PROXY, max_retries=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with two_engines(speedup=50.0) as engines:
        pool = {
            "kind": "llm",
            "policy": "token-load",  # which no speed of this machine sways
            "endpoints": [engine.url for engine in engines],
            "websocket_responses": "on",
        }
        tenants = {
            "poor": {"keys": {"a": {"key": POOR}}, "budgets": {"tokens": 3000}},
            "also-poor": {"keys": {"a": {"key": ALSO_POOR}}, "budgets": {"tokens": 3000}},
            "rich": {"keys": {"a": {"key": RICH}}},
        }
        document = {"pools": {"engines": pool}, "workers": 1, "tenants": tenants}
        balancer = await start_balancer(tmp_path_factory.mktemp("served"), document)
        try:
            yield Served(balancer.url, engines)
        finally:
            await balancer.stop()


async def last_of(connection: Any) -> Any:
    """The last event of the response under way."""
    async with asyncio.timeout(20.0):
        async for event in connection:
            kind = str(event.type)
            if kind == "error" or kind in ("response.completed", "response.incomplete"):
                return event
    raise AssertionError("the WebSocket ended")


async def test_turns_go_on_and_budgets_hold(served: Served) -> None:
    async with served.client(POOR) as client, connect(client) as connection:
        await connection.send(CREATE | {"input": "hello"})
        first = await last_of(connection)
        assert first.response.usage.output_tokens == 5
        name = first.response.id
        for _ in range(3):
            asked = CREATE | {"input": "more", "previous_response_id": name}
            await connection.send(asked)
            event = await last_of(connection)
            assert event.response.usage.input_tokens > first.response.usage.input_tokens
            name = event.response.id
        await connection.send(CREATE | {"input": "x", "previous_response_id": "resp_nobodys"})
        refused = await last_of(connection)
        assert refused.error.code == "previous_response_not_found"
        await connection.send(CREATE | {"input": LONG * 20})
        denied = await last_of(connection)
        assert (denied.status, denied.error.code) == (429, "insufficient_quota")
        await connection.send(CREATE | {"input": "hello"})
        assert (await last_of(connection)).response.usage.output_tokens == 5


async def test_whole_prompts_go_where_their_prefix_is_from_any_socket(served: Served) -> None:
    async with served.client(RICH) as client:
        cached = []
        for number in range(4):
            async with connect(client) as connection:
                await connection.send(CREATE | {"input": f"{LONG}{number}"})
                event = await last_of(connection)
                cached.append(event.response.usage.input_tokens_details.cached_tokens)
        assert cached[0] == 0
        assert all(tokens > 400 for tokens in cached[1:])


async def test_a_client_that_leaves_cancels_its_response(served: Served) -> None:
    served.slow_down(1000.0)
    try:
        async with served.client(RICH) as client, asyncio.timeout(20.0):
            async with connect(client) as connection:
                await connection.send(CREATE | {"input": "hello", "max_output_tokens": 500})
                while not served.running():  # noqa: ASYNC110 - an engine announces nothing
                    await asyncio.sleep(0.01)
            while served.running():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        served.slow_down(1.0)


async def test_realtime_stays_with_its_engine_and_its_responses_count(served: Served) -> None:
    async with (
        served.client(ALSO_POOR) as client,
        client.realtime.connect(model=MODEL, websocket_connection_options=NO_PROXY) as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        asked: Any = {"max_output_tokens": 4}
        prompts = []
        for _ in range(3):
            await connection.response.create(response=asked)
            event: Any = None
            async with asyncio.timeout(20.0):
                async for event in connection:
                    if event.type in ("response.done", "error"):
                        break
            prompts.append(event.response.usage.input_tokens)
        assert prompts == sorted(set(prompts))  # each knows the turns before
        item: Any = {"type": "message", "role": "user", "content": LONG * 20}
        await connection.conversation.item.create(item=item)
        assert (await connection.recv()).type == "conversation.item.added"
        while True:  # the engine tells what that was once it was answered
            await connection.response.create(response=asked)
            async with asyncio.timeout(20.0):
                async for event in connection:
                    if event.type in ("response.done", "error"):
                        break
            if event.type == "error":
                break
        assert event.error.code == "insufficient_quota"
        assert await _is_heard(connection)


async def _is_heard(connection: Any) -> bool:
    """Whether the session goes on."""
    await connection.session.update(session={"type": "realtime", "instructions": "x"})
    return bool((await connection.recv()).type == "session.updated")
