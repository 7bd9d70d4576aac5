"""The admin server: probes, metrics, status, the dashboard, and commands of ``penstock ctl``."""

import asyncio
import socket
from typing import Final

import msgspec
from aiohttp import hdrs, web

from penstock.admin.command import PREFIX, BoundCommands, Command, Run
from penstock.admin.dashboard.feed import Feed
from penstock.admin.dashboard.routes import dashboard_routes, page_files
from penstock.admin.guard import guard, refused, shows_token
from penstock.admin.http_log import HTTP_LOG
from penstock.admin.metrics import CONTENT_TYPE, render_metrics
from penstock.admin.readiness import unready_reasons
from penstock.admin.recent import SAMPLE_S, Recent
from penstock.admin.status import status_document
from penstock.admin.tls import AdminCertificate
from penstock.admin.view import RunningBalancer, UnknownNameError

_MAX_BODY_BYTES: Final = 64 * 1024
_SHUTDOWN_S: Final = 1.0
_UNGUARDED: Final = (
    "this is taken only where an admin token is configured, on this machine too, since who may add "
    "an endpoint may read every request: set `admin: {token_file: FILE}` or --admin-token, and "
    "restart"
)


class AdminServer:
    """Listens on one address until stopped."""

    def __init__(
        self,
        balancer: RunningBalancer,
        commands: BoundCommands,
        token: str | None,
        read_token: str | None = None,
    ) -> None:
        self._balancer = balancer
        self._commands = commands
        self._token = token
        self._read_token = read_token
        self._feed = Feed(balancer)
        self._recent = Recent(balancer.board)
        self._runner: web.AppRunner | None = None
        self._sock: socket.socket | None = None
        self._certificate: AdminCertificate | None = None

    @property
    def fd(self) -> int:
        """Of the listening socket; -1 while there is none."""
        return self._sock.fileno() if self._sock is not None else -1

    async def start(
        self,
        host: str,
        port: int,
        handed: socket.socket | None = None,
        certificate: AdminCertificate | None = None,
    ) -> tuple[str, int]:
        """Start listening, or go on at a socket that was handed over; returns the real address.

        A socket file is always handed. Raises OSError.
        """
        runner = web.AppRunner(
            self.application(), access_log=None, shutdown_timeout=_SHUTDOWN_S, logger=HTTP_LOG
        )
        await runner.setup()
        context = certificate.context if certificate is not None else None
        try:
            sock = handed or await _listening_at(host, port)
            await web.SockSite(runner, sock, ssl_context=context).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._sock = sock
        self._certificate = certificate
        return host, 0 if sock.family == socket.AF_UNIX else sock.getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        self._feed.end()
        if self._runner is not None:
            await self._runner.cleanup()
        self._sock = None

    async def sample(self) -> None:
        """Runs until cancelled: sample the counters, for rates and latencies of the last minute."""
        while True:
            pools = self._balancer.pools()
            self._recent.sample(pools)
            self._feed.sample(pools)
            if self._certificate is not None:
                self._certificate.look()
            await asyncio.sleep(SAMPLE_S)

    def application(self) -> web.Application:
        """The routes."""
        page = page_files()
        application = web.Application(
            middlewares=[guard(self._token, self._read_token, page)],
            client_max_size=_MAX_BODY_BYTES,
        )
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get(f"{PREFIX}status", self._status),
                *dashboard_routes(self._feed, page, self._token),
                *(self._route(kind, run) for kind, run in self._commands.items()),
            ]
        )
        return application

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self, request: web.Request) -> web.Response:
        reasons = unready_reasons(self._balancer.overview())
        answer: dict[str, object] = {"ready": not reasons}
        tokens = [each for each in (self._token, self._read_token) if each is not None]
        if not tokens or any(shows_token(request, each) for each in tokens):
            answer["reasons"] = reasons
        return web.json_response(answer, status=503 if reasons else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        body = render_metrics(self._balancer.overview(), self._balancer.board)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, _: web.Request) -> web.Response:
        overview = self._balancer.overview()
        recent = self._recent.differences(overview.pools)
        return web.json_response(status_document(overview, self._balancer.board, recent))

    def _route(self, kind: type[Command], run: Run) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            if kind.needs_token and self._token is None:
                return refused(403, _UNGUARDED)
            try:
                answer = await run(await _command_in(request, kind))
            except UnknownNameError as error:
                return refused(404, str(error))
            except ValueError as error:  # msgspec's errors are of these
                return refused(400, str(error))
            return web.json_response(answer.document, status=answer.status)

        return web.route(kind.method, kind.path(), handle)


async def _listening_at(host: str, port: int) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, _, _, _, address = found[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _command_in(request: web.Request, kind: type[Command]) -> Command:
    """The command in a request. Raises ValueError for one that is malformed."""
    if kind.method == hdrs.METH_GET:
        return msgspec.convert(dict(request.query), kind, strict=False)
    return msgspec.json.decode(await request.read() or b"{}", type=kind)
