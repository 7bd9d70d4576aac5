"""A crowd that asks at the same moment: so many connections, a request on each."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

from benchmarks.tenants.asked import BODY, KEY

_PATIENCE_S: Final = 120.0
_OPENING: Final = 50  # connections at a time
_REQUEST: Final = (
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: inference.example.com\r\n"
    f"Content-Type: application/json\r\nAuthorization: Bearer {KEY}\r\n"
    f"Content-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()
BROKEN: Final = "no answer"


@dataclass(frozen=True)
class Asked:
    """How many requests ended with which status, and how long it took until all had."""

    ends: Counter[str]
    took_s: float


async def ask_at_once(port: int, requests: int) -> Asked:
    """On connections that are open by then. What fails is counted, not raised."""
    opening = asyncio.Semaphore(_OPENING)
    go = asyncio.Event()
    ends: Counter[str] = Counter()
    opened = 0

    async def one() -> None:
        nonlocal opened
        async with opening:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened += 1
        await go.wait()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                writer.write(_REQUEST)
                line = await reader.readline()
            ends[line.split(b" ")[1].decode() if line.count(b" ") else BROKEN] += 1
        except (OSError, TimeoutError):
            ends[BROKEN] += 1
        finally:
            writer.close()

    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(one()) for _ in range(requests)]
    while opened < requests and not any(each.done() for each in tasks):
        await asyncio.sleep(0.01)
    began = loop.time()
    go.set()
    await asyncio.gather(*tasks)
    return Asked(ends, loop.time() - began)
