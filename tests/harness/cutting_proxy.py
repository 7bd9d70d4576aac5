"""Stands between a balancer and an engine, and resets connections within answers."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_RESET = struct.pack("ii", 1, 0)


class CuttingProxy:
    """``after`` bytes of the answer to a POST, the connection is reset, once. -1: never."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self.after = -1
        self.cuts = 0
        self.url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

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
        try:
            to_reader, to_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            self._reset(writer)
            self._tasks.discard(task)
            return
        posted = asyncio.Event()
        asking = asyncio.create_task(_copy(reader, to_writer, posted))
        try:
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await self._answer(to_reader, writer, posted)
        finally:
            asking.cancel()
            for each in (writer, to_writer):
                each.close()
            self._tasks.discard(task)

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, posted: asyncio.Event
    ) -> None:
        passed = 0
        while data := await reader.read(65536):
            left = self.after - passed
            if posted.is_set() and self.after >= 0 and len(data) >= left:
                self.after = -1
                self.cuts += 1
                writer.write(data[: max(left, 0)])
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                await asyncio.sleep(0.005)  # a reset takes with it what is yet to be read
                self._reset(writer)
                return
            passed += len(data)
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                await writer.drain()

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, posted: asyncio.Event
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            if data.startswith(b"POST"):
                posted.set()
            writer.write(data)
            await writer.drain()
