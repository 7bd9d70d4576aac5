"""Asks servers of inventories over HTTP, bounded in time and bytes."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from penstock import __version__
from penstock._reasons import reason_of
from penstock.control.discovery.provider import ProviderError
from penstock.control.endpoints.name_resolver import NameResolver
from penstock.control.endpoints.resolver import NoAddressError, Resolver
from penstock.control.numeric_addresses import numeric_addresses

MAX_BYTES: Final = 8 * 1024 * 1024
_MOST_REASON_BYTES: Final = 16 * 1024
_ANSWERED: Final = (200,)
_DONE: Final = (200, 201, 204)  # what was to be changed is
_MOST_SHOWN: Final = 300  # characters of a reason
_AGENT: Final = f"penstock/{__version__} discovery"


@dataclass(frozen=True)
class Said:
    """An answer of success."""

    body: bytes
    headers: Mapping[str, str]  # by names in whichever case


class RefusedError(ProviderError):
    """An answer without success. ``body`` is how that begins, where it was read."""

    def __init__(self, text: str, status: int, body: bytes = b"") -> None:
        super().__init__(text)
        self.status = status
        self.body = body

    @property
    def reason(self) -> str:
        """What the server said, as the APIs of Docker and Kubernetes say it."""
        try:
            return str(json.loads(self.body)["message"])[:_MOST_SHOWN]
        except (ValueError, KeyError, TypeError):
            return "no reason given"


class InventoryClient:
    """Of one provider. ``file`` is the socket of the file system that its server is behind."""

    def __init__(
        self,
        headers: Sequence[tuple[str, str]] = (),
        ca_file: str = "",
        file: str = "",
        resolver: Resolver | None = None,
        tls: Callable[[], tuple[ssl.SSLContext, str]] | None = None,
    ) -> None:
        """``tls``: in place of ``ca_file``, with the name that the server is verified for."""
        self._headers = list(headers)
        self._ca_file = ca_file
        self._file = file
        self._resolver = resolver or NameResolver()
        self._tls = tls
        self._server_name: str | None = None
        self._session: aiohttp.ClientSession | None = None

    async def get(
        self,
        url: str,
        timeout_s: float,
        query: Mapping[str, str] | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Said:
        """Redirects are not followed. Raises ProviderError, RefusedError among them."""
        return await self.ask("GET", url, timeout_s, query, headers)

    async def ask(
        self,
        method: str,
        url: str,
        timeout_s: float,
        query: Mapping[str, str] | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Said:
        """As ``get``, with that method; the type of a body is among ``headers``."""
        shown = self._file or url.partition("?")[0]
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._opened().request(
                    method,
                    URL(url).update_query(query or {}),
                    server_hostname=self._server_name,
                    headers=[*self._headers, *headers],
                    data=body,
                    allow_redirects=False,
                ) as response,
            ):
                if response.status not in (_ANSWERED if method == "GET" else _DONE):
                    raise RefusedError(
                        f"{shown} answers {response.status}",
                        response.status,
                        await response.content.read(_MOST_REASON_BYTES),
                    )
                return Said(await _bounded(response.content, shown), response.headers)
        except TimeoutError as error:
            raise ProviderError(f"{shown} gives no answer within {timeout_s:g} s") from error
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise ProviderError(f"{shown}: {reason_of(error)}") from error

    async def lines(
        self,
        url: str,
        timeout_s: float,
        query: Mapping[str, str],
        headers: Sequence[tuple[str, str]] = (),
    ) -> AsyncGenerator[bytes, None]:
        """Lines of a 200 as they come, until it ends or nothing came for so long.

        Raises ProviderError, and RefusedError with the status where it is another.
        """
        shown = url.partition("?")[0]
        rest = b""
        try:
            async with self._opened().get(
                URL(url).update_query(query),
                server_hostname=self._server_name,
                headers=[*self._headers, *headers],
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_read=timeout_s),
            ) as response:
                if response.status != 200:
                    raise RefusedError(f"{shown} answers {response.status}", response.status)
                async for piece in response.content.iter_any():
                    *whole, rest = (rest + piece).split(b"\n")
                    for line in whole:
                        yield line
                    if len(rest) > MAX_BYTES:
                        raise ProviderError(f"{shown} sends lines of over {MAX_BYTES >> 20} MiB")
        except TimeoutError as error:
            raise ProviderError(f"{shown} says nothing for {timeout_s:g} s") from error
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise ProviderError(f"{shown}: {reason_of(error)}") from error
        if rest:
            yield rest

    async def close(self) -> None:
        """Close what is kept open."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector: aiohttp.BaseConnector
            if self._file:
                connector = aiohttp.UnixConnector(self._file)
            else:
                if self._tls is not None:
                    context, name = self._tls()
                    self._server_name = name or None
                else:
                    context = ssl.create_default_context(cafile=self._ca_file or None)
                connector = aiohttp.TCPConnector(
                    ssl=context, use_dns_cache=False, resolver=_LookingUp(self._resolver)
                )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers={"User-Agent": _AGENT, "Accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return self._session


class _LookingUp(AbstractResolver):
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
        return numeric_addresses(host, answer.addresses, port)

    async def close(self) -> None:
        """Nothing is open."""


async def _bounded(content: aiohttp.StreamReader, shown: str, most: int = MAX_BYTES) -> bytes:
    """All of it. Raises ProviderError where it is too much."""
    pieces: list[bytes] = []
    size = 0
    async for piece in content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise ProviderError(f"{shown} answers more than {most >> 20} MiB")
    return b"".join(pieces)
