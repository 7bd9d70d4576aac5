"""A client that calls at a fixed rate and times each answer from when it was due."""

import asyncio
from contextlib import suppress
from typing import Final

_REQUEST: Final = b"GET /index.html HTTP/1.1\r\nHost: site.example\r\n\r\n"
_CONNECTIONS: Final = 8
_PATIENCE_S: Final = 10.0


class TimedClient:
    """So many requests a second over eight keep-alive connections."""

    def __init__(self, port: int, per_s: float) -> None:
        self.failures = 0
        self._port = port
        self._gap_s = 1.0 / per_s
        self._delays_s: list[float] = []

    async def run(self, seconds: float) -> None:
        """Call for that long."""
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(
            *[self._call(begun + n * self._gap_s, seconds) for n in range(_CONNECTIONS)]
        )

    def quantile_ms(self, share: float) -> float:
        """Of the delays; infinite where nothing was answered."""
        ordered = sorted(self._delays_s)
        return 1e3 * ordered[int(share * (len(ordered) - 1))] if ordered else float("inf")

    def __str__(self) -> str:
        return (
            f"p50 {self.quantile_ms(0.5):.2f} ms, p99 {self.quantile_ms(0.99):.2f} ms, "
            f"{self.failures} failed"
        )

    async def _call(self, first_at: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = first_at
        writer: asyncio.StreamWriter | None = None
        while due < first_at + seconds:
            await asyncio.sleep(max(0.0, due - loop.time()))
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    if writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    writer.write(_REQUEST)
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
                    await reader.readexactly(int(length))
            except (OSError, EOFError, ValueError):
                self.failures += 1
                writer = None
            else:
                self._delays_s.append(loop.time() - due)
            due += self._gap_s * _CONNECTIONS
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
