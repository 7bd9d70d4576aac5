"""A client that calls at a fixed rate over keep-alive connections and counts ends by kind."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Final

_REQUEST: Final = b"GET /v1/models HTTP/1.1\r\nHost: inference.example.com\r\n\r\n"
_PATIENCE_S: Final = 10.0
ANSWERED: Final = "200"

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PacedClient:
    """``connections`` callers, each with one connection, together ``per_s`` requests a second.

    ``ends`` counts requests by how they ended: a status, or what went wrong. A connection that
    the other side closed between two requests is replaced, as any client does, and not counted.
    """

    def __init__(self, port: int, per_s: float, connections: int) -> None:
        self.ends: Counter[str] = Counter()
        self._port = port
        self._interval_s = connections / per_s
        self._connections = connections

    async def run(self, seconds: float) -> None:
        """Call for that long, then wait for the last answers."""
        begun = asyncio.get_running_loop().time()
        await asyncio.gather(
            *[
                self._call_in_turn(begun + number * self._interval_s / self._connections, seconds)
                for number in range(self._connections)
            ]
        )

    @property
    def failures(self) -> int:
        return self.ends.total() - self.ends[ANSWERED]

    async def _call_in_turn(self, first_s: float, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        connection: _Connection | None = None
        for number in range(round(seconds / self._interval_s)):
            # Sleeps even when late, so that an end that has come is seen before the next request.
            await asyncio.sleep(first_s + number * self._interval_s - loop.time())
            if loop.time() > first_s + seconds + _PATIENCE_S:
                self.ends["not sent: far behind"] += 1
            else:
                connection = await self._call(connection)
        await _close(connection)

    async def _call(self, connection: _Connection | None) -> _Connection | None:
        """One request; the connection if it may carry the next."""
        if connection is not None and connection[0].at_eof():
            await _close(connection)
            connection = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self._port)
                status, stays = await _exchange(*connection)
        except (OSError, EOFError) as error:
            self.ends[_kind(error)] += 1
            await _close(connection)
            return None
        self.ends[status] += 1
        if not stays:
            await _close(connection)
            return None
        return connection


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bool]:
    """The status, and whether the connection stays open."""
    writer.write(_REQUEST)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    await reader.readexactly(int(length))
    return head.split()[1], "connection: close" not in head


async def _close(connection: _Connection | None) -> None:
    if connection is not None:
        connection[1].close()
        with suppress(OSError):
            await connection[1].wait_closed()


def _kind(error: OSError | EOFError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {_PATIENCE_S:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, asyncio.IncompleteReadError):
        return "closed within the answer" if error.partial else "closed before the answer"
    return "reset" if isinstance(error, ConnectionError) else type(error).__name__
