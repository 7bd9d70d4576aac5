"""The admin server: probes, metrics, status, and the commands behind ``penstock ctl``."""

import asyncio
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from penstock.admin.guard import guard, refused, shows_token
from penstock.admin.http_log import HTTP_LOG
from penstock.admin.metrics import CONTENT_TYPE, render_metrics
from penstock.admin.readiness import unready_reasons
from penstock.admin.recent import SAMPLE_S, Recent
from penstock.admin.status import status_document
from penstock.admin.view import Balancer, EndpointView, UnknownNameError

_MAX_BODY_BYTES: Final = 64 * 1024
_SHUTDOWN_S: Final = 1.0
_SHOWN_DECISIONS: Final = 20
_MOST_DECISIONS: Final = 10_000


class Drain(msgspec.Struct, forbid_unknown_fields=True):
    """No further requests for an endpoint."""

    pool: str
    endpoint: str

    def apply(self, balancer: Balancer) -> None:
        """Do it. Raises UnknownNameError."""
        balancer.drain(self.pool, self.endpoint)


class Undrain(msgspec.Struct, forbid_unknown_fields=True):
    """Requests for an endpoint again."""

    pool: str
    endpoint: str

    def apply(self, balancer: Balancer) -> None:
        """Do it. Raises UnknownNameError."""
        balancer.undrain(self.pool, self.endpoint)


class Weight(msgspec.Struct, forbid_unknown_fields=True):
    """Another weight for an endpoint, until the configured one changes."""

    pool: str
    endpoint: str
    weight: float

    def apply(self, balancer: Balancer) -> None:
        """Do it. Raises UnknownNameError, and ValueError for a weight that is none."""
        balancer.set_weight(self.pool, self.endpoint, self.weight)


Command = Drain | Undrain | Weight


class AdminServer:
    """Listens on one address until stopped."""

    def __init__(self, balancer: Balancer, token: str | None) -> None:
        self._balancer = balancer
        self._token = token
        self._recent = Recent(balancer.board)
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Begin to answer; returns the real address. Raises OSError."""
        runner = web.AppRunner(
            self.application(), access_log=None, shutdown_timeout=_SHUTDOWN_S, logger=HTTP_LOG
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return host, runner.addresses[0][1]

    async def stop(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def sample(self) -> None:
        """For ever: note the counters, for rates and latencies of the last minute."""
        while True:
            self._recent.sample(self._balancer.overview())
            await asyncio.sleep(SAMPLE_S)

    def application(self) -> web.Application:
        """The addresses that are answered."""
        application = web.Application(
            middlewares=[guard(self._token)], client_max_size=_MAX_BODY_BYTES
        )
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/api/v1/status", self._status),
                web.get("/api/v1/decisions", self._decisions),
                web.post("/api/v1/drain", self._command(Drain)),
                web.post("/api/v1/undrain", self._command(Undrain)),
                web.post("/api/v1/weight", self._command(Weight)),
                web.post("/api/v1/reload", self._reload),
                web.post("/api/v1/stop", self._stop),
            ]
        )
        return application

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self, request: web.Request) -> web.Response:
        reasons = unready_reasons(self._balancer.overview())
        answer: dict[str, object] = {"ready": not reasons}
        if self._token is None or shows_token(request, self._token):
            answer["reasons"] = reasons
        return web.json_response(answer, status=503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        body = render_metrics(self._balancer.overview(), self._balancer.board)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, _: web.Request) -> web.Response:
        overview = self._balancer.overview()
        recent = self._recent.differences(overview)
        return web.json_response(status_document(overview, self._balancer.board, recent))

    async def _decisions(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            limit = int(query.get("limit", _SHOWN_DECISIONS))
        except ValueError:
            limit = 0
        if not 1 <= limit <= _MOST_DECISIONS:
            return refused(400, f"`limit` is a number from 1 to {_MOST_DECISIONS}")
        records = await self._balancer.decisions(query.get("id", ""), query.get("pool", ""), limit)
        return web.json_response({"decisions": records})

    def _command(self, kind: type[Command]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                command = msgspec.json.decode(await request.read(), type=kind)
                command.apply(self._balancer)
            except UnknownNameError as error:
                return refused(404, str(error))
            except ValueError as error:  # msgspec's errors are of these
                return refused(400, str(error))
            return web.json_response(self._endpoint(command.pool, command.endpoint))

        return handle

    def _endpoint(self, pool: str, endpoint: str) -> dict[str, object]:
        """What became of it."""
        for shown in self._balancer.overview().pools:
            for each in shown.endpoints:
                if (shown.name, each.name) == (pool, endpoint):
                    return {"pool": pool, "endpoint": endpoint, **_outcome(each)}
        return {"pool": pool, "endpoint": endpoint}

    async def _reload(self, _: web.Request) -> web.Response:
        result = await self._balancer.reload()
        return web.json_response(msgspec.to_builtins(result), status=200 if result.ok else 422)

    async def _stop(self, _: web.Request) -> web.Response:
        self._balancer.stop()
        return web.json_response({"stopping": True}, status=202)


def _outcome(endpoint: EndpointView) -> dict[str, object]:
    return {"state": endpoint.state, "reason": endpoint.reason, "weight": endpoint.weight}
