"""Asks engines: plain GETs over connections that stay open, within a bound of time and size."""

import asyncio
import socket
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from penstock import __version__
from penstock._reasons import reason_of
from penstock.control.engines.reading import (
    LoadingError,
    NotNowError,
    TimedOutError,
    UnreachableError,
    UnreadableError,
)
from penstock.control.workers.sockets import shown_address
from penstock.control.world.certificates import EndpointContexts
from penstock.core.snapshot import Endpoint, EndpointTls, Engine

# An exposition of vLLM with a dozen adapters is under 1 MiB.
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
_MOST_SHOWN: Final = 200  # characters of an address that an engine tells
_AT_ONCE: Final = 64  # requests; a bound on descriptors, not on speed
_AGENT: Final = f"penstock/{__version__} engine-reader"


@dataclass(frozen=True)
class Target:
    """Whose load is read, and how."""

    pool: str
    endpoint: Endpoint
    engine: Engine
    tls: EndpointTls


class EngineClient:
    """One for all engines."""

    def __init__(self, contexts: EndpointContexts) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._contexts = contexts
        self._known = _KnownAddresses()

    async def get(self, target: Target, path: str, port: int = 0) -> bytes:
        """The body of a 200. Raises UnreadableError, whose text is for people."""
        endpoint, engine = target.endpoint, target.engine
        scheme = "https" if endpoint.tls else "http"
        if not port or port == endpoint.port:  # another port is another server's
            path = endpoint.base_path + path
        reached = f"{scheme}://{shown_address(endpoint.host, port or endpoint.port)}"
        self._known.of[endpoint.host] = endpoint
        try:
            async with (
                asyncio.timeout(engine.timeout_s),
                self._opened().get(
                    URL(reached + path, encoded=True),
                    headers=_headers(target, port or endpoint.port),
                    allow_redirects=False,
                    ssl=self._contexts.of(target.tls) if endpoint.tls else True,
                    server_hostname=(
                        (target.tls.server_name or endpoint.host) if endpoint.tls else None
                    ),
                ) as response,
            ):
                if response.status != 200:
                    raise _kind_of(response.status)(
                        f"{path} answers {response.status}{_hint(target, response)}"
                    )
                return await _bounded(response.content, path)
        except TimeoutError:
            raise TimedOutError(f"{path}: no answer within {engine.timeout_s:g} s") from None
        except (OSError, aiohttp.ClientConnectionError) as error:
            raise UnreachableError(f"{path}: {reason_of(error)}") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise UnreadableError(f"{path}: {error}") from error

    async def close(self) -> None:
        """Give up what is kept open."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_AT_ONCE, use_dns_cache=False, resolver=self._known
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return self._session


class _KnownAddresses(AbstractResolver):
    """Answers with the addresses that endpoints have, so that all of them are tried (RFC 8305)."""

    def __init__(self) -> None:
        self.of: dict[str, Endpoint] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        endpoint = self.of[host]
        if not endpoint.addresses:
            raise OSError(endpoint.no_address or f"{host} has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in endpoint.addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _kind_of(status: int) -> type[UnreadableError]:
    if status < 500:
        return UnreadableError
    return LoadingError if status == 503 else NotNowError


def _hint(target: Target, response: aiohttp.ClientResponse) -> str:
    """What to do about an answer that is none."""
    if response.status in (401, 403):
        return ", so it wants a key: give it with `engine: {headers: {Authorization: …}}`"
    if response.status == 404 and not target.endpoint.base_path:
        return "; an API below a path is found where the endpoint's `url` has that path"
    location = response.headers.get("Location", "") if 300 <= response.status < 400 else ""
    return f" and leads to {location[:_MOST_SHOWN]}" if location else ""


def _headers(target: Target, port: int) -> list[tuple[str, str]]:
    """Those configured, and else the endpoint's name as its host, whatever is connected to."""
    named = {name.lower() for name, _ in target.engine.headers}
    own = [field for field in target.endpoint.headers if field[0].lower() not in named]
    given = [*own, *target.engine.headers]
    headers = [("User-Agent", _AGENT), *given]
    if not any(name.lower() == "host" for name, _ in given):
        headers.append(("Host", shown_address(target.endpoint.host, port)))
    return headers


async def _bounded(content: aiohttp.StreamReader, path: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise UnreadableError(f"{path} answers more than {MAX_BODY_BYTES >> 20} MiB")
    return b"".join(pieces)
