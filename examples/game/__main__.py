"""The game, whole: `python examples/game [--players N] [--seconds S]`.

Five servers, the balancer, and players. After a third of the time an arena server is killed, after
two thirds a lobby is drained; at the end it is told what the players noticed. Exits with 1 where
they noticed more than they should. Ctrl-C ends it.
"""

import argparse
import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
from players import MOVE_EVERY_S, Player, Tally

HERE = Path(__file__).parent
_START_S = 60.0
_STOP_S = 15.0
_JOIN_EVERY_S = 0.005
# What a killed server may cost each player on it: moves under way, and until ICMP or a check tells.
_MOVES_LOST_EACH = 15


async def main(players: int, seconds: float) -> int:
    """Play; the exit status."""
    async with AsyncExitStack() as stack:
        webs = [await stack.enter_async_context(_server("web")) for _ in range(2)]
        arenas = [await stack.enter_async_context(_server("arena")) for _ in range(3)]
        balancer = await stack.enter_async_context(_balancer(webs, arenas))
        print(
            f"{players} players, matchmaking and lobby at {balancer.web}, "
            f"arena at {balancer.arena[0]}:{balancer.arena[1]}"
        )
        tally, over = Tally(), asyncio.Event()
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        async with asyncio.TaskGroup() as tasks:
            for number in range(players):
                player = Player(number, balancer.web, balancer.arena, tally, over)
                tasks.create_task(player.play(session))
                await asyncio.sleep(_JOIN_EVERY_S)
            await asyncio.sleep(seconds / 3)
            played_on = Counter(server for server, _ in tally.servers.values())
            victim = max((process for process, _ in arenas), key=lambda p: played_on[p.pid])
            print(f"an arena server dies (pid {victim.pid})")
            victim.kill()
            await asyncio.sleep(seconds / 3)
            print(f"a lobby server is drained (127.0.0.1:{webs[0][1]})")
            await balancer.drain(session, f"127.0.0.1:{webs[0][1]}")
            await asyncio.sleep(seconds / 3)
            over.set()
    return _told(tally, players)


class Balancer:
    """A running `penstock serve`."""

    def __init__(self, started: str, admin: str) -> None:
        places = dict(each.split("://") for each in started.split(", "))
        host, _, port = places["udp"].rpartition(":")
        self.web = f"http://{places['http']}"
        self.arena = (host, int(port))
        self._admin = admin

    async def drain(self, session: aiohttp.ClientSession, endpoint: str) -> None:
        """As `penstock drain lobby ENDPOINT` does."""
        body = {"pool": "lobby", "endpoint": endpoint}
        async with session.post(f"{self._admin}/api/v1/drain", json=body) as response:
            response.raise_for_status()


@asynccontextmanager
async def _process(
    *arguments: str, environ: dict[str, str], log: int | None = None
) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=PIPE, stderr=log, env={**os.environ, **environ}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def _server(kind: str) -> AsyncIterator[tuple[Process, int]]:
    """One of the game's servers, and its port."""
    script = str(HERE / "servers.py")
    async with _process(sys.executable, script, kind, environ={}) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), _START_S)
        yield process, int(line)


@asynccontextmanager
async def _balancer(
    webs: list[tuple[Process, int]], arenas: list[tuple[Process, int]]
) -> AsyncIterator[Balancer]:
    environ = {f"WEB_{at}": f"http://127.0.0.1:{port}" for at, (_, port) in enumerate(webs, 1)}
    environ |= {f"ARENA_{at}": f"udp://127.0.0.1:{port}" for at, (_, port) in enumerate(arenas, 1)}
    environ |= dict.fromkeys(("GAME_WEB", "GAME_ARENA", "GAME_ADMIN"), "127.0.0.1:0")
    command = (sys.executable, "-m", "penstock", "serve", "--config", str(HERE / "penstock.yaml"))
    async with _process(*command, environ=environ, log=PIPE) as process:
        assert process.stderr is not None
        said = await asyncio.wait_for(_until_started(process.stderr), _START_S)
        reading = asyncio.create_task(_read_on(process.stderr))
        try:
            yield Balancer(said["started"]["addresses"], said["admin"]["url"])
        finally:
            reading.cancel()


async def _until_started(log: asyncio.StreamReader) -> dict[str, dict[str, str]]:
    """Its log by event, up to the one that says where it serves."""
    said: dict[str, dict[str, str]] = {}
    while "started" not in said:
        line = await log.readline()
        if not line:
            raise SystemExit("the balancer did not start")
        event = json.loads(line)
        said[event["event"]] = event
    return said


async def _read_on(log: asyncio.StreamReader) -> None:
    while line := await log.readline():
        event = json.loads(line)
        if event["level"] != "info":
            print(f"  balancer: {event['message']}")


def _told(tally: Tally, players: int) -> int:
    lost = tally.moves - tally.states
    print(
        f"{tally.matches_found} players found their match, {tally.requests_failed} requests "
        "failed\n"
        f"{tally.lobby_messages} lobby messages answered; {tally.lobby_moves} players were sent to "
        "another lobby\n"
        f"{tally.moves} moves in the arena, {lost} unanswered; {tally.arena_moves} players were "
        f"moved to another server, {tally.apart} matches torn apart"
    )
    well = (
        tally.matches_found == players
        and tally.requests_failed == 0
        and tally.apart == 0
        and lost <= _MOVES_LOST_EACH * max(tally.arena_moves, players // 3)
        and tally.lobby_moves > 0
        and tally.arena_moves > 0
    )
    print("all well" if well else "that is more than players should notice")
    return 0 if well else 1


if __name__ == "__main__":
    options = argparse.ArgumentParser(prog="examples/game", description=__doc__)
    options.add_argument("--players", type=int, default=200, help="how many (200)")
    options.add_argument("--seconds", type=float, default=15.0, help="how long they play (15)")
    given = options.parse_args()
    if given.players < 12 or given.seconds < 10 * MOVE_EVERY_S:
        options.error("at least 12 players and a second are needed")
    try:
        sys.exit(asyncio.run(main(given.players, given.seconds)))
    except KeyboardInterrupt:
        sys.exit(130)
