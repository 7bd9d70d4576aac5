"""The game's servers, each a process of its own: `python servers.py web|arena`.

It says its port on standard output once it listens, and runs until it is ended.
"""

import asyncio
import itertools
import os
import sys

from aiohttp import WSMsgType, web
from messages import CHECK, CHECKED, Move, State

PLAYERS_PER_MATCH = 4


class Web:
    """Matchmaking and a lobby. Both servers make the same matches, as from one database."""

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/health", self.health)
        application.router.add_post("/match", self.match)
        application.router.add_get("/lobby", self.lobby)
        return application

    async def health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def match(self, request: web.Request) -> web.Response:
        player = int((await request.json())["player"])
        match = f"m{player // PLAYERS_PER_MATCH:07d}"
        return web.json_response({"match": match})

    async def lobby(self, request: web.Request) -> web.WebSocketResponse:
        """Answers each message, until its player leaves."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        numbers = itertools.count(1)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_json({"heard": next(numbers), "server": os.getpid()})
        return socket


class Arena(asyncio.DatagramProtocol):
    """Knows who plays in which match, and answers each move."""

    def __init__(self) -> None:
        self._players: dict[bytes, set[int]] = {}

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data == CHECK:
            self._transport.sendto(CHECKED, addr)
            return
        move = Move.decode(data)
        if move is None:
            return
        players = self._players.setdefault(move.match, set())
        players.add(move.player)
        state = State(os.getpid(), move.number, len(players))
        self._transport.sendto(state.encode(), addr)


async def serve_web() -> int:
    """Begin to; the port."""
    runner = web.AppRunner(Web().application(), shutdown_timeout=0.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    return port


async def serve_arena() -> int:
    """Begin to; the port."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Arena, local_addr=("127.0.0.1", 0))
    port: int = transport.get_extra_info("sockname")[1]
    return port


async def main(kind: str) -> None:
    port = await (serve_web() if kind == "web" else serve_arena())
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except KeyboardInterrupt:
        pass
