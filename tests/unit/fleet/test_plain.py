"""Plain emulated endpoints answer, and suffer the faults they are told to."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from penstock.fleet.faults import FaultCommand, FaultKind, Faults
from penstock.fleet.plain import PlainServer, PlainSpec
from penstock.fleet.process import HostProcess

Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[PlainServer]:
    plain = PlainServer(PlainSpec("one", mean_service_s=0.001))
    await plain.start()
    yield plain
    await plain.stop()


async def status_of(client: aiohttp.ClientSession, url: str) -> int:
    async with client.get(url) as response:
        await response.read()
        return response.status


async def test_says_who_served_and_what_was_asked(
    server: PlainServer, client: aiohttp.ClientSession
) -> None:
    async with client.post(f"{server.url}/a/b?c=1", data=b"body") as response:
        assert response.headers["x-served-by"] == "one"
        assert await response.json() == {"endpoint": "one", "method": "POST", "path": "/a/b?c=1"}


@pytest.mark.parametrize(
    "text",
    [
        b'{"kind": "slow", "factor": 0}',
        b'{"kind": "slow", "factor": -2}',
        b'{"kind": "error", "status": 99}',
        b'{"kind": "error", "share": 1.5}',
        b'{"kind": "stall", "for_s": -1}',
    ],
)
def test_a_fault_that_cannot_be_is_not_taken(text: bytes) -> None:
    with pytest.raises(ValueError, match="Expected"):
        msgspec.json.decode(text, type=FaultCommand)


async def test_serves_no_more_at_once_than_its_concurrency(
    client: aiohttp.ClientSession, until: Until
) -> None:
    plain = PlainServer(PlainSpec("narrow", mean_service_s=3600, concurrency=2))
    await plain.start()
    try:
        asking = [asyncio.create_task(status_of(client, plain.url)) for _ in range(5)]
        await until(lambda: plain.waiting() == 3)
        assert plain.in_service() == 2
        assert await status_of(client, f"{plain.url}/healthz") == 200
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await until(lambda: plain.in_service() + plain.waiting() == 0)
    finally:
        await plain.stop()


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("ending", ["die", "stop"])
async def test_a_connection_taken_in_as_the_server_ends_is_cut(
    server: PlainServer, ending: str, turns: int
) -> None:
    """However many turns of the event loop it was on its way."""
    with socket.create_connection((server.host, server.port)) as connection:
        connection.setblocking(False)
        for _ in range(turns):
            await asyncio.sleep(0)
        if ending == "stop":
            await server.stop()
        else:
            await server.apply(FaultCommand("die"))
        with suppress(ConnectionResetError):
            async with asyncio.timeout(20):
                assert await asyncio.get_running_loop().sock_recv(connection, 1) == b""


@pytest.mark.parametrize("kind", ["die", "refuse"])
async def test_a_dead_or_refusing_server_refuses_connections_and_comes_back_on_its_port(
    server: PlainServer, client: aiohttp.ClientSession, kind: FaultKind
) -> None:
    url = server.url
    assert await status_of(client, url) == 200
    await server.apply(FaultCommand(kind))
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.ClientConnectorError):
            await status_of(stranger, url)
    await server.apply(FaultCommand("none"))
    assert server.url == url
    assert await status_of(client, url) == 200


@pytest.mark.skipif(sys.platform != "linux", reason="ports are held on Linux only")
async def test_the_port_of_a_dead_server_is_given_to_nobody_else(server: PlainServer) -> None:
    await server.apply(FaultCommand("die"))
    assert not is_free(server.url)


def is_free(url: str) -> bool:
    """Whether the system may give the port to somebody else. Nobody was ever connected to it."""
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", int(url.rpartition(":")[2])))
        except OSError:
            return False
    return True


async def test_refusing_keeps_the_connections_that_exist(
    server: PlainServer, client: aiohttp.ClientSession
) -> None:
    await status_of(client, server.url)
    await server.apply(FaultCommand("refuse"))
    assert await status_of(client, server.url) == 200


async def test_dying_resets_requests_in_progress(
    client: aiohttp.ClientSession, until: Until
) -> None:
    plain = PlainServer(PlainSpec("slow", mean_service_s=3600))
    await plain.start()
    try:
        asking = asyncio.create_task(status_of(client, plain.url))
        await until(lambda: plain.in_service() == 1)
        await plain.apply(FaultCommand("die"))
        with pytest.raises(aiohttp.ClientConnectionError):
            await asking
    finally:
        await plain.stop()


async def test_a_stalled_server_accepts_and_answers_when_the_stall_ends(
    server: PlainServer, client: aiohttp.ClientSession
) -> None:
    await server.apply(FaultCommand("stall", for_s=0.2))
    started = asyncio.get_running_loop().time()
    assert await status_of(client, f"{server.url}/healthz") == 200
    assert asyncio.get_running_loop().time() - started >= 0.15
    assert server.faults == Faults()


async def test_errors_are_answered_with_the_status_asked_for(
    server: PlainServer, client: aiohttp.ClientSession
) -> None:
    await server.apply(FaultCommand("error", status=503))
    assert await status_of(client, server.url) == 503
    await server.apply(FaultCommand("error", status=503, share=0.0))
    assert await status_of(client, server.url) == 200


async def test_a_host_process_is_killed_and_revived_on_the_same_port(
    client: aiohttp.ClientSession,
) -> None:
    process = HostProcess([PlainSpec("a", 0.001), PlainSpec("b", 0.001)])
    await process.start()
    try:
        # Out of the terminal's reach, and yet no scheduler group of its own (autogroup).
        assert os.getpgid(process.pid) == process.pid
        assert os.getsid(process.pid) == os.getsid(0)
        urls = process.urls
        assert await status_of(client, urls["a"]) == 200
        await process.fault("b", FaultCommand("error", status=500))
        assert await status_of(client, urls["b"]) == 500
        with pytest.raises(aiohttp.ClientResponseError):
            await process.fault("c", FaultCommand("die"))
        await process.kill()
        assert process.pid == 0
        async with aiohttp.ClientSession() as stranger:
            with pytest.raises(aiohttp.ClientConnectorError):
                await status_of(stranger, urls["a"])
        await process.start()
        assert process.urls == urls
        assert await status_of(client, urls["a"]) == 200
    finally:
        await process.stop()
    assert process.pid == 0


@pytest.mark.skipif(sys.platform != "linux", reason="ports are held on Linux only")
async def test_the_ports_of_a_killed_host_are_given_to_nobody_else() -> None:
    process = HostProcess([PlainSpec("a", 0.001)])
    await process.start()
    try:
        await process.kill()
        assert not is_free(process.urls["a"])
    finally:
        await process.stop()
