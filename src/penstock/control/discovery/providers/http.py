"""Endpoints that an HTTP server lists, as Prometheus's http_sd does, or in our own form."""

import asyncio
import socket
import ssl
from typing import ClassVar, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from penstock import __version__
from penstock._reasons import reason_of
from penstock.config.load.targets import MAX_BYTES, TargetsError, read_targets
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.control.endpoints.name_resolver import NameResolver
from penstock.control.endpoints.resolver import NoAddressError, Resolver
from penstock.control.threads import in_thread
from penstock.core.snapshot.discovery import HttpDiscovery

_AGENT: Final = f"penstock/{__version__} discovery"


class HttpProvider(Provider):
    """Asks again after a while."""

    name: ClassVar[str] = "http"

    def __init__(self, settings: HttpDiscovery, resolver: Resolver | None = None) -> None:
        super().__init__(settings)
        self.longest_pause_s = max(self.first_pause_s, settings.interval_s)
        self._asked: HttpDiscovery = settings
        self._resolver = resolver or NameResolver()
        self._session: aiohttp.ClientSession | None = None

    async def look(self) -> Answer:
        """By what the server answers now."""
        shown = self._asked.url.partition("?")[0]
        try:
            async with (
                asyncio.timeout(self._asked.timeout_s),
                self._opened().get(
                    self._asked.url, headers=list(self._asked.headers), allow_redirects=False
                ) as response,
            ):
                if response.status != 200:
                    raise ProviderError(f"{shown} answers {response.status}")
                data = await bounded(response.content, shown)
        except TimeoutError as error:
            text = f"{shown} gives no answer within {self._asked.timeout_s:g} s"
            raise ProviderError(text) from error
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise ProviderError(f"{shown}: {reason_of(error)}") from error
        try:
            found = await in_thread(lambda: read_targets(data, shown), "targets")
        except TargetsError as error:
            raise ProviderError(str(error)) from error
        return Answer(found, self._asked.interval_s)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=self._asked.ca_file or None)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=context, use_dns_cache=False, resolver=LookingUp(self._resolver)
                ),
                headers={"User-Agent": _AGENT, "Accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return self._session


class LookingUp(AbstractResolver):
    """Of names: a look-up that hangs must take nobody else's thread."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            answer = await self._resolver.look_up(host)
        except NoAddressError as error:
            raise OSError(str(error)) from error
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer.addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def bounded(content: aiohttp.StreamReader, shown: str, most: int = MAX_BYTES) -> bytes:
    """All of it. Raises ProviderError where it is too much."""
    pieces: list[bytes] = []
    size = 0
    async for piece in content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise ProviderError(f"{shown} answers more than {most >> 20} MiB")
    return b"".join(pieces)
