"""A plain emulated endpoint: answers after a random service time, a few requests at once."""

from __future__ import annotations

import asyncio
import math
import random

import msgspec
from aiohttp import web

from penstock.fleet.emulated import EmulatedServer

# Service times vary, as real ones do: a log-normal with this standard deviation of the logarithm
# has a coefficient of variation of 0.53.
_SIGMA = 0.5


class PlainSpec(msgspec.Struct, frozen=True, tag_field="kind", tag="plain"):
    """How a plain endpoint behaves. ``concurrency`` requests are served at once, others wait."""

    name: str
    mean_service_s: float = 0.02
    concurrency: int = 8
    host: str = "127.0.0.1"
    port: int = 0


class PlainServer(EmulatedServer):
    """Serves any path and method; says in ``x-served-by`` who it is. ``/healthz`` is at once."""

    def __init__(self, spec: PlainSpec) -> None:
        super().__init__(spec.name, spec.host, spec.port)
        self._mean_service_s = spec.mean_service_s
        self._slots = asyncio.Semaphore(spec.concurrency)
        self._random = random.Random(spec.name)
        self._inside = 0
        self._in_service = 0

    def in_service(self) -> int:
        return self._in_service

    def waiting(self) -> int:
        """Requests that wait for a free slot."""
        return self._inside - self._in_service

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/healthz", self._health), web.route("*", "/{path:.*}", self._serve)]

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok"}, headers={"x-served-by": self.name})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self._inside += 1
        try:
            async with self._slots:
                self._in_service += 1
                try:
                    await asyncio.sleep(self._service_s())
                finally:
                    self._in_service -= 1
        finally:
            self._inside -= 1
        return web.json_response(
            {"endpoint": self.name, "method": request.method, "path": request.path_qs},
            headers={"x-served-by": self.name},
        )

    def _service_s(self) -> float:
        location = math.log(self._mean_service_s) - _SIGMA * _SIGMA / 2
        return self._random.lognormvariate(location, _SIGMA) * self.faults.slow_factor
