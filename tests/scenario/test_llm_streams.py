"""Pools of kind llm hold no byte back, and a client that leaves frees the engine's slot at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.messages import answer, head
from tests.harness.serving import MODEL, PATIENCE_S, start_balancer
from tests.harness.worker import Worker
from tests.harness.world import pool, world

AT_ONCE_S = 0.1
EVENTS = 50


def asked(path: str, **more: Any) -> bytes:
    """A request for an answer, as it is sent."""
    body: dict[str, Any] = {"model": MODEL, "max_tokens": 5000, **more}
    if path.endswith("/completions") and "chat" not in path:
        body["prompt"] = "the water flows through the gate of the mill"
    else:
        body["messages"] = [{"role": "user", "content": "the water flows through the gate"}]
    data = json.dumps(body).encode()
    length = f"Content-Length: {len(data)}"
    return head(f"POST {path} HTTP/1.1", "Content-Type: application/json", length) + data


def openai_event(number: int) -> bytes:
    return b'data: {"choices": [{"index": 0, "delta": {"content": "%d"}}]}\n\n' % number


def anthropic_event(number: int) -> bytes:
    text = b'{"type": "content_block_delta", "index": 0, "delta": {"text": "%d"}}' % number
    return b"event: content_block_delta\ndata: %b\n\n" % text


STREAMS = {
    "chat": ("/v1/chat/completions", openai_event),
    "completion": ("/v1/completions", openai_event),
    "anthropic": ("/v1/messages", anthropic_event),
}


@pytest.mark.parametrize("api", STREAMS)
@pytest.mark.parametrize("usage", ["hidden", "asked", "off"])
def test_every_event_passes_by_itself(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    api: str,
    usage: Literal["hidden", "asked", "off"],
) -> None:
    """The engine sends an event only when the client has the one before."""
    path, event = STREAMS[api]

    def send_events(connection: EndpointConnection) -> None:
        connection.receive_head()
        headers = ("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
        connection.send(answer(*headers, body=b""))
        for number in range(EVENTS):
            data = event(number)
            connection.send(b"%x\r\n%b\r\n" % (len(data), data))
            connection.go_on.wait()
            connection.go_on.clear()
        connection.send(b"0\r\n\r\n")

    endpoint = scripted(send_events)
    client = start(world(pool(endpoint, kind="llm", usage=usage))).connect()
    client.send(asked(path, stream=True))
    for number in range(EVENTS):
        client.read_until(event(number))
        endpoint.connection().go_on.set()
    client.read_until(b"0\r\n\r\n")


@pytest.mark.parametrize("usage", ["hidden", "off"])
def test_half_an_event_passes_as_well(
    start: Callable[..., Worker],
    scripted: Callable[[Script], ScriptedEndpoint],
    usage: Literal["hidden", "off"],
) -> None:
    """Only an event that may turn out to be hidden usage is waited for whole."""
    data = openai_event(1)
    half = len(data) // 2

    def send_halves(connection: EndpointConnection) -> None:
        connection.receive_head()
        headers = ("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
        connection.send(answer(*headers, body=b"%x\r\n%b" % (len(data), data[:half])))
        connection.go_on.wait()
        connection.send(data[half:] + b"\r\n0\r\n\r\n")

    endpoint = scripted(send_halves)
    client = start(world(pool(endpoint, kind="llm", usage=usage))).connect()
    client.send(asked("/v1/messages" if usage == "hidden" else "/v1/completions", stream=True))
    client.read_until(data[:half])
    endpoint.connection().go_on.set()
    client.read_until(data[half:])


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[EngineServer]:
    """It works on one request at a time, for longer than a test takes."""
    started = EngineServer(EngineSpec("engine", max_sequences=1))
    await started.start()
    yield started
    await started.stop()


@pytest_asyncio.fixture
async def balancer(engine: EngineServer, tmp_path: Path) -> AsyncIterator[BalancerProcess]:
    pool = {"kind": "llm", "policy": "marginal-cost", "endpoints": [engine.url]}
    process = await start_balancer(tmp_path, {"pools": {"engines": pool}, "workers": 1})
    yield process
    await process.stop()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - an engine announces nothing
            await asyncio.sleep(0.001)


class Client:
    """One that asked for a long answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def asking(cls, balancer: BalancerProcess, *, stream: bool) -> "Client":
        host, _, port = balancer.url.removeprefix("http://").rpartition(":")
        made = cls(*await asyncio.open_connection(host, int(port)))
        made.writer.write(asked("/v1/chat/completions", stream=stream, ignore_eos=True))
        return made

    def leave(self, how: str) -> float:
        """Returns when."""
        at = asyncio.get_running_loop().time()
        if how == "reset":
            self.writer.transport.abort()
        else:
            self.writer.close()
        return at


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_client_that_leaves_frees_the_engines_slot_at_once(
    balancer: BalancerProcess, engine: EngineServer, how: str, *, stream: bool
) -> None:
    """By the engine's own record of it, sooner or later: all else only adds to that time."""
    delay_s = PATIENCE_S
    async with asyncio.timeout(PATIENCE_S):
        while delay_s >= AT_ONCE_S:
            client = await Client.asking(balancer, stream=stream)
            if stream:
                await client.reader.readuntil(b"data: ")
            await until(lambda: engine.load().running == 1)
            left_at = client.leave(how)
            await until(lambda: engine.load().running == 0)
            delay_s = engine.cancelled_at - left_at
    assert delay_s >= 0.0


async def test_who_waits_gets_the_slot_of_one_that_left(
    balancer: BalancerProcess, engine: EngineServer
) -> None:
    first = await Client.asking(balancer, stream=True)
    await until(lambda: engine.load().running == 1)
    second = await Client.asking(balancer, stream=True)
    third = await Client.asking(balancer, stream=True)
    await until(lambda: engine.load().waiting == 2)
    second.leave("close")  # while it waits
    await until(lambda: engine.load().waiting == 1)
    first.leave("close")
    async with asyncio.timeout(PATIENCE_S):
        await third.reader.readuntil(b"data: ")
    assert (engine.load().running, engine.load().waiting) == (1, 0)
    third.leave("close")
    await until(lambda: engine.load().running == 0)
