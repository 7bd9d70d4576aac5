"""A crowd that asks at the same moment: so many connections, a request on each."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

from benchmarks.tenants.asked import BODY

_PATIENCE_S: Final = 300.0
_OPENING: Final = 50  # connections at a time
BROKEN: Final = "no answer"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Asked:
    """How many requests ended with which status, and how long it took until all had."""

    ends: Counter[str]
    took_s: float


async def ask_at_once(port: int, requests: int, key: str) -> Asked:
    """With that key, on connections that are open by then. What fails is counted, not raised.

    Raises OSError where a connection cannot be opened.
    """
    opening = asyncio.Semaphore(_OPENING)
    ends: Counter[str] = Counter()
    request = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: inference.example.com\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
    ).encode()

    async def open_one() -> Connection:
        async with opening:
            return await asyncio.open_connection("127.0.0.1", port)

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                writer.write(request)
                line = await reader.readline()
            ends[line.split(b" ")[1].decode() if line.count(b" ") else BROKEN] += 1
        except (OSError, TimeoutError):
            ends[BROKEN] += 1
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    connections = await asyncio.gather(*[open_one() for _ in range(requests)])
    began = loop.time()
    await asyncio.gather(*[ask(*each) for each in connections])
    return Asked(ends, loop.time() - began)
