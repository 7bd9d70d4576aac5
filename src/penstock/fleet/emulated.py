"""An emulated server: an HTTP listener that suffers faults on command."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from penstock.admin.http_log import HTTP_LOG
from penstock.fleet.faults import FaultCommand, Faults, respect
from penstock.fleet.ports import hold

# Bodies of 100,000-token prompts with images pass.
MAX_BODY_BYTES = 64 * 1024 * 1024

# Of the event loop: one makes a connection's transport, one tells its protocol, one is to spare.
_TURNS_TO_ATTACH = 3

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class EmulatedServer:
    """Base of all emulated servers; a subclass adds what it answers.

    The port is taken once, on ``start``, and kept through ``refuse``, ``die`` and ``restart``.
    """

    def __init__(self, name: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.faults = Faults()
        self._unstalled = asyncio.Event()
        self._unstalled.set()
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._listening: socket.socket | None = None  # what ``_site`` listens on
        self._held_port: socket.socket | None = None
        self._endings: dict[str, asyncio.Task[None]] = {}  # by the respect of their fault
        self._transition = asyncio.Lock()
        self._chance = random.Random(name)

    def routes(self) -> list[web.RouteDef]:
        """What this server answers, in order of match."""
        raise NotImplementedError

    def lose_state(self) -> None:
        """Called when the server dies: forget all work and every cache."""

    def faults_changed(self) -> None:
        """Called after a fault began or ended."""

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        application = web.Application(middlewares=[self._suffer], client_max_size=MAX_BODY_BYTES)
        application.add_routes(self.routes())
        try:
            self.port, self._held_port = hold(self.host, self.port)
        except OSError as error:
            raise self._taken(error) from error
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.1,
            logger=HTTP_LOG,
        )
        await self._runner.setup()
        await self._listen()

    async def stop(self) -> None:
        """Stop listening and cut what is left."""
        self._forget_endings()
        self._unstalled.set()
        async with self._transition:
            await self._close_listener()
            self._reset_connections()
            runner, self._runner = self._runner, None  # nothing listens again
        if runner is not None:
            await runner.cleanup()
        held, self._held_port = self._held_port, None
        if held is not None:
            held.close()

    async def apply(self, command: FaultCommand) -> None:
        """Begin the fault; it is in force when this returns."""
        was_dead = self.faults.dead
        if command.kind == "none":
            self._forget_endings()
        else:
            self._forget_ending(respect(command.kind))
        self.faults.begin(command)
        if self.faults.dead and not was_dead:
            self._reset_connections()  # or what they bring would be worked on
            self.lose_state()
        await self._enforce()
        if command.kind == "restart" or (command.kind != "none" and command.for_s > 0):
            self._forget_ending(respect(command.kind))  # of one that came meanwhile
            self._endings[respect(command.kind)] = asyncio.create_task(self._end_later(command))

    def _forget_endings(self) -> None:
        for about in list(self._endings):
            self._forget_ending(about)

    def _forget_ending(self, about: str) -> None:
        ending = self._endings.pop(about, None)
        if ending is not None:
            ending.cancel()

    async def _end_later(self, command: FaultCommand) -> None:
        await asyncio.sleep(command.for_s)
        del self._endings[respect(command.kind)]  # what follows is not to be interrupted
        if command.kind == "restart":
            self._forget_endings()
        self.faults.end(command.kind)
        await self._enforce()

    async def _enforce(self) -> None:
        async with self._transition:
            if self.faults.listening():
                await self._listen()
            else:
                await self._close_listener()
            if self.faults.dead:
                self._reset_connections()
        if self.faults.stalled:
            self._unstalled.clear()
        else:
            self._unstalled.set()
        self.faults_changed()

    async def _listen(self) -> None:
        if self._site is not None or self._runner is None:
            return
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self.host, self.port))
        except OSError as error:
            listening.close()
            raise self._taken(error) from error
        self._listening = listening
        self._site = web.SockSite(self._runner, listening, backlog=1024)
        await self._site.start()

    def _taken(self, error: OSError) -> OSError:
        where = f"{self.name} cannot listen on {self.host}:{self.port}"
        return OSError(error.errno, f"{where}: {error.strerror}")

    async def _close_listener(self) -> None:
        site, self._site = self._site, None
        listening, self._listening = self._listening, None
        if site is not None and listening is not None:
            # asyncio leaks a connection accepted but not yet attached when its listener closes:
            # no more are accepted, and those on their way get there first.
            asyncio.get_running_loop().remove_reader(listening)
            for _ in range(_TURNS_TO_ATTACH):
                await asyncio.sleep(0)
            await site.stop()

    def _reset_connections(self) -> None:
        server = self._runner.server if self._runner is not None else None
        for connection in server.connections if server is not None else ():
            if connection.transport is not None:
                connection.transport.abort()

    @web.middleware
    async def _suffer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        while self.faults.stalled:
            await self._unstalled.wait()
        if self.faults.error_status and self._chance.random() < self.faults.error_share:
            return web.json_response(
                {"error": {"message": "an emulated fault", "type": "emulated"}},
                status=self.faults.error_status,
            )
        return await handler(request)
