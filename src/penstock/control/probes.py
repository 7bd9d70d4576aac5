"""One active check of one endpoint: over HTTP, or just a TCP connection."""

import asyncio
import errno
import ssl
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from penstock import __version__
from penstock.control.sockets import shown_address
from penstock.core.snapshot import Endpoint, EndpointTls, HealthCheck
from penstock.dataplane.tls import client_context

_BODY_BYTES: Final = 64 * 1024  # in which ``expect_body`` is looked for
_PLAIN: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to its network",
}
_AGENT: Final = f"penstock/{__version__} health-check"


@dataclass(frozen=True)
class Target:
    """What to check and how."""

    pool: str
    endpoint: Endpoint
    check: HealthCheck
    tls: EndpointTls

    @property
    def port(self) -> int:
        """The endpoint's own unless the check has one."""
        return self.check.port or self.endpoint.port


@dataclass(frozen=True)
class Result:
    """How a check went; ``detail`` is for people."""

    passed: bool
    detail: str


class Prober:
    """Makes checks. Every one opens its own connection: whether that works is half the question."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[EndpointTls, ssl.SSLContext] = {}

    async def probe(self, target: Target) -> Result:
        """Check once. Never raises for what an endpoint does."""
        try:
            async with asyncio.timeout(target.check.timeout_s):
                if target.check.kind == "tcp":
                    return await _connect(target)
                return await self._ask(target)
        except TimeoutError:
            return Result(False, f"no answer within {target.check.timeout_s:g} s")
        except (OSError, aiohttp.ClientError, ValueError) as error:
            return Result(False, _reason(error))

    def forget_tls(self) -> None:
        """Read CA files again with the next checks."""
        self._contexts.clear()

    async def close(self) -> None:
        """Give up what is kept open."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, target: Target) -> Result:
        check = target.check
        endpoint = target.endpoint
        scheme = "https" if endpoint.tls else "http"
        origin = f"{scheme}://{shown_address(endpoint.host, target.port)}"
        headers = [("User-Agent", _AGENT), *check.headers]
        if check.host:
            headers.append(("Host", check.host))
        async with self._opened().request(
            check.method,
            URL(origin + check.path, encoded=True),
            headers=headers,
            allow_redirects=False,
            ssl=self._context(target.tls) if endpoint.tls else True,
            server_hostname=(target.tls.server_name or endpoint.host) if endpoint.tls else None,
        ) as response:
            status = response.status
            if not any(low <= status <= high for low, high in check.expect_statuses):
                return Result(False, f"answered {status}, not {_shown(check.expect_statuses)}")
            if check.expect_body:
                body = await _beginning(response.content)
                if check.expect_body.encode() not in body:
                    return Result(False, f"answered {status} without {check.expect_body!r}")
            return Result(True, f"answered {status}")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True, use_dns_cache=False),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _context(self, settings: EndpointTls) -> ssl.SSLContext:
        """Loading the system's CAs takes tens of milliseconds, so contexts are kept."""
        context = self._contexts.get(settings)
        if context is None:
            context = self._contexts[settings] = client_context(settings)
        return context


async def _connect(target: Target) -> Result:
    _, writer = await asyncio.open_connection(target.endpoint.host, target.port)
    writer.close()
    return Result(True, "connected")


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    body = b""
    while len(body) < _BODY_BYTES and (piece := await content.read(_BODY_BYTES - len(body))):
        body += piece
    return body


def _shown(ranges: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in ranges)


def _reason(error: Exception) -> str:
    """What happened, in few words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"TLS: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"TLS: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, OSError) and error.errno in _PLAIN:
        return _PLAIN[error.errno]
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "closed the connection without an answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"answered with something that is not HTTP: {error.message}"
    return str(error) or type(error).__name__
