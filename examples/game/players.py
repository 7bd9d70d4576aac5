"""Emulated players: each finds a match, stays in the lobby, and plays in the arena."""

import asyncio
from dataclasses import dataclass, field

import aiohttp
from messages import Move, State

MOVE_EVERY_S = 0.1
_BACK_AFTER_S = 0.05  # a player whose lobby closed


@dataclass
class Tally:
    """What all players saw."""

    matches_found: int = 0
    requests_failed: int = 0
    lobby_messages: int = 0
    lobby_moves: int = 0  # closed by the balancer, and back at another server
    moves: int = 0
    states: int = 0
    arena_moves: int = 0  # answers came from another server than before
    apart: int = 0  # answers to players of one match from several servers at a time
    servers: dict[bytes, tuple[int, float]] = field(default_factory=dict)  # of a match, and when


class Player(asyncio.DatagramProtocol):
    """One of them."""

    def __init__(
        self, number: int, web: str, arena: tuple[str, int], tally: Tally, over: asyncio.Event
    ) -> None:
        self._number = number
        self._web = web
        self._arena = arena
        self._tally = tally
        self._over = over
        self._match = b""
        self._server = 0

    async def play(self, session: aiohttp.ClientSession) -> None:
        """Until the game is over."""
        self._match = await self._find_match(session)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._arena)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._stay_in_lobby(session))
                tasks.create_task(self._move(transport))
        finally:
            transport.close()

    async def _find_match(self, session: aiohttp.ClientSession) -> bytes:
        while True:
            async with session.post(
                f"{self._web}/match", json={"player": self._number}
            ) as response:
                if response.status == 200:
                    self._tally.matches_found += 1
                    match: str = (await response.json())["match"]
                    return match.encode()
            self._tally.requests_failed += 1

    async def _stay_in_lobby(self, session: aiohttp.ClientSession) -> None:
        """A message now and then; a close sends it back, as any client of a lobby should."""
        while not self._over.is_set():
            async with session.ws_connect(f"{self._web}/lobby") as lobby:
                while not self._over.is_set() and await self._is_heard(lobby):
                    self._tally.lobby_messages += 1
                    await self._pause(2 * MOVE_EVERY_S)
            if not self._over.is_set():
                self._tally.lobby_moves += 1
                await asyncio.sleep(_BACK_AFTER_S)

    async def _is_heard(self, lobby: aiohttp.ClientWebSocketResponse) -> bool:
        """Whether a message is answered; False where the lobby closes."""
        try:
            await lobby.send_json({"says": "hello"})
        except ConnectionError:
            return False
        return (await lobby.receive()).type == aiohttp.WSMsgType.TEXT

    async def _move(self, transport: asyncio.DatagramTransport) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            transport.sendto(Move(self._match, self._number, number).encode())
            self._tally.moves += 1
            await self._pause(MOVE_EVERY_S)
        await asyncio.sleep(MOVE_EVERY_S)  # for the last answer

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            pass

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        state = State.decode(data)
        if state is None:
            return
        tally, now = self._tally, asyncio.get_running_loop().time()
        tally.states += 1
        if self._server not in (0, state.server):
            tally.arena_moves += 1
        self._server = state.server
        server, since = tally.servers.get(self._match, (0, now))
        if server != state.server:
            tally.servers[self._match] = (state.server, now)
            if server and now - since < MOVE_EVERY_S:
                tally.apart += 1

    def error_received(self, exc: Exception) -> None:
        """ICMP's news of a port that is closed: the balancer's never is."""
        self._tally.requests_failed += 1
