"""A trickle of requests at an even rate, each one counted."""

from __future__ import annotations

import asyncio

import aiohttp

from penstock.fleet.scoreboard import Scoreboard

_GIVE_UP_S = 15.0


class Trickle:
    """Sends GET requests open loop: a slow answer does not delay the next request."""

    def __init__(self, url: str, rate_per_s: float, scoreboard: Scoreboard) -> None:
        self._url = url
        self._interval_s = 1.0 / rate_per_s
        self._scoreboard = scoreboard
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop`` is set, then wait for the answers that are due."""
        loop = asyncio.get_running_loop()
        timeout = aiohttp.ClientTimeout(total=_GIVE_UP_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            due = loop.time()
            while not stop.is_set():
                while due <= loop.time():
                    self._send(session)
                    due += self._interval_s
                await _first(stop, due - loop.time())
            if self._under_way:
                await asyncio.wait(self._under_way)

    def _send(self, session: aiohttp.ClientSession) -> None:
        number = self._scoreboard.sent
        self._scoreboard.sent += 1
        task = asyncio.create_task(self._request(session, f"{self._url}/work/{number}"))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _request(self, session: aiohttp.ClientSession, url: str) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with session.get(url) as response:
                await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self._scoreboard.failed_with(type(error).__name__)
            return
        if response.status == 200:
            served_by = response.headers.get("x-served-by", "?")
            self._scoreboard.answered(served_by, loop.time() - began)
        else:
            self._scoreboard.failed_with(f"status {response.status}")


async def _first(stop: asyncio.Event, wait_s: float) -> None:
    """Wait for ``stop``, at most ``wait_s``."""
    try:
        async with asyncio.timeout(max(0.0, wait_s)):
            await stop.wait()
    except TimeoutError:
        return
