"""Stands before an engine, and resets connections within answers, after the tokens that were drawn
for each request."""

import asyncio
import contextlib
import re
import socket
import struct
from types import TracebackType
from typing import Final, Self

HEADER: Final = "x-cut"  # names a request in ``Cuts``
_NAMED: Final = re.compile(rb"\r\nx-cut: *(\w+)\r\n", re.IGNORECASE)
_RESET: Final = struct.pack("ii", 1, 0)
_TOKEN: Final = re.compile(
    rb'"(?:content|text|delta|response)": ?"(?!")|"text_delta"'
)  # what a token's event has, of all APIs that are tried here
_SETTLE_S: Final = 0.005  # a reset takes with it what is yet to be read


class Cuts:
    """After how many tokens each request is cut, attempt by attempt."""

    def __init__(self) -> None:
        self.planned: dict[bytes, list[int]] = {}
        self.made: dict[bytes, int] = {}

    def next_of(self, name: bytes) -> int:
        """Of the attempt that begins; 0: it is not cut."""
        planned = self.planned.get(name)
        return planned.pop(0) if planned else 0

    def count(self, name: bytes) -> None:
        self.made[name] = self.made.get(name, 0) + 1


class CuttingRelay:
    """Before one engine, which may die and come back."""

    def __init__(self, port: int, cuts: Cuts) -> None:
        self._port = port
        self._cuts = cuts
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = _Connection(self._cuts)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            _reset(writer)
            self._tasks.discard(task)
            return
        asking = asyncio.create_task(connection.ask(reader, to_writer))
        try:
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await connection.answer(to_reader, writer)
        finally:
            asking.cancel()
            for each in (writer, to_writer):
                each.close()
            self._tasks.discard(task)


class _Connection:
    def __init__(self, cuts: Cuts) -> None:
        self._cuts = cuts
        self._name = b""
        self._left = 0  # tokens until it is cut; 0: never

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                named = _NAMED.search(data)
                if data.startswith(b"POST") and named is not None:
                    self._name = named.group(1)
                    template = data.startswith(b"POST /apply-template")
                    self._left = 0 if template else self._cuts.next_of(self._name)
                writer.write(data)
                await writer.drain()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if self._left:
                    found = list(_TOKEN.finditer(data))
                    if len(found) >= self._left:
                        await self._cut(writer, data[: found[self._left - 1].end()])
                        return
                    self._left -= len(found)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            _reset(writer)  # the engine died, and so does this

    async def _cut(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Within the event of the token that was drawn, which is not told then."""
        self._cuts.count(self._name)
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        await asyncio.sleep(_SETTLE_S)
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
