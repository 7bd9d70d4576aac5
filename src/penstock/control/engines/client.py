"""Asks engines: plain GETs over persistent connections, bounded in time and size."""

import asyncio
import socket
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from penstock import __version__
from penstock._reasons import reason_of
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.numeric_addresses import numeric_addresses
from penstock.core.snapshot import Endpoint, EndpointTls, Engine
from penstock.core.snapshot.address import (
    LOCAL_HOST,
    host_field,
    shown_address,
    socket_path,
)
from penstock.wire.engines.reading import UnreadableError

# An exposition of vLLM with a dozen adapters is under 1 MiB.
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
_MOST_SHOWN: Final = 200  # characters of an address that an engine tells
_AT_ONCE: Final = 64  # requests; a bound on descriptors, not on speed
_AGENT: Final = f"penstock/{__version__} engine-reader"


class UnreachableError(UnreadableError):
    """No answer came."""


class TimedOutError(UnreachableError):
    """No answer came in time, though the engine may yet serve requests."""


class NotNowError(UnreadableError):
    """It has no answer yet, or no longer: a status of 500 and above."""


class LoadingError(NotNowError):
    """It is not ready: status 503."""


@dataclass(frozen=True)
class EngineTarget:
    """An endpoint whose engine is asked, and how."""

    pool: str
    endpoint: Endpoint
    engine: Engine
    tls: EndpointTls


class EngineClient:
    """One client for all engines."""

    def __init__(self, contexts: EndpointContexts) -> None:
        self._sessions: dict[str, aiohttp.ClientSession] = {}  # by socket file; "": by addresses
        self._contexts = contexts
        self._known = _KnownAddresses()

    async def get(self, target: EngineTarget, path: str, port: int = 0) -> bytes:
        """The body of a 200. Raises UnreadableError, whose text is for people."""
        endpoint, engine = target.endpoint, target.engine
        scheme = "https" if endpoint.tls else "http"
        port = port or endpoint.port
        file = ""
        if port == endpoint.port:  # another port is another server's
            path = endpoint.base_path + path
            file = socket_path(endpoint.host)
        host = LOCAL_HOST if socket_path(endpoint.host) else endpoint.host
        reached = f"{scheme}://{'localhost' if file else shown_address(host, port)}"
        self._known.of[host] = endpoint
        try:
            async with (
                asyncio.timeout(engine.timeout_s),
                self._opened(file).get(
                    URL(reached + path, encoded=True),
                    headers=_headers(target, port),
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
        """Close the connections that are kept open."""
        for session in self._sessions.values():
            await session.close()

    def _opened(self, file: str) -> aiohttp.ClientSession:
        session = self._sessions.get(file)
        if session is None:
            session = self._sessions[file] = aiohttp.ClientSession(
                connector=(
                    aiohttp.UnixConnector(file, limit=_AT_ONCE)
                    if file
                    else aiohttp.TCPConnector(
                        limit=_AT_ONCE, use_dns_cache=False, resolver=self._known
                    )
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return session


class _KnownAddresses(AbstractResolver):
    """Answers with all addresses of an endpoint, so that each is tried (RFC 8305)."""

    def __init__(self) -> None:
        self.of: dict[str, Endpoint] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        endpoint = self.of[host]
        if not endpoint.addresses:
            raise OSError(endpoint.no_address or f"{host} has no address")
        return numeric_addresses(host, endpoint.addresses, port)

    async def close(self) -> None:
        """Nothing is open."""


def _kind_of(status: int) -> type[UnreadableError]:
    if status < 500:
        return UnreadableError
    return LoadingError if status == 503 else NotNowError


def _hint(target: EngineTarget, response: aiohttp.ClientResponse) -> str:
    """What to do about a refusal, for people."""
    if response.status in (401, 403):
        return ", so it requires a key: set it with `engine: {headers: {Authorization: …}}`"
    if response.status == 404 and not target.endpoint.base_path:
        return "; if the API is below a path, add that path to the endpoint's `url`"
    location = response.headers.get("Location", "") if 300 <= response.status < 400 else ""
    return f" and redirects to {location[:_MOST_SHOWN]}" if location else ""


def _headers(target: EngineTarget, port: int) -> list[tuple[str, str]]:
    """The configured headers; the host is the endpoint's name, whatever its address."""
    named = {name.lower() for name, _ in target.engine.headers}
    own = [field for field in target.endpoint.headers if field[0].lower() not in named]
    given = [*own, *target.engine.headers]
    headers = [("User-Agent", _AGENT), *given]
    if not any(name.lower() == "host" for name, _ in given):
        headers.append(("Host", host_field(target.endpoint.host, port)))
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
