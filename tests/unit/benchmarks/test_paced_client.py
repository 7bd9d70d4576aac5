"""The client that counts failures counts each, and nothing else."""

import asyncio

import pytest

from benchmarks.load.paced_client import PacedClient
from tests.harness.endpoint import refuse_connections

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ends_against(answer: bytes, *, answers_each: int) -> dict[str, int]:
    """Ten requests on one connection to a server that closes after so many answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answers_each):
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = PacedClient(server.sockets[0].getsockname()[1], per_s=100, connections=1)
    await client.run(0.1)
    server.close()
    await server.wait_closed()
    return dict(client.ends)


async def test_answers_are_counted_by_status() -> None:
    assert await ends_against(ANSWER, answers_each=100) == {"200": 10}


async def test_a_connection_closed_between_two_requests_is_no_failure() -> None:
    assert await ends_against(ANSWER, answers_each=3) == {"200": 10}


@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (b"", "closed before the answer"),
        (ANSWER[:-1], "closed within the answer"),
        (ANSWER.replace(b"200", b"503"), "503"),
    ],
)
async def test_a_failed_request_is_counted_by_how_it_failed(answer: bytes, end: str) -> None:
    assert await ends_against(answer, answers_each=1) == {end: 10}


async def test_a_refused_connection_is_a_failure() -> None:
    with refuse_connections() as nobody:
        client = PacedClient(nobody.getsockname()[1], per_s=100, connections=1)

        await client.run(0.1)

    assert client.ends == {"refused": 10}
    assert client.failures == 10
