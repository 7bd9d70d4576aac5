"""Engines are found by what they answer, and proxies before them are not taken for them."""

import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from penstock.control.engines.finding import look_at, look_at_usual_ports
from penstock.fleet.engine.dialect import emulated_dialects
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[EngineServer]:
    server = EngineServer(EngineSpec("engine", speedup=100.0))
    await server.start()
    yield server
    await server.stop()


async def test_each_engine_is_told_by_its_answers() -> None:
    servers = [EngineServer(EngineSpec("e", dialect=name)) for name in emulated_dialects()]
    for each in servers:
        await each.start()
    try:
        found = await look_at([each.url for each in servers])
    finally:
        for each in servers:
            await each.stop()
    assert [each.engine.lower().replace(".", "") for each in found] == list(emulated_dialects())
    assert {each.models for each in found} == {("emulated-model",)}
    assert {each.health for each in found} == {"/health", ""}  # Ollama has none


async def test_what_cannot_be_reached_says_why_and_is_not_asked_again() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        [found] = await look_at([f"http://127.0.0.1:{silent.getsockname()[1]}"])
    assert not found.serves_models
    assert found.problem.endswith("connection refused")


async def test_what_is_no_url_of_an_endpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with http://"):
        await look_at(["ftp://127.0.0.1:1"])


async def test_a_proxy_is_not_taken_for_the_engine_behind_it(engine: EngineServer) -> None:
    async def forwarded(_: web.Request) -> web.Response:
        return web.Response(text="vllm:num_requests_running 0\n", headers={"Via": "1.1 penstock"})

    application = web.Application()
    application.router.add_get("/{path:.*}", forwarded)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    ports = [runner.addresses[0][1], int(engine.url.rpartition(":")[2])]
    try:
        found = await look_at_usual_ports(ports)
    finally:
        await runner.cleanup()
    assert [each.url for each in found] == [engine.url]
