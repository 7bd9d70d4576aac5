"""One process that hosts emulated servers, and the control listener that commands their faults.

Control listener: ``GET /servers`` lists them, ``POST /servers/NAME/fault`` begins a fault
(a ``FaultCommand`` as JSON).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec
from aiohttp import web

from penstock.fleet.emulated import EmulatedServer
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from penstock.fleet.plain import PlainServer, PlainSpec

ServerSpec = PlainSpec | EngineSpec


class ServerAddress(msgspec.Struct, frozen=True):
    name: str
    url: str


class HostReady(msgspec.Struct, frozen=True):
    """What a host says, in one JSON line, when all its servers listen."""

    control_url: str
    servers: tuple[ServerAddress, ...]


class Host:
    """Runs servers; ``async with`` starts them and, at the end, stops them."""

    def __init__(self, specs: Sequence[ServerSpec], control_port: int = 0) -> None:
        self.servers = {spec.name: _server(spec) for spec in specs}
        if len(self.servers) != len(specs):
            raise ValueError("every emulated server needs a name of its own")
        self._control_port = control_port
        self._control = web.AppRunner(self._control_application(), access_log=None)
        self.control_url = ""

    async def __aenter__(self) -> Host:
        try:
            for server in self.servers.values():
                await server.start()
            await self._control.setup()
            site = web.TCPSite(self._control, "127.0.0.1", self._control_port)
            await site.start()
        except OSError:
            await self.__aexit__()
            raise
        port = self._control.addresses[0][1]
        self.control_url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._control.cleanup()
        await asyncio.gather(*(server.stop() for server in self.servers.values()))

    def ready(self) -> HostReady:
        return HostReady(
            self.control_url,
            tuple(ServerAddress(server.name, server.url) for server in self.servers.values()),
        )

    def _control_application(self) -> web.Application:
        application = web.Application()
        application.add_routes(
            [
                web.get("/servers", self._list),
                web.post("/servers/{name}/fault", self._fault),
            ]
        )
        return application

    async def _list(self, request: web.Request) -> web.Response:
        listing = [
            {
                "name": server.name,
                "url": server.url,
                "faults": msgspec.to_builtins(server.faults),
            }
            for server in self.servers.values()
        ]
        return web.json_response(listing)

    async def _fault(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        server = self.servers.get(name)
        if server is None:
            known = ", ".join(self.servers)
            return web.json_response(
                {"error": f"no emulated server is named {name!r}; there are {known}"}, status=404
            )
        try:
            command = msgspec.json.decode(await request.read(), type=FaultCommand)
            await server.apply(command)
        except ValueError as error:  # msgspec's errors are such
            return web.json_response({"error": f"not a fault to begin: {error}"}, status=400)
        return web.json_response(msgspec.to_builtins(server.faults))


def _server(spec: ServerSpec) -> EmulatedServer:
    return EngineServer(spec) if isinstance(spec, EngineSpec) else PlainServer(spec)


async def host_until_parent_leaves() -> None:
    """Read specs from the first line of stdin, host them until stdin ends.

    The pipe closes with the parent however that dies, so no server outlives it.
    """
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    specs = msgspec.json.decode(await stdin.readline(), type=list[ServerSpec])
    async with Host(specs) as host:
        print(msgspec.json.encode(host.ready()).decode(), flush=True)
        while await stdin.read(65536):
            pass


if __name__ == "__main__":
    asyncio.run(host_until_parent_leaves())
