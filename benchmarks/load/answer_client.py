"""A caller of a language model on one open connection, which tells when the first token came."""

import asyncio
from time import perf_counter
from typing import Final

from benchmarks.failure import MeasurementError

_FIRST_EVENT: Final = b"data: "
_LAST_EVENT: Final = b"data: [DONE]"
_END: Final = b"0\r\n\r\n"  # of a chunked body
_PATIENCE_S: Final = 30.0


class AnswerClient(asyncio.Protocol):
    """One request at a time. The connection must stay open: one that closes is a failure."""

    def __init__(self, name: str) -> None:
        """``name`` of what it calls, for errors."""
        self._name = name
        self._transport: asyncio.Transport | None = None
        self._seen = bytearray()
        self._first_at = 0.0
        self._answered: asyncio.Future[None] | None = None

    @classmethod
    async def connect(cls, name: str, port: int) -> "AnswerClient":
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: cls(name), "127.0.0.1", port)
        return client

    async def first_token_s(self, request: bytes) -> float:
        """Send it, read the whole streamed answer, and tell the seconds to its first event.

        Raises MeasurementError for whatever is no whole answer.
        """
        assert self._transport is not None
        self._seen.clear()
        self._first_at = 0.0
        self._answered = asyncio.get_running_loop().create_future()
        began = perf_counter()
        self._transport.write(request)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._answered
        except TimeoutError as error:
            begun = bytes(self._seen[:300])
            raise MeasurementError(f"{self._name}: no whole answer, but {begun!r}") from error
        return self._first_at - began

    def close(self) -> None:
        self._answered = None
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        self._seen += data
        if not self._first_at and _FIRST_EVENT in self._seen:
            self._first_at = now
        ended = self._seen.endswith(_END) and _LAST_EVENT in self._seen
        if ended and self._answered and not self._answered.done():
            self._answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered and not self._answered.done():
            why = MeasurementError(f"{self._name} closed a connection: {error}")
            self._answered.set_exception(why)
